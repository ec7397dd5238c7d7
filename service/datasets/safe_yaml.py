"""YAML files of strangers, read as data within bounds of memory and time.

A YAML file of a kilobyte can stand for gigabytes (aliases of aliases), block the reader (a pipe, a number of a million
digits), or ask for Python objects to be made. Such a file is refused. An alias counts as all that it stands for.
"""

import codecs
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from service.datasets.values import Value

#: For comparison: a dataset of 10,000 classes has 300,000 bytes, 20,000 values and 2 levels.
MAX_BYTES = 1_000_000
MAX_VALUES = 250_000
MAX_LEVELS = 32
MAX_CHARACTERS = 1_024

_WILD = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_LINE_ENDS = str.maketrans("", "", "\t\n\r\x85\u2028\u2029")
#: What Ultralytics strips from a YAML file that cannot be parsed as it is (`ultralytics.utils.YAML.load`).
_STRIPPED = re.compile(r"[^\x09\x0A\x0D\x20-\x7E\x85\xA0-\uD7FF\uE000-\uFFFD\U00010000-\U0010ffff]+")

#: libyaml's loader is ten times as fast. Wheels of PyYAML have it, other builds may not.
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class UnreadableYaml(ValueError):
    """Raised when a file is not YAML, or exceeds a bound. The message begins with its path."""


def read(path: Path) -> Value:
    """The value that the file holds. It is data only, no Python objects. Raises UnreadableYaml."""
    with _explained(path):
        return _parsed(read_bytes(path, MAX_BYTES).decode())


def read_dataset(path: Path) -> Value:
    """Like `read`, but as tolerant of odd editors as Ultralytics is with a dataset's YAML. Raises UnreadableYaml.

    Bytes that are not UTF-8 are dropped. Control characters are dropped when the file cannot be parsed with them.
    UTF-16 is recognised. Use it only for a file that nothing reads later: another reader might find another meaning.
    """
    with _explained(path):
        return parse_dataset(read_bytes(path, MAX_BYTES))


def parse_dataset(content: bytes) -> Value:
    """Like `read_dataset`, from bytes. Raises ValueError or yaml.YAMLError."""
    is_wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    text = content.decode("utf-16" if is_wide else "utf-8", "ignore")
    try:
        return _parsed(text)
    except (yaml.YAMLError, ValueError, ArithmeticError):
        stripped = _STRIPPED.sub("", text)
        if stripped == text:
            raise
        return _parsed(stripped)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UnreadableYaml(f"{path} cannot be read: {error.strerror}") from None
    except (
        yaml.YAMLError,
        ValueError,
        ArithmeticError,
        RecursionError,
    ) as error:  # not UTF-8, an impossible date, 1:1:1:…
        raise UnreadableYaml(f"{path} cannot be read as YAML: {' '.join(str(error).split())[:300]}") from None


def _parsed(text: str) -> Value:
    _check(text)
    value: Value = yaml.load(text, _Loader)  # noqa: S506 (a safe loader)
    return value


def is_plain(text: str, *, line_ends: bool = False) -> bool:
    """Whether a text has no control characters, no line ends (unless `line_ends`) and no lone surrogates."""
    return _WILD.search(text.translate(_LINE_ENDS) if line_ends else text) is None


def read_bytes(path: Path, limit: int) -> bytes:
    """The content of a regular file; never blocks on a pipe. Raises OSError; ValueError: when it is too long."""
    if not stat.S_ISREG(path.stat().st_mode):  # before it is opened: opening some devices has an effect
        raise OSError(0, "not a regular file")
    with open(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(0, "not a regular file")
        content = file.read(limit + 1)
    if len(content) > limit:
        raise ValueError(f"it has more than {limit} bytes")
    return content


@dataclass
class _Node:
    """The size of a value when its aliases are written out."""

    anchor: str | None = None
    values: int = 1
    characters: int = 0
    #: Depth of nesting: 1 for a list of plain values.
    levels: int = 1

    def add(self, inner: "_Node") -> None:
        self.values += inner.values
        self.characters += inner.characters
        self.levels = max(self.levels, inner.levels + 1)


def _check(text: str) -> None:
    """Raises ValueError: as soon as a bound is exceeded. The rest of the text is not parsed then."""
    anchors: dict[str, _Node] = {}
    open_nodes = [_Node()]
    for event in yaml.parse(text, _Loader):
        around = open_nodes[-1]
        if isinstance(event, yaml.ScalarEvent):
            length = len(event.value)
            if length > MAX_CHARACTERS:
                raise ValueError(f"a value has more than {MAX_CHARACTERS} characters")
            if event.anchor is not None:
                anchors[event.anchor] = _Node(characters=length, levels=0)
            around.values += 1
            around.characters += length
        elif isinstance(event, yaml.CollectionStartEvent):
            open_nodes.append(_Node(event.anchor))
        elif isinstance(event, yaml.CollectionEndEvent):
            _close(open_nodes.pop(), open_nodes[-1], anchors)
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor is None or event.anchor not in anchors:
                raise ValueError("an alias refers to itself, or to no anchor")
            around.add(anchors[event.anchor])
        if around.values > MAX_VALUES or around.characters > MAX_BYTES or open_nodes[-1].values > MAX_VALUES:
            raise ValueError(f"it has more than {MAX_VALUES} values, each alias (*name) counted in full")
        if len(open_nodes) - 2 + open_nodes[-1].levels > MAX_LEVELS:
            raise ValueError(f"it is nested more than {MAX_LEVELS} levels deep")


def _close(node: _Node, around: _Node, anchors: dict[str, _Node]) -> None:
    if node.anchor is not None:
        anchors[node.anchor] = node
    around.add(node)
