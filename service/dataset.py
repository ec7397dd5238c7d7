"""Datasets, read by the service itself: Ultralytics would run what a dataset's YAML tells it to.

A dataset YAML may hold shell commands and Python (`download:`), and relative paths that Ultralytics looks for in
several places. So the service reads and checks it, and lets a training see only a clean copy of known keys and
absolute paths.
"""

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
#: Directory entries looked at in search of the first image of a split.
MAX_ENTRIES = 10_000


def read(data: Any) -> dict[str, Any]:
    """The dataset's clean description: `path`, `train`, `val`, `test`?, `names`, `channels`?, all paths absolute.

    A relative `path` and relative splits are resolved against the YAML's own folder.
    Raises InvalidPayload: when there is no such dataset, or training on it could not work.
    """
    source = _source(data)
    try:
        content = yaml.safe_load(source.read_text("utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise _invalid(f"{source} is not YAML: {' '.join(str(error).split())}") from None
    except OSError as error:
        raise _invalid(f"{source} cannot be read: {error.strerror}") from None
    if not isinstance(content, dict):
        raise _invalid(f"{source} has no keys: expected path, train, val and names")
    root = source.parent / _text(content.get("path") or ".", "path")
    clean: dict[str, Any] = {"path": str(root.resolve())}
    for split in ("train", "val", "test"):
        if content.get(split) is not None:
            clean[split] = _split(root, content[split], split)
        elif split != "test":
            raise _invalid(f"{source} names no {split} images")
    clean["names"] = _names(content)
    if "channels" in content:
        clean["channels"] = _channels(content["channels"])
    return clean


def write(clean: dict[str, Any], folder: Path) -> Path:
    """Write the clean copy that a training sees."""
    folder.mkdir(parents=True, exist_ok=True)
    copy = folder / "data.yaml"
    copy.write_text(yaml.safe_dump(clean, sort_keys=False, allow_unicode=True), "utf-8")
    return copy


def _source(data: Any) -> Path:
    if not isinstance(data, str) or not data:
        raise _invalid("must be the path of a dataset YAML")
    if "://" in data or "\0" in data:
        raise _invalid("must be a path; the service downloads no datasets")
    source = Path(data)
    if not source.is_absolute():
        raise _invalid(f"must be an absolute path, got {data!r}")
    if source.suffix not in (".yaml", ".yml"):
        raise _invalid(f"must be a .yaml file, got {source.name!r}")
    try:
        size = source.stat().st_size if source.is_file() else None
    except OSError as error:
        raise _invalid(f"{source} cannot be read: {error.strerror}") from None
    if size is None:
        raise _invalid(f"there is no file {source}")
    if size > MAX_YAML_BYTES:
        raise _invalid(f"{source} has {size} bytes, a dataset YAML at most {MAX_YAML_BYTES}")
    return source


def _split(root: Path, value: Any, split: str) -> str | list[str]:
    """Folders or list files of one split, absolute; each must be there and have something in it."""
    entries = value if isinstance(value, list) else [value]
    paths = [(root / _text(entry, split)).resolve() for entry in entries]
    for path in paths:
        if path.is_dir():
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
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 1_000:
        raise _invalid(f"channels must be a number from 1 to 1000, got {value!r}")
    return value


def _text(value: Any, key: str) -> str:
    if not isinstance(value, str) or "\0" in value or "://" in value:
        raise _invalid(f"{key} must be a path, got {value!r}")
    return value


def _invalid(detail: str) -> InvalidPayload:
    return InvalidPayload([Fault(POINTER, detail)])
