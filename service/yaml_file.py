"""YAML files of strangers: data only, and read within bounds of memory and time.

A YAML file of a kilobyte can stand for gigabytes (aliases of aliases), hang the reader (a pipe, numbers of a million
digits) or name Python objects to be made. None of that is read here.
"""

import os
import stat
from pathlib import Path
from typing import Any

import yaml

#: A dataset of 10,000 classes has 300,000 bytes, 20,000 values, 2 levels. Python writes no number of over 4,300 digits.
MAX_BYTES = 1_000_000
MAX_VALUES = 250_000
MAX_LEVELS = 32
MAX_CHARACTERS = 1_024

#: libyaml's is ten times as fast; wheels of PyYAML have it, other builds may not.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class UnreadableYaml(ValueError):
    """Raised when a file is no YAML of the kind that is read here; the message begins with its path."""


def read(path: Path) -> Any:
    """What the file holds: nothing but dicts, lists, texts, numbers, dates. Raises UnreadableYaml."""
    try:
        text = read_bytes(path, MAX_BYTES).decode()
        _check(text)
        return yaml.load(text, _Loader)  # noqa: S506 (a safe loader)
    except OSError as error:
        raise UnreadableYaml(f"{path} cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, ValueError, ArithmeticError, RecursionError) as error:  # no UTF-8, no such date, 1:1:1:…
        raise UnreadableYaml(f"{path} is not YAML that is read here: {' '.join(str(error).split())[:300]}") from None


def read_bytes(path: Path, limit: int) -> bytes:
    """A regular file of at most `limit` bytes; nothing is waited for. Raises OSError; ValueError: when it is longer."""
    if not stat.S_ISREG(path.stat().st_mode):  # not even opened: some devices act on that
        raise OSError(0, "it is no file")
    with open(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(0, "it is no file")
        content = file.read(limit + 1)
    if len(content) > limit:
        raise ValueError(f"it has more than {limit} bytes")
    return content


def _check(text: str) -> None:
    """Raises ValueError: when a bound is exceeded. It stops there, so the rest costs nothing."""
    level = 0
    for values, event in enumerate(yaml.parse(text, _Loader)):
        if isinstance(event, yaml.AliasEvent):
            raise ValueError("aliases (*name) are not read")
        if isinstance(event, yaml.CollectionStartEvent):
            level += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            level -= 1
        elif isinstance(event, yaml.ScalarEvent) and len(event.value) > MAX_CHARACTERS:
            raise ValueError(f"a value has more than {MAX_CHARACTERS} characters")
        if level > MAX_LEVELS:
            raise ValueError(f"it is nested more than {MAX_LEVELS} levels deep")
        if values > MAX_VALUES:
            raise ValueError(f"it has more than {MAX_VALUES} values")
