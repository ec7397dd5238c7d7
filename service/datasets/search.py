"""Datasets under the data roots, for a person to choose from. Whether one can be trained on, `description` decides."""

import itertools
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from typing_extensions import TypedDict

from service.datasets import safe_yaml
from service.datasets.keys import SPLITS

#: Most datasets that are listed, most folders that are searched, and how deep below a root.
MAX_FOUND = 200
MAX_FOLDERS = 10_000
MAX_DEPTH = 4
#: Seconds that a search may take. A folder may hold many files, and parsing one of a megabyte takes a second.
SECONDS = 5.0
#: Most classes that are named for each dataset, and most characters of a name.
MAX_NAMES = 20
MAX_NAME_CHARACTERS = 200
#: Folders that hold thousands of files and no YAML that describes a dataset.
_SKIPPED = frozenset({"images", "labels", "train", "val", "test"})

Kind = Literal["yaml", "folder"]


class FoundDataset(TypedDict):
    """A dataset that was found, as `GET /datasets` shows it."""

    #: Its YAML, or the folder that has `train` and `val`.
    path: str
    name: str
    kind: Kind
    #: How many classes it has.
    classes: int
    #: The names of the first MAX_NAMES classes.
    names: list[str]


def find(roots: Sequence[Path]) -> list[FoundDataset]:
    """Each YAML and each folder that looks like a dataset.

    Links are not followed, and hidden folders are skipped.
    """
    deadline = time.monotonic() + SECONDS
    found = itertools.chain.from_iterable(_below(root, deadline) for root in roots)
    return list({entry["path"]: entry for entry in itertools.islice(found, MAX_FOUND)}.values())


def _below(root: Path, deadline: float) -> Iterator[FoundDataset]:
    for folder, folders, files in itertools.islice(os.walk(root, followlinks=False), MAX_FOLDERS):
        path = Path(folder)
        for name in sorted(file for file in files if file.lower().endswith((".yaml", ".yml"))):
            if time.monotonic() > deadline:
                return
            if classes := _classes_of_yaml(path / name):
                title = path.name if name.startswith(("data.", "dataset.")) else Path(name).stem
                yield _entry(path / name, title, "yaml", classes)
        # A link is skipped: it would show the names of files outside of the root.
        if (
            {"train", "val"} <= set(folders)
            and not (path / "train").is_symlink()
            and (classes := _class_folders(path / "train"))
        ):
            yield _entry(path, path.name, "folder", classes)
        is_deep = len(path.relative_to(root).parts) >= MAX_DEPTH
        folders[:] = [] if is_deep else sorted(f for f in folders if f[0] != "." and f not in _SKIPPED)


def _entry(path: Path, name: str, kind: Kind, classes: list[str]) -> FoundDataset:
    return {
        "path": str(path),
        "name": name,
        "kind": kind,
        "classes": len(classes),
        "names": [n[:MAX_NAME_CHARACTERS] for n in classes[:MAX_NAMES]],
    }


def _classes_of_yaml(path: Path) -> list[str]:
    """The names of the classes in a YAML; empty when the YAML does not describe a dataset."""
    try:
        if path.is_symlink() or b"train" not in safe_yaml.read_bytes(path, safe_yaml.MAX_BYTES):
            return []  # most YAML files are not datasets, and parsing is slow
        content = safe_yaml.read_dataset(path)
    except (OSError, ValueError):
        return []
    if not isinstance(content, dict) or not all(content.keys() & {*SPLITS[split]} for split in ("train", "val")):
        return []
    names, count = content.get("names"), content.get("nc")
    if isinstance(names, dict | list):
        return [str(name) for name in (names.values() if isinstance(names, dict) else names)]
    return [f"class_{number}" for number in range(count)] if isinstance(count, int) and 0 < count <= 100_000 else []


def _class_folders(train: Path) -> list[str]:
    """The names of the class folders; empty when `train` has the folders `images` or `labels`, as for other tasks."""
    try:
        with os.scandir(train) as entries:
            names = sorted(entry.name for entry in itertools.islice(entries, MAX_FOLDERS) if entry.is_dir())
    except OSError:
        return []
    return [] if {"images", "labels"} & set(names) else names
