"""Datasets, read by the service itself: Ultralytics would run what a dataset's YAML tells it to.

A dataset YAML may hold shell commands and Python (`download:`), and relative paths that Ultralytics looks for in
several places. So the service reads and checks it, and lets a training see only a clean copy of known keys and
absolute paths.
"""

import itertools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from service.errors import Fault, InvalidPayload

POINTER = "/fit_params/data"
MAX_YAML_BYTES = 1_000_000
MAX_CLASSES = 100_000
IMAGE_SUFFIXES = frozenset(
    {".avif", ".bmp", ".dng", ".heic", ".heif", ".jp2", ".jpeg", ".jpeg2000", ".jpg", ".mpo", ".png", ".tif", ".tiff"}
    | {".webp"}
)  # ultralytics.data.utils.IMG_FORMATS of 8.4
#: Where Ultralytics looks for a classification dataset's validation images, in its order.
VAL_FOLDERS = ("val", "validation", "valid", "test")
#: Directory entries looked at in search of the first image of a split.
MAX_ENTRIES = 10_000


def read(data: Any, task: str | None = None, roots: Sequence[Path] = ()) -> dict[str, Any] | None:
    """The dataset's clean description: `path`, `train`, `val`, `test`?, `names` and what its task needs.

    A relative `path` and relative splits are resolved against the YAML's own folder; all paths come out absolute.
    None for a classification dataset, which is a folder: it has no description, so there is nothing to clean.
    `task` is Ultralytics' name of it, None when that is not known before the weights are loaded. Every path must lie in
    one of `roots`, links resolved; without any, the file system's permissions alone decide.
    Raises InvalidPayload: when there is no such dataset, or training on it could not work.
    """
    source = _path(data)
    _check_roots([source], roots)
    if task == "classify" or (task is None and _is_dir(source)):
        _check_class_folders(source)
        return None
    content = _load(source)
    root = source.parent / _text(content.get("path") or ".", "path")
    clean: dict[str, Any] = {"path": str(root.resolve())}
    for split in ("train", "val", "test"):
        if content.get(split) is not None:
            clean[split] = _split(root, content[split], split)
        elif split != "test":
            raise _invalid(f"{source} names no {split} images")
    listed = [path for split in ("train", "val", "test") for path in _as_list(clean.get(split, []))]
    _check_roots([Path(clean["path"]), *map(Path, listed)], roots)
    clean["names"] = _names(content)
    if "channels" in content:
        clean["channels"] = _channels(content["channels"])
    if task == "pose" or (task is None and "kpt_shape" in content):
        clean |= _keypoints(content)
    return clean


def _check_roots(paths: Sequence[Path], roots: Sequence[Path]) -> None:
    for path in paths:
        if roots and not any(path.resolve().is_relative_to(root.resolve()) for root in roots):
            raise _invalid(f"{path} is outside of the folders that --data-root names")


def _as_list(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def _is_dir(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError as error:
        raise _invalid(f"{path} cannot be read: {error.strerror}") from None


def write(clean: dict[str, Any], folder: Path) -> Path:
    """Write the clean copy that a training sees."""
    folder.mkdir(parents=True, exist_ok=True)
    copy = folder / "data.yaml"
    with copy.open("w", encoding="utf-8") as file:
        yaml.safe_dump(clean, file, sort_keys=False, allow_unicode=True)
        file.flush()
        os.fsync(file.fileno())  # the job that needs it is on the disk before it is acknowledged
    return copy


def _load(source: Path) -> dict[Any, Any]:
    _check_yaml_file(source)
    try:
        content = yaml.safe_load(source.read_text("utf-8"))
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: no UTF-8, or no such date
        raise _invalid(f"{source} is not YAML: {' '.join(str(error).split())}") from None
    except OSError as error:
        raise _invalid(f"{source} cannot be read: {error.strerror}") from None
    if not isinstance(content, dict):
        raise _invalid(f"{source} has no keys: expected path, train, val and names")
    return content


def _path(data: Any) -> Path:
    if not isinstance(data, str) or not data:
        raise _invalid("must be the path of a dataset")
    if "://" in data or "\0" in data:
        raise _invalid("must be a path; the service downloads no datasets")
    source = Path(data)
    if not source.is_absolute():
        raise _invalid(f"must be an absolute path, got {data!r}")
    return source


def _check_yaml_file(source: Path) -> None:
    try:
        size = source.stat().st_size if source.is_file() else None
    except OSError as error:
        raise _invalid(f"{source} cannot be read: {error.strerror}") from None
    if _is_dir(source):
        raise _invalid(f"{source} is a folder: only a classification model trains on one, others on a .yaml")
    if source.suffix not in (".yaml", ".yml"):
        raise _invalid(f"must be a .yaml file, got {source.name!r}")
    if size is None:
        raise _invalid(f"there is no file {source}")
    if size > MAX_YAML_BYTES:
        raise _invalid(f"{source} has {size} bytes, a dataset YAML at most {MAX_YAML_BYTES}")


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
    return [path for path in itertools.islice(folder.iterdir(), MAX_ENTRIES) if path.is_dir()]


def _keypoints(content: dict[Any, Any]) -> dict[str, Any]:
    """What a pose dataset says of its keypoints: `kpt_shape` (number, 2 or 3), `flip_idx`?, `kpt_names`?."""
    shape, flip = content.get("kpt_shape"), content.get("flip_idx")
    if not isinstance(shape, list) or len(shape) != 2 or not _is_count(shape[0], 1_000) or shape[1] not in (2, 3):
        raise _invalid(f"kpt_shape must be [number of keypoints, 2 or 3], got {shape!r}")
    found: dict[str, Any] = {"kpt_shape": shape}
    if flip is not None:
        if not isinstance(flip, list) or sorted(flip, key=str) != sorted(range(shape[0]), key=str):
            raise _invalid(f"flip_idx must be the numbers 0 to {shape[0] - 1} in another order")
        found["flip_idx"] = flip
    return found


def _is_count(value: Any, highest: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= highest


def _split(root: Path, value: Any, split: str) -> str | list[str]:
    """Folders or list files of one split, absolute; each must be there and have something in it."""
    entries = value if isinstance(value, list) else [value]
    paths = [(root / _text(entry, split)).resolve() for entry in entries]
    for path in paths:
        if _is_dir(path):
            if not _has_image(path):
                raise _invalid(f"{split}: no images in {path}")
        elif not path.is_file():
            raise _invalid(f"{split}: there is no {path}")
    if not paths:
        raise _invalid(f"{split}: the list is empty")
    return [str(path) for path in paths] if isinstance(value, list) else str(paths[0])


def _has_image(folder: Path) -> bool:
    """Whether a folder or one below it has an image; a folder too large to tell is taken at its word."""
    for count, path in enumerate(folder.rglob("*")):
        if path.suffix.lower() in IMAGE_SUFFIXES or count > MAX_ENTRIES:
            return True
    return False


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
    if any(isinstance(name, dict | list) for name in names.values()):
        raise _invalid("names must be texts")
    return {index: str(names[index]) for index in range(len(names))}


def _channels(value: Any) -> int:
    if not _is_count(value, 1_000):
        raise _invalid(f"channels must be a number from 1 to 1000, got {value!r}")
    return int(value)


def _text(value: Any, key: str) -> str:
    if not isinstance(value, str) or "\0" in value or "://" in value:
        raise _invalid(f"{key} must be a path, got {value!r}")
    return value


def _invalid(detail: str) -> InvalidPayload:
    return InvalidPayload([Fault(POINTER, detail)])
