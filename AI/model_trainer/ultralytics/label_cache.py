"""Keeps the caches that Ultralytics makes of a dataset in a folder of our own, in a format that runs no code.

Ultralytics writes what it learned from scanning a dataset beside the labels, as a pickle: whoever can put a file
there runs code in the training, and a file of the user's by that name is deleted. It also reads, refreshes and
deletes `.npy` files beside the images. After `redirect` it does all of that in one folder, under names of our own.

A cache file is two lines that say what it is and whether it is whole, one line of JSON (the tree of
`_encode`), and the bytes of all arrays.
"""

import hashlib
import json
import logging
import os
import tempfile
from functools import cache, partial
from pathlib import Path, PurePath
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from AI.model_trainer.ultralytics.patches import apply_for_good

logger = logging.getLogger(__name__)

Bytes: TypeAlias = NDArray[np.uint8]

_FORMAT = b"label cache 1\n"
_ALIGNMENT = 16  # bytes: numpy and torch want numbers at multiples of their size
_KINDS = "biuf"  # booleans and numbers: the dtypes whose bytes are just values


def redirect(folder: str | os.PathLike[str]) -> None:
    """Have every dataset of this process keep its caches in `folder`, which is made if need be.

    It rebinds the two cache functions where Ultralytics' datasets look them up, and the place of the images' `.npy`
    files; the folder named last counts. A cache file that is damaged, or is none, is treated as absent. Processes may
    share a folder; nothing is ever removed from it.

    Two things are not reached: the `.npy` files of classification with `cache="disk"`, and the processes that
    Ultralytics starts for a training on several GPUs.
    """
    root = Path(folder).absolute()
    root.mkdir(parents=True, exist_ok=True)

    def load_dataset_cache_file(path: Path) -> Any:
        return _load(_place(root, path, ".labels"))

    def save_dataset_cache_file(prefix: str, path: Path, x: dict[str, Any], version: str) -> None:
        x["version"] = version  # the caller counts on it, whether or not anything is written
        try:
            _save(_place(root, path, ".labels"), x)
        except Exception:  # a training can do without a cache
            logger.warning("no label cache for %s", path, exc_info=True, extra={"action": "label_cache"})

    apply_for_good("ultralytics.data.dataset:load_dataset_cache_file", load_dataset_cache_file)
    apply_for_good("ultralytics.data.dataset:save_dataset_cache_file", save_dataset_cache_file)
    apply_for_good("ultralytics.data.base:BaseDataset.npy_files", _ImageCaches(root))


class _ImageCaches:
    """Stands in for the attribute `npy_files` of datasets: paths beside the images become paths in `root`."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def __get__(self, dataset: Any, _: type | None = None) -> Any:
        return self if dataset is None else dataset.__dict__["npy_files"]

    def __set__(self, dataset: Any, paths: list[Path]) -> None:
        dataset.__dict__["npy_files"] = [_place(self._root, path, ".npy") for path in paths]


def _place(root: Path, path: str | os.PathLike[str], suffix: str) -> Path:
    """Where in `root` that is kept which Ultralytics would keep at `path`."""
    return root / (hashlib.sha256(os.fsencode(os.path.abspath(path))).hexdigest() + suffix)


def _save(path: Path, tree: object) -> None:
    """Write a cache file in one step: who reads meanwhile finds the old one or the new one.

    Raises TypeError: when there is something in the tree that the format does not know.
    """
    arrays = bytearray()
    header = json.dumps(_encode(tree, arrays)).encode() + b"\n"
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.stem, suffix=".tmp")
    try:
        with open(descriptor, "wb") as file:
            file.writelines((_FORMAT, _digest(header, arrays), header, arrays))
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _load(path: Path) -> Any:
    """The tree in a cache file; its arrays can be written to. Raises FileNotFoundError: when there is no sound one."""
    try:
        with open(path, "rb") as file:
            if file.readline(len(_FORMAT)) != _FORMAT:
                raise ValueError("not a label cache of this version")
            digest, header = file.readline(), file.readline()
            arrays = np.fromfile(file, dtype=np.uint8)
        if digest != _digest(header, arrays.data):
            raise ValueError("damaged")
        return json.loads(header, object_hook=partial(_decode, arrays))
    except FileNotFoundError:
        raise
    except Exception as error:
        logger.warning("label cache %s ignored: %s", path, error, extra={"action": "label_cache"})
        raise FileNotFoundError(path) from error


def _digest(header: bytes, arrays: bytearray | memoryview) -> bytes:
    whole = hashlib.sha256(header)
    whole.update(arrays)
    return whole.hexdigest().encode() + b"\n"


# The tree: JSON, and an object with one key that begins with "$" for what JSON has not.


def _encode(value: object, arrays: bytearray) -> Any:
    """`value` as JSON; the bytes of its arrays are appended to `arrays`."""
    match value:
        case None | bool() | int() | float() | str():
            return value
        case list():
            return [_encode(item, arrays) for item in value]
        case tuple():
            return {"$tuple": [_encode(item, arrays) for item in value]}
        case dict() if all(isinstance(key, str) and not key.startswith("$") for key in value):
            return {key: _encode(item, arrays) for key, item in value.items()}
        case dict():
            return {"$dict": [[_encode(key, arrays), _encode(item, arrays)] for key, item in value.items()]}
        case PurePath():
            return {"$path": str(value)}
        case np.ndarray() | np.generic() if value.dtype.kind in _KINDS:
            arrays.extend(bytes(-len(arrays) % _ALIGNMENT))
            entry = [value.dtype.str, list(value.shape), len(arrays)]
            arrays.extend(value.tobytes())
            return {"$array" if isinstance(value, np.ndarray) else "$number": entry}
    raise TypeError(f"a label cache cannot hold {type(value).__name__}")


def _decode(arrays: Bytes, node: dict[str, Any]) -> Any:
    """Undo `_encode` for one JSON object whose values are decoded already."""
    match node:
        case {"$tuple": items}:
            return tuple(items)
        case {"$dict": items}:
            return dict(items)
        case {"$path": path}:
            return Path(path)
        case {"$array": entry}:
            return _array(arrays, *entry)
        case {"$number": entry}:
            return _array(arrays, *entry)[()]
    return node


def _array(arrays: Bytes, dtype: str, shape: list[int], offset: int) -> NDArray[Any]:
    """The array at `offset`, a view into `arrays`. Raises TypeError or ValueError: when it is not all in there."""
    if offset < 0 or any(length < 0 for length in shape):  # numpy would look at what lies before `arrays`
        raise ValueError(f"no array: {shape} at {offset}")
    return np.ndarray(shape, _number(dtype), arrays, offset)


@cache
def _number(name: str) -> np.dtype[Any]:
    """Raises ValueError: when `name` is no plain number; an object's bytes would be taken for an address."""
    dtype = np.dtype(name)
    if dtype.kind not in _KINDS:
        raise ValueError(f"no number: {name}")
    return dtype
