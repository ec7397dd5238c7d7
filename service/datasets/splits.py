"""Where the images of a dataset's splits are: folders, and lists of images, as its YAML names them.

A relative `path` counts from the YAML's own folder, a relative split from `path`, a line of a list from the list's
folder (where it begins with `./`) or from the dataset's: never from the current folder, which is nobody's here.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from service.datasets import remedies
from service.datasets.files import Survey, UnsoundFiles
from service.datasets.keys import SPLITS
from service.datasets.safe_yaml import is_plain, read_bytes
from service.errors import UnfitDataset, UnreadSplit

#: A list file: half a million images.
MAX_LIST_BYTES = 50_000_000
#: What the lists of one split may take in memory, in bytes: an image is its path and what Python needs for it.
MAX_LISTED_BYTES = 200_000_000
_ENTRY_BYTES = 100
#: Folders and lists of a split.
MAX_PLACES = 1_000
#: Images of a split whose labels may be looked at before a job exists.
LOOKED_AT = 10_000
#: Where `str.splitlines` ends a line.
_LINE_ENDS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"


@dataclass
class Split:
    """The images of one split."""

    name: str
    #: Its folders, absolute, and its lists by their names in `lists`, as the clean copy has them.
    places: list[str] = field(default_factory=list)
    #: Name of a list → the images in it, absolute.
    lists: dict[str, list[str]] = field(default_factory=dict)
    #: The first LOOKED_AT of its images.
    images: list[str] = field(default_factory=list)
    #: Bytes that its lists may still take.
    room: int = field(default_factory=lambda: MAX_LISTED_BYTES)

    @property
    def is_whole(self) -> bool:
        """Whether `images` are all of them."""
        return len(self.images) < LOOKED_AT


def root_of(source: Path, content: Mapping[Any, Any]) -> Path:
    """The folder that the splits of a YAML file count from. Raises UnfitDataset."""
    return Path(os.path.abspath(source.parent / _text(content.get("path") or ".", "path")))


def find(source: Path, content: Mapping[Any, Any], survey: Survey, evaluated: str = "val") -> dict[str, Split]:
    """The splits of a YAML file by name. A training reads `train` and the one that it evaluates on (its `split`).

    One that it does not read need not be there. Raises UnfitDataset.
    """
    root, found = root_of(source, content), {}
    for name, keys in SPLITS.items():
        is_read = name in ("train", evaluated)
        value = next((content[key] for key in keys if content.get(key) not in (None, "")), None)
        if value is None and is_read:
            raise _unnamed(source, name)
        try:
            if value is not None:
                found[name] = _split(root, value, name, survey, content)
        except UnfitDataset:  # what the copy does not name, no training looks at
            if is_read:
                raise
    return found


def _unnamed(source: Path, name: str) -> UnfitDataset:
    if name == "test":
        return UnreadSplit(f"{source} names no test images: add `test:` to it, or leave split out")
    return UnfitDataset(f"{source} names no {name} images: add `{name}:` with their folder to it")


def _split(root: Path, value: Any, name: str, survey: Survey, content: Mapping[Any, Any]) -> Split:
    """The folders and list files of one split, each of which must be there."""
    split = Split(name)
    entries = value if isinstance(value, list) else [value]
    if not entries:
        raise UnfitDataset(f"{name}: the list is empty")
    if len(entries) > MAX_PLACES:
        raise UnfitDataset(f"{name} names {len(entries)} folders and lists, more than the {MAX_PLACES} that are read")
    for entry in entries:
        path = _path(root, _text(entry, name), survey, strips=isinstance(value, str))
        survey.check(str(path))
        if path.is_dir():
            real = os.path.realpath(path)  # as Ultralytics has it, also where it looks for the labels
            split.places.append(real)
            split.images += survey.images(real, LOOKED_AT - len(split.images))
        elif path.exists():
            _add_list(split, path, root, survey)
        else:
            raise UnfitDataset(remedies.missing(name, entry, path, root, content))
    if not split.images and not survey.is_late():
        raise UnfitDataset(_no_images(split, entries, root))
    return split


def _path(root: Path, entry: str, survey: Survey, *, strips: bool) -> Path:
    """Where an entry leads. Ultralytics strips a leading `../` (Roboflow writes one) when there is nothing."""
    path = Path(os.path.abspath(root / entry))
    if strips and entry.startswith("../"):
        try:
            is_there = survey.check(str(path)) is not None
        except UnsoundFiles:  # whatever is there, it is not looked at
            is_there = False
        stripped = Path(os.path.abspath(root / entry[3:]))
        return path if is_there or survey.check(str(stripped)) is None else stripped
    return path


def _no_images(split: Split, entries: list[Any], root: Path) -> str:
    listed = [image for images in split.lists.values() for image in images]
    if listed:
        return f"{split.name}: no image that {entries[0]} lists is there; the first is looked for at {listed[0]}"
    return f"{split.name}: no images in {os.path.abspath(root / entries[0])}"


def _add_list(split: Split, path: Path, root: Path, survey: Survey) -> None:
    """What a list file names goes into `lists`: a training reads a copy of it."""
    listed = _listed(path, root, split)
    split.room -= sum(map(len, listed)) + _ENTRY_BYTES * len(listed)
    place = f"{split.name}.{len(split.places)}.txt"
    split.places.append(place)
    split.lists[place] = listed
    split.images += survey.listed(listed, LOOKED_AT - len(split.images))


def _listed(source: Path, root: Path, split: Split) -> list[str]:
    """The images that a list file names, absolute; they may take the room that is left."""
    if source.suffix.lower() != ".txt":
        raise UnfitDataset(f"{split.name} must be a folder or a .txt that lists images, got {source.name!r}")
    try:
        text = read_bytes(source, MAX_LIST_BYTES).decode("utf-8-sig")
    except ValueError as error:
        raise UnfitDataset(f"{source} cannot be read: {error}") from None
    # A file of 50 MB has up to 50 million lines, each of which is to become a path.
    room = split.room - _ENTRY_BYTES * sum(map(text.count, _LINE_ENDS))
    if room < 0:
        raise _too_many(split)
    listed = []
    for line in filter(None, map(str.strip, text.splitlines())):  # as Ultralytics splits it
        if not is_plain(line) or "://" in line:
            raise UnfitDataset(f"{source} must name one image a line, got {line[:100]!r}")
        listed.append(os.path.abspath(os.path.join(source.parent if line.startswith("./") else root, line)))
        if (room := room - len(listed[-1])) < 0:
            raise _too_many(split)
    return listed


def _too_many(split: Split) -> UnfitDataset:
    return UnfitDataset(f"{split.name}: its lists name more images than are read: name folders instead")


def _text(value: Any, key: str) -> str:
    if not isinstance(value, str) or not is_plain(value) or "://" in value:
        raise UnfitDataset(f"{key} must be a path, got {repr(value)[:100]}")
    return value
