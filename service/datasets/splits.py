"""The images of a dataset's splits: the folders and the lists of images that its YAML names.

A relative `path` counts from the YAML's folder. A relative split counts from `path`. A line of a list counts from the
list's folder when it begins with `./`, otherwise from `path`. Nothing counts from the current folder of the service.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from service.datasets import remedies
from service.datasets.files import Survey, UnsoundFiles
from service.datasets.keys import SPLITS
from service.datasets.safe_yaml import is_plain, read_bytes
from service.datasets.values import Content, Value, shown
from service.errors import UnfitDataset, UnreadSplit

#: Longest list file, in bytes: about half a million images.
MAX_LIST_BYTES = 50_000_000
#: Memory that the lists of one split may take, in bytes. Each image takes its path and _ENTRY_BYTES.
MAX_LISTED_BYTES = 200_000_000
_ENTRY_BYTES = 100
#: Most folders and lists of one split.
MAX_PLACES = 1_000
#: Most images of a split whose labels are read before a job exists.
LOOKED_AT = 10_000
#: The characters at which `str.splitlines` ends a line.
_LINE_ENDS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"


@dataclass(frozen=True)
class Split:
    """The images of one split."""

    name: str
    #: Its folders, absolute, and its lists by their names in `lists`, as the clean copy has them.
    places: Sequence[str]
    #: Name of a list → the images in it, absolute.
    lists: Mapping[str, Sequence[str]]
    #: Its first LOOKED_AT images.
    images: Sequence[str]

    @property
    def is_whole(self) -> bool:
        """Whether `images` has all images of the split."""
        return len(self.images) < LOOKED_AT


def root_of(source: Path, content: Content) -> Path:
    """The folder that the splits of a YAML file count from. Raises UnfitDataset."""
    return Path(os.path.abspath(source.parent / _text(content.get("path") or ".", "path")))


def find(source: Path, content: Content, survey: Survey, evaluated: str = "val") -> dict[str, Split]:
    """The splits of a YAML file by name. A training reads `train` and the one that it evaluates on (its `split`).

    A split that the training does not read may be missing. Raises UnfitDataset.
    """
    root, found = root_of(source, content), {}
    for name, keys in SPLITS.items():
        is_read = name in ("train", evaluated)
        value = next((content[key] for key in keys if content.get(key) not in (None, "")), None)
        if value is None and is_read:
            raise _unnamed(source, name)
        try:
            if value is not None:
                found[name] = _Reader(name, root, content, survey).split(value)
        except UnfitDataset:  # a split that the clean copy does not name is not read
            if is_read:
                raise
    return found


def _unnamed(source: Path, name: str) -> UnfitDataset:
    if name == "test":
        return UnreadSplit(f"{source} names no test images: add `test:` to it, or leave out the argument split")
    return UnfitDataset(f"{source} names no {name} images: add `{name}:` with the folder of its images")


class _Reader:
    """Reads one split, place by place."""

    def __init__(self, name: str, root: Path, content: Content, survey: Survey) -> None:
        self._name, self._root, self._content, self._survey = name, root, content, survey
        self._places: list[str] = []
        self._lists: dict[str, Sequence[str]] = {}
        self._images: list[str] = []
        self._room = MAX_LISTED_BYTES  # bytes that the lists may still take

    def split(self, value: Value) -> Split:
        """The folders and list files that a split names, each of which must be there. Raises UnfitDataset."""
        entries = value if isinstance(value, list) else [value]
        if not entries:
            raise UnfitDataset(f"{self._name}: the list is empty: name a folder of images")
        if len(entries) > MAX_PLACES:
            raise UnfitDataset(
                f"{self._name} names {len(entries)} folders and lists, more than the limit of {MAX_PLACES}"
            )
        for entry in entries:
            self._add(_text(entry, self._name), strips=isinstance(value, str))
        if not self._images and not self._survey.is_late():
            raise UnfitDataset(self._no_images(str(entries[0])))
        return Split(self._name, self._places, self._lists, self._images)

    def _add(self, entry: str, *, strips: bool) -> None:
        path = _path(self._root, entry, self._survey, strips=strips)
        self._survey.check(str(path))
        if path.is_dir():
            real = os.path.realpath(path)  # Ultralytics resolves it too, before it looks for the labels
            self._places.append(real)
            self._images += self._survey.images(real, LOOKED_AT - len(self._images))
        elif path.exists():
            self._add_list(path)
        else:
            raise UnfitDataset(remedies.missing(self._name, entry, path, self._root, self._content))

    def _add_list(self, path: Path) -> None:
        """Add the images that a list file names. The training reads a copy of the list."""
        listed = self._listed(path)
        self._room -= sum(map(len, listed)) + _ENTRY_BYTES * len(listed)
        place = f"{self._name}.{len(self._places)}.txt"
        self._places.append(place)
        self._lists[place] = listed
        self._images += self._survey.listed(listed, LOOKED_AT - len(self._images))

    def _listed(self, source: Path) -> list[str]:
        """The images that a list file names, absolute. Raises UnfitDataset: when they need more memory than is left."""
        if source.suffix.lower() != ".txt":
            raise UnfitDataset(f"{self._name} must be a folder or a .txt that lists images, got {source.name!r}")
        try:
            text = read_bytes(source, MAX_LIST_BYTES).decode("utf-8-sig")
        except ValueError as error:
            raise UnfitDataset(f"{source} cannot be read: {error}") from None
        # A file of 50 MB may have 50 million lines, and each line becomes a path.
        room = self._room - _ENTRY_BYTES * sum(map(text.count, _LINE_ENDS))
        if room < 0:
            raise self._too_many()
        listed = []
        for line in filter(None, map(str.strip, text.splitlines())):  # Ultralytics splits it so
            if not is_plain(line) or "://" in line:
                raise UnfitDataset(f"{source} must name one image per line, got {line[:100]!r}")
            listed.append(os.path.abspath(os.path.join(source.parent if line.startswith("./") else self._root, line)))
            if (room := room - len(listed[-1])) < 0:
                raise self._too_many()
        return listed

    def _too_many(self) -> UnfitDataset:
        return UnfitDataset(
            f"{self._name}: its lists name more images than are read ({MAX_LISTED_BYTES} bytes of memory):"
            " name folders instead"
        )

    def _no_images(self, first: str) -> str:
        listed = next((images[0] for images in self._lists.values() if images), None)
        if listed:
            return f"{self._name}: none of the images that {first} lists exists; the first is looked for at {listed}"
        return f"{self._name}: no images in {os.path.abspath(self._root / first)}"


def _path(root: Path, entry: str, survey: Survey, *, strips: bool) -> Path:
    """The path of an entry. Like Ultralytics, strips a leading `../` (Roboflow writes one) when nothing is there."""
    path = Path(os.path.abspath(root / entry))
    if strips and entry.startswith("../"):
        try:
            is_there = survey.check(str(path)) is not None
        except UnsoundFiles:  # outside of the roots, so it counts as missing
            is_there = False
        stripped = Path(os.path.abspath(root / entry[3:]))
        return path if is_there or survey.check(str(stripped)) is None else stripped
    return path


def _text(value: Value, key: str) -> str:
    if not isinstance(value, str) or not is_plain(value) or "://" in value:
        raise UnfitDataset(f"{key} must be a path, got {shown(value)}")
    return value
