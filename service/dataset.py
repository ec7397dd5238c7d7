"""Datasets, read by the service itself: Ultralytics would run what a dataset's YAML tells it to.

A dataset YAML may hold shell commands and Python (`download:`), and relative paths that Ultralytics looks for in
several places. So the service reads and checks it, and lets a training see only a clean copy of known keys and
absolute paths.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import yaml

from service import yaml_file
from service.errors import Fault, InvalidPayload
from service.image_files import MAX_LABEL_BYTES, Survey, UnsoundFiles, is_image, label_of

POINTER = "/fit_params/data"
MAX_CLASSES = 100_000
MAX_NAME_CHARACTERS = 200
#: A list file: half a million images.
MAX_LIST_BYTES = 50_000_000
#: What the lists of one split may take in memory, in bytes: an image is its path and what Python needs for it.
MAX_LISTED_BYTES = 200_000_000
_ENTRY_BYTES = 100
#: Folders and lists of a split.
MAX_PLACES = 1_000
#: Images of a split whose labels are read before a job exists.
SAMPLE = 16
#: Where Ultralytics looks for a classification dataset's validation images, in its order.
VAL_FOLDERS = ("val", "validation", "valid", "test")
#: Folders of classes, and files in one of them, that are looked at.
MAX_ENTRIES = 10_000
#: Lines of one image's labels that are read.
MAX_LABEL_LINES = 10_000
#: Where `str.splitlines` ends a line.
_LINE_ENDS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"
_WILD = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


@dataclass(frozen=True)
class Dataset:
    """What a training may see of a dataset."""

    #: `path`, `train`, `val`, `test`?, `names` and what its task needs; all paths absolute.
    description: dict[str, Any]
    #: Name of a list file in the job's folder, as `description` has it → the images in it, absolute.
    lists: dict[str, list[str]] = field(default_factory=dict)


def read(data: Any, task: str | None = None, roots: Sequence[Path] = ()) -> Dataset | None:
    """The dataset's clean description.

    A relative `path` and relative splits are resolved against the YAML's own folder; the lines of a list of images
    against the list's folder (those that begin with `./`) or the dataset's.
    None for a classification dataset, which is a folder: it has no description, so there is nothing to clean.
    `task` is Ultralytics' name of it, None when that is not known before the weights are loaded. Every path must lie in
    one of `roots`, links resolved; without any, the file system's permissions alone decide.
    Raises InvalidPayload: when there is no such dataset, or training on it could not work.
    """
    with _refusing():
        source, survey = _path(data), Survey(roots, task)
        survey.check(str(source))
        if task == "classify" or (task is None and source.is_dir()):
            survey.images(str(source), 0)  # first: what a refusal names may lie outside of the roots
            _check_class_folders(source)
            return None
        return _read(source, task, survey)


def known(name: str, addresses: Mapping[str, str | None], folder: Path, downloads: bool) -> str | None:
    """The path of a dataset that Ultralytics knows by name, None when a worker will have to get it first.

    Raises InvalidPayload: when it is not in `folder` and will not be.
    """
    address = addresses[name]
    if address is None:
        raise _invalid(f"{name} is got by a script, which is not run here: name the data.yaml of a copy")
    found = folder / Path(name).stem / "data.yaml"
    if found.is_file():
        return str(found)
    archive = address.rpartition("/")[2]
    if not downloads and not (folder / archive).is_file():
        raise _invalid(f"{name} is not here; --allow-downloads lets the service get it, or put {archive} into {folder}")
    return None


@contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except (yaml_file.UnreadableYaml, UnsoundFiles) as error:
        raise _invalid(str(error)) from None
    except OSError as error:  # a folder that may not be read, a name that is too long
        raise _invalid(f"{error.filename} cannot be read: {error.strerror}") from None


def _read(source: Path, task: str | None, survey: Survey) -> Dataset:
    content = _load(source)
    root = Path(os.path.abspath(source.parent / _text(content.get("path") or ".", "path")))
    survey.check(str(root))
    clean = Dataset({"path": str(root)})
    samples = {}
    for split in ("train", "val", "test"):
        if content.get(split) is not None:
            clean.description[split], samples[split] = _split(root, content[split], split, survey, clean.lists)
        elif split != "test":
            raise _invalid(f"{source} names no {split} images")
    names = clean.description["names"] = _names(content)
    for split, images in samples.items():
        _check_labels(split, images, len(names), survey)
    if "channels" in content:
        clean.description["channels"] = _channels(content["channels"])
    if task == "pose" or (task is None and "kpt_shape" in content):
        clean.description.update(_keypoints(content))
    return clean


def write(clean: Dataset, folder: Path) -> Path:
    """Write the clean copy that a training sees."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, images in clean.lists.items():
        _write(folder / name, "".join(f"{image}\n" for image in images))
    description = dict(clean.description)
    for split in {"train", "val", "test"} & description.keys():
        places = [str(folder / name) if name in clean.lists else name for name in description[split]]
        description[split] = places[0] if len(places) == 1 else places
    copy = folder / "data.yaml"
    _write(copy, yaml.safe_dump(description, sort_keys=False, allow_unicode=True))
    return copy


def _write(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())  # the job that needs it is on the disk before it is acknowledged


def _load(source: Path) -> dict[Any, Any]:
    if source.is_dir():
        raise _invalid(f"{source} is a folder: only a classification model trains on one, others on a .yaml")
    if source.suffix not in (".yaml", ".yml"):
        raise _invalid(f"must be a .yaml file, got {source.name!r}")
    if not source.exists():
        raise _invalid(f"there is no file {source}")
    content = yaml_file.read(source)
    if not isinstance(content, dict):
        raise _invalid(f"{source} has no keys: expected path, train, val and names")
    return content


def _path(data: Any) -> Path:
    if not isinstance(data, str) or not data:
        raise _invalid("must be the path of a dataset")
    if "://" in data or not _is_plain(data):
        raise _invalid("must be a path; the service downloads no datasets")
    source = Path(data)
    if not source.is_absolute():
        raise _invalid(f"must be an absolute path, or a name that Ultralytics knows, got {data!r}")
    return Path(os.path.abspath(source))


def _check_class_folders(root: Path) -> None:
    """A folder with train/ and val/, in each a folder per class.

    Where one is missing, Ultralytics would download something or split the images into a new folder beside this one.
    """
    if not root.is_dir():
        raise _invalid(
            f"there is no folder {root}: a classification dataset has train/ and val/ with a folder per class"
        )
    train = root / "train"
    val = next((root / name for name in VAL_FOLDERS if (root / name).is_dir()), None)
    if not train.is_dir() or val is None:
        raise _invalid(f"{root} needs the folders train and val, in each a folder per class")
    classes = [folder for folder in _folders(train) if _has_image(folder)]
    if not classes:
        raise _invalid(f"train: no images in the folders of {train}")
    if unknown := sorted({folder.name for folder in _folders(val)} - {folder.name for folder in _folders(train)}):
        raise _invalid(f"{val.name} has the class {unknown[0]!r}, train has not")
    if not any(_has_image(folder) for folder in _folders(val)):
        raise _invalid(f"val: no images in the folders of {val}")


def _folders(folder: Path) -> list[Path]:
    return [path for path in islice(folder.iterdir(), MAX_ENTRIES) if path.is_dir()]


def _has_image(folder: Path) -> bool:
    return any(is_image(path.name) for path in islice(folder.rglob("*"), MAX_ENTRIES))


def _keypoints(content: dict[Any, Any]) -> dict[str, Any]:
    """What a pose dataset says of its keypoints: `kpt_shape` (number, 2 or 3), `flip_idx`?, `kpt_names`?."""
    shape, flip = content.get("kpt_shape"), content.get("flip_idx")
    if not isinstance(shape, list) or len(shape) != 2 or not _is_count(shape[0], 1_000) or shape[1] not in (2, 3):
        raise _invalid(f"kpt_shape must be [number of keypoints, 2 or 3], got {repr(shape)[:100]}")
    found: dict[str, Any] = {"kpt_shape": shape}
    if flip is not None:
        if not isinstance(flip, list) or sorted(flip, key=str) != sorted(range(shape[0]), key=str):
            raise _invalid(f"flip_idx must be the numbers 0 to {shape[0] - 1} in another order")
        found["flip_idx"] = flip
    return found


def _is_count(value: Any, highest: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= highest


def _split(
    root: Path, value: Any, split: str, survey: Survey, lists: dict[str, list[str]]
) -> tuple[list[str], list[str]]:
    """The folders and list files of one split, each of which must be there and have an image in it; and a few images.

    What a list file names goes into `lists`: a training reads a copy of it.
    """
    places: list[str] = []
    sample: list[str] = []
    room = MAX_LISTED_BYTES
    entries = value if isinstance(value, list) else [value]
    if len(entries) > MAX_PLACES:
        raise _invalid(f"{split} names {len(entries)} folders and lists, more than the {MAX_PLACES} that are read")
    for entry in entries:
        path = Path(os.path.abspath(root / _text(entry, split)))
        survey.check(str(path))
        if path.is_dir():
            images = survey.images(str(path), SAMPLE)
            places.append(str(path))
        elif path.exists():
            listed = _listed(path, root, split, room)
            room -= sum(map(len, listed)) + _ENTRY_BYTES * len(listed)
            images = survey.listed(listed, SAMPLE)
            places.append(f"{split}.{len(places)}.txt")
            lists[places[-1]] = listed
        else:
            raise _invalid(f"{split}: there is no {path}")
        if not images and not survey.is_late():
            raise _invalid(f"{split}: no images in {path}")
        sample += images
    if not places:
        raise _invalid(f"{split}: the list is empty")
    return places, sample


def _listed(source: Path, root: Path, split: str, room: int) -> list[str]:
    """The images that a list file names, absolute; they may take `room` bytes."""
    if source.suffix != ".txt":
        raise _invalid(f"{split} must be a folder or a .txt that lists images, got {source.name!r}")
    try:
        text = yaml_file.read_bytes(source, MAX_LIST_BYTES).decode()
    except ValueError as error:
        raise _invalid(f"{source} cannot be read: {error}") from None
    # A file of 50 MB has up to 50 million lines, each of which is to become a path.
    if (room := room - _ENTRY_BYTES * sum(map(text.count, _LINE_ENDS))) < 0:
        raise _too_many(split)
    listed = []
    for line in filter(None, map(str.strip, text.splitlines())):  # as Ultralytics splits it
        if not _is_plain(line) or "://" in line:
            raise _invalid(f"{source} must name one image a line, got {line[:100]!r}")
        listed.append(os.path.abspath(os.path.join(source.parent if line.startswith("./") else root, line)))
        if (room := room - len(listed[-1])) < 0:
            raise _too_many(split)
    return listed


def _too_many(split: str) -> InvalidPayload:
    return _invalid(f"{split}: its lists name more images than are read: name folders instead")


def _check_labels(split: str, images: list[str], classes: int, survey: Survey) -> None:
    """Of a few labels at least one must be of this dataset: Ultralytics drops images whose labels are not."""
    faults = []
    for path in map(label_of, images):
        if survey.is_late():
            return
        if os.path.isfile(path):
            fault = _label_fault(path, classes)
            if fault is None:
                return
            faults.append(f"{split}: {path}: {fault}")
    if faults:
        raise _invalid(faults[0])


def _label_fault(path: str, classes: int) -> str | None:
    """What is wrong with one image's labels, or None. What is in the file is not told: it may be anything."""
    try:
        lines = yaml_file.read_bytes(Path(path), MAX_LABEL_BYTES).decode().splitlines()
    except ValueError:
        return "it is no text"
    for number, line in enumerate(filter(None, map(str.strip, lines[:MAX_LABEL_LINES])), 1):
        try:
            kind, *numbers = map(float, line.split())
        except ValueError:
            return f"line {number} must be a class and numbers"
        if len(numbers) < 4:
            return f"line {number} must have four numbers or more after its class"
        if not 0 <= kind < classes:
            return f"line {number} is of class {kind:g}, the dataset has {classes} classes from 0"
    return None


def _names(content: dict[Any, Any]) -> dict[int, str]:
    names, number = content.get("names"), content.get("nc")
    if isinstance(names, list):
        names = dict(enumerate(names))
    if names is None and isinstance(number, int) and 0 < number <= MAX_CLASSES:
        names = {index: f"class_{index}" for index in range(number)}
    if not isinstance(names, dict) or not names or len(names) > MAX_CLASSES:
        raise _invalid("names must list the classes")
    if sorted(names, key=str) != sorted(range(len(names)), key=str):
        raise _invalid(f"names must be numbered 0 to {len(names) - 1}")
    if isinstance(number, int) and number != len(names):
        raise _invalid(f"nc is {number}, but names lists {len(names)} classes")
    if any(isinstance(name, dict | list | set) for name in names.values()):
        raise _invalid("names must be texts")
    texts = {index: str(names[index]) for index in range(len(names))}
    if wrong := [text for text in texts.values() if len(text) > MAX_NAME_CHARACTERS or not _is_plain(text)]:
        raise _invalid(f"names must be texts of at most {MAX_NAME_CHARACTERS} characters, got {wrong[0][:100]!r}")
    return texts


def _channels(value: Any) -> int:
    if not _is_count(value, 1_000):
        raise _invalid(f"channels must be a number from 1 to 1000, got {repr(value)[:100]}")
    return int(value)


def _text(value: Any, key: str) -> str:
    if not isinstance(value, str) or not _is_plain(value) or "://" in value:
        raise _invalid(f"{key} must be a path, got {repr(value)[:100]}")
    return value


def _is_plain(text: str) -> bool:
    """No control characters, none that end a line for somebody, no halves of surrogates."""
    return _WILD.search(text) is None


def _invalid(detail: str) -> InvalidPayload:
    return InvalidPayload([Fault(POINTER, detail)])
