"""The keys of a dataset's YAML that a training reads, and what each may hold. The clean copy has these, no others.

`Keys` has them, with the place in Ultralytics that reads each. `UNREAD` has the keys that Ultralytics' code names but
that a training does not get from a user's file. A test compares both with the installed version.
"""

import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import PurePosixPath
from typing import TypeGuard

from service.datasets.safe_yaml import is_plain
from service.datasets.values import Content, Key, Value, shown, whole
from service.errors import UnfitDataset

MAX_CLASSES = 100_000
#: No value of a YAML is longer (`safe_yaml.MAX_CHARACTERS`).
MAX_NAME_CHARACTERS = 1_024
MAX_KEYPOINTS = 1_000
MAX_CHANNELS = 1_000
#: Split → the keys that may name its places; the first that is there counts. Ultralytics knows the first two.
SPLITS: Mapping[str, tuple[str, ...]] = {
    "train": ("train",),
    "val": ("val", "validation", "valid"),
    "test": ("test",),
}


@dataclass(frozen=True)
class Keys:
    """The checked keys; None: the clean copy leaves the key out. The comments name the readers in Ultralytics 8.4."""

    #: Class number → name. data/utils.py check_det_dataset; trainers, validators and plots.
    names: Mapping[int, str]
    #: data/dataset.py YOLODataset: how images are read; each trainer's get_model.
    channels: int | None = None
    #: Number of keypoints, and 2 or 3 numbers for each. data/dataset.py verify_args, of every task;
    #: models/yolo/pose/train.py, val.py.
    kpt_shape: tuple[int, int] | None = None
    #: data/augment.py v8_transforms.
    flip_idx: tuple[int, ...] | None = None
    #: models/yolo/pose/train.py for the loss, val.py for the mAP.
    kpt_oks_sigmas: tuple[float, ...] | None = None
    #: models/yolo/pose/train.py: into the checkpoint.
    kpt_names: Value = None
    #: The unit of depth images. data/dataset.py DepthDataset.
    depth_scale: float | None = None
    #: models/yolo/depth/train.py, val.py; engine/model.py.
    max_depth: float | None = None
    #: data/utils.py check_det_dataset, data/build.py, data/dataset.py SemanticDataset.
    masks_dir: str | None = None
    #: A mask's number → class, 255 for what is ignored. data/dataset.py SemanticDataset.
    label_mapping: Mapping[int, int] | None = None
    #: models/yolo/depth/train.py: into the checkpoint.
    hash: str | None = None
    #: A converted NDJSON, to which `fraction` was applied before. data/build.py, models/rtdetr/train.py, val.py.
    complete: bool | None = None

    def as_dict(self) -> dict[str, object]:
        """The keys as the clean copy writes them."""
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        return {
            key: list(value) if isinstance(value, tuple) else value for key, value in found.items() if value is not None
        }


#: Keys that Ultralytics' code names and the clean copy does not get from here, with the reason.
UNREAD: Mapping[str, str] = {
    "path": "made by `splits`",
    "train": "made by `splits`",
    "val": "made by `splits`",
    "test": "made by `splits`",
    "validation": "renamed to val",
    "nc": "Ultralytics counts the names",
    "download": "a shell command or Python, run when images are missing",
    "yaml_file": "the file's own name, set by Ultralytics",
    "minival": "read only by YOLO-World's own trainer on several datasets",
    "bg_class_idx": "set by Ultralytics for polygons of a semantic model",
    "_polygon_bg_added": "set by Ultralytics for polygons of a semantic model",
}


def checked(content: Content, task: str | None) -> Keys:
    """The keys of a dataset's YAML. `task` None is for any task. Raises UnfitDataset."""
    classes, channels, shape = names(content), _channels(content), _kpt_shape(content.get("kpt_shape"), task)
    keypoints = shape if task in ("pose", None) else None
    return Keys(
        names=classes,
        channels=channels,
        kpt_shape=shape,
        flip_idx=_flip_idx(content.get("flip_idx"), keypoints),
        kpt_oks_sigmas=_kpt_oks_sigmas(content.get("kpt_oks_sigmas"), keypoints),
        kpt_names=_kpt_names(content.get("kpt_names"), task),
        depth_scale=_depth("depth_scale", content, task),
        max_depth=_depth("max_depth", content, task),
        masks_dir=masks_dir(content, task),
        label_mapping=_label_mapping(content.get("label_mapping"), task),
        hash=_hash(content.get("hash")),
        complete=bool(content.get("complete")) or None,
    )


def names(content: Content) -> dict[int, str]:
    """The names of the classes by their numbers, as `check_class_names` makes them. Raises UnfitDataset."""
    number = _count_of_classes(content)
    found = _named(content.get("names"), number)
    if not found or len(found) > MAX_CLASSES:
        raise UnfitDataset(f"names must list the classes, 1 to {MAX_CLASSES}, got {shown(content.get('names'))}")
    try:
        texts = {whole(key): str(name) for key, name in found.items()}
    except (ValueError, OverflowError):
        texts = {}
    if texts.keys() != set(range(len(found))):
        raise UnfitDataset(f"names must be numbered 0 to {len(found) - 1} without gaps")
    if number is not None and number != len(found):
        raise UnfitDataset(f"nc is {number}, but names lists {len(found)} classes: correct nc or remove it")
    for text in texts.values():
        if len(text) > MAX_NAME_CHARACTERS or not is_plain(text, line_ends=True):
            raise UnfitDataset(
                f"names must have at most {MAX_NAME_CHARACTERS} characters each and no control characters,"
                f" got {shown(text)}"
            )
    return {index: texts[index] for index in range(len(texts))}


def _named(value: Value, number: int | None) -> dict[Key, Value]:
    """The names as written, or `class_0`, `class_1`, … when only `nc` is there. Empty: there are no classes."""
    if isinstance(value, dict):
        return value
    if isinstance(value, list):
        return dict(enumerate(value))
    if value is None and number is not None and 0 < number <= MAX_CLASSES:
        return {index: f"class_{index}" for index in range(number)}
    return {}


def _count_of_classes(content: Content) -> int | None:
    """What `nc` says, which may be `2`, `2.0` or `"2"`; None when it says nothing."""
    value = content.get("nc")
    if value is None or isinstance(value, int):
        return value
    try:
        if isinstance(value, str | bytes | float) and (number := float(value)).is_integer():
            return int(number)
    except ValueError:
        pass
    raise UnfitDataset(f"nc must be the number of classes, got {shown(value)}")


def _channels(content: Content) -> int | None:
    if "channels" not in content:
        return None
    value = content["channels"]
    if not _is_count(value, MAX_CHANNELS):
        raise UnfitDataset(f"channels must be a whole number from 1 to {MAX_CHANNELS}, got {shown(value)}")
    return value


def _kpt_shape(value: Value, task: str | None) -> tuple[int, int] | None:
    """The shape of the keypoints. Other tasks than pose need it too: with it they tell keypoints from a polygon."""
    if value is None and task != "pose":
        return None
    if isinstance(value, list) and len(value) == 2:
        points, coordinates = value
        if _is_count(points, MAX_KEYPOINTS) and coordinates in (2, 3):
            return points, whole(coordinates)
    raise UnfitDataset(f"kpt_shape must be [number of keypoints, 2 or 3], got {shown(value)}")


def _flip_idx(value: Value, shape: tuple[int, int] | None) -> tuple[int, ...] | None:
    """For each keypoint the index of its mirror image. Ultralytics does not ask that each index is there once."""
    if value is None or shape is None:
        return None
    count = shape[0]
    if not isinstance(value, list) or len(value) not in (0, count) or not all(_is_index(item, count) for item in value):
        raise UnfitDataset(f"flip_idx must list {count} keypoint numbers from 0 to {count - 1}, got {shown(value)}")
    return tuple(map(whole, value))


def _kpt_oks_sigmas(value: Value, shape: tuple[int, int] | None) -> tuple[float, ...] | None:
    if not value or shape is None:
        return None
    if isinstance(value, list):
        sigmas = tuple(item for item in value if _is_positive(item))
        if len(sigmas) == len(value) == shape[0]:
            return sigmas
    raise UnfitDataset(f"kpt_oks_sigmas must list {shape[0]} numbers above 0, got {shown(value)}")


def _kpt_names(value: Value, task: str | None) -> Value:
    """Names of the keypoints, for each class or for all classes; they go into the checkpoint."""
    if not value or task not in ("pose", None):
        return None
    if not isinstance(value, dict | list) or not _is_data(value):
        raise UnfitDataset(f"kpt_names must list the names of the keypoints, got {shown(value)}")
    return value


def _depth(key: str, content: Content, task: str | None) -> float | None:
    value = content.get(key)
    if value is None or task not in ("depth", None):
        return None
    if not _is_positive(value):
        raise UnfitDataset(f"{key} must be a number above 0, got {shown(value)}")
    return float(value)


def masks_dir(content: Content, task: str | None) -> str | None:
    """The folder beside `images` in which the masks lie. It may not lead out of the dataset. Raises UnfitDataset."""
    value = content.get("masks_dir")
    if not value or task not in ("semantic", None):
        return None
    if not isinstance(value, str) or not is_plain(value) or ".." in PurePosixPath(value).parts:
        raise UnfitDataset(f"masks_dir must be a folder inside the dataset, without .., got {shown(value)}")
    return value


def _label_mapping(value: Value, task: str | None) -> dict[int, int] | None:
    """A mask's numbers → classes, as `SemanticDataset._parse_label_mapping` reads them."""
    if value is None or task not in ("semantic", None):
        return None
    mapping = {0: -1}
    if isinstance(value, dict):
        with suppress(ValueError, OverflowError):
            mapping = {whole(key): _class_of_mask(number) for key, number in value.items()}
    if not all(0 <= number <= 255 and abs(key) <= 2**31 for key, number in mapping.items()):
        raise UnfitDataset(f"label_mapping must map mask values to classes from 0 to 255, got {shown(value)}")
    return mapping


def _class_of_mask(value: Value) -> int:
    return 255 if value is None or (isinstance(value, str) and value.strip() == "ignore_label") else whole(value)


def _hash(value: Value) -> str | None:
    return value if isinstance(value, str) and is_plain(value) else None


def _is_count(value: Value, highest: int) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= highest


def _is_index(value: Value, count: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and -count <= value < count


def _is_positive(value: Value) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf


def _is_data(value: Value) -> bool:
    """Whether a value holds only texts, numbers, lists and dicts."""
    if isinstance(value, dict):
        return all(_is_data(item) for pair in value.items() for item in pair)
    if isinstance(value, list):
        return all(map(_is_data, value))
    return isinstance(value, int | float) or (isinstance(value, str) and is_plain(value, line_ends=True))
