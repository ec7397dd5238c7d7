"""The keys of a dataset's YAML that a training reads, and what each may hold: the clean copy has these, no others.

`KEYS` has them all, with the place in Ultralytics that reads each; `UNREAD` has those that its code names and a
training does not get from a user's file. A test compares both with the installed version.
"""

import math
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from typing import Any

from service.datasets.safe_yaml import is_plain
from service.errors import UnfitDataset

MAX_CLASSES = 100_000
#: No longer than any value of a YAML is read.
MAX_NAME_CHARACTERS = 1_024
MAX_KEYPOINTS = 1_000
#: The keys under which a split's places are looked for, in this order. Ultralytics takes the first two.
SPLITS: Mapping[str, tuple[str, ...]] = {
    "train": ("train",),
    "val": ("val", "validation", "valid"),
    "test": ("test",),
}

Content = Mapping[Any, Any]
#: What a key's value comes to in the clean copy; None: it is left out. Raises UnfitDataset.
Check = Callable[[Any, Content, str | None], Any]


def names(content: Content) -> dict[int, str]:
    """The names of the classes by their numbers, as `check_class_names` makes them. Raises UnfitDataset."""
    found, number = content.get("names"), _count_of_classes(content)
    if isinstance(found, list):
        found = dict(enumerate(found))
    if found is None and number is not None and 0 < number <= MAX_CLASSES:
        found = {index: f"class_{index}" for index in range(number)}
    if not isinstance(found, dict) or not found or len(found) > MAX_CLASSES:
        raise UnfitDataset("names must list the classes")
    try:
        texts = {int(key): str(name) for key, name in found.items()}
    except (TypeError, ValueError, OverflowError):
        texts = {}
    if texts.keys() != set(range(len(found))):
        raise UnfitDataset(f"names must be numbered 0 to {len(found) - 1}")
    if number is not None and number != len(found):
        raise UnfitDataset(f"nc is {number}, but names lists {len(found)} classes")
    for text in texts.values():
        if len(text) > MAX_NAME_CHARACTERS or not is_plain(text, line_ends=True):
            raise UnfitDataset(
                f"names must be texts of at most {MAX_NAME_CHARACTERS} characters, none of them a control character,"
                f" got {text[:100]!r}"
            )
    return {index: texts[index] for index in range(len(texts))}


def _count_of_classes(content: Content) -> int | None:
    """What `nc` says, which may be `2`, `2.0` or `"2"`; None when it says nothing."""
    value = content.get("nc")
    if value is None or isinstance(value, int):
        return value
    try:
        number = float(value)
        if number.is_integer():
            return int(number)
    except (TypeError, ValueError):
        pass
    raise UnfitDataset(f"nc must be the number of classes, got {repr(value)[:100]}")


def checked(content: Content, task: str | None) -> dict[str, Any]:
    """All that the clean copy has beside the places of the splits. Raises UnfitDataset."""
    found = {key: KEYS[key](content.get(key), content, task) for key in KEYS}
    return {key: value for key, value in found.items() if value is not None}


def _channels(value: Any, content: Content, task: str | None) -> int | None:
    if "channels" not in content:
        return None
    if not _is_count(value, 1_000):
        raise UnfitDataset(f"channels must be a number from 1 to 1000, got {repr(value)[:100]}")
    return int(value)


def _kpt_shape(value: Any, content: Content, task: str | None) -> list[int] | None:
    """[number of keypoints, 2 or 3]. Other tasks need it too: by it they know a label's keypoints from a polygon."""
    if value is None and task != "pose":
        return None
    if (
        not isinstance(value, list)
        or len(value) != 2
        or not _is_count(value[0], MAX_KEYPOINTS)
        or value[1] not in (2, 3)
    ):
        raise UnfitDataset(f"kpt_shape must be [number of keypoints, 2 or 3], got {repr(value)[:100]}")
    return [int(number) for number in value]


def _flip_idx(value: Any, content: Content, task: str | None) -> list[int] | None:
    """For each keypoint the one that it is in a mirror: an index, for Ultralytics need not have each of them once."""
    shape = content.get("kpt_shape")
    if value is None or task not in ("pose", None) or not isinstance(shape, list) or not shape:
        return None
    count = shape[0]
    if not isinstance(value, list) or len(value) not in (0, count) or not all(_is_index(item, count) for item in value):
        raise UnfitDataset(f"flip_idx must be {count} numbers from 0 to {count - 1}, got {repr(value)[:100]}")
    return value


def _kpt_oks_sigmas(value: Any, content: Content, task: str | None) -> list[float] | None:
    shape = content.get("kpt_shape")
    if not value or task not in ("pose", None) or not isinstance(shape, list) or not shape:
        return None
    if not isinstance(value, list) or len(value) != shape[0] or not all(_is_positive(item) for item in value):
        raise UnfitDataset(f"kpt_oks_sigmas must be {shape[0]} numbers above 0, got {repr(value)[:100]}")
    return value


def _kpt_names(value: Any, content: Content, task: str | None) -> Any:
    """Texts for the checkpoint: by class, or for all classes."""
    if not value or task not in ("pose", None):
        return None
    if not isinstance(value, dict | list) or not _is_data(value):
        raise UnfitDataset(f"kpt_names must list texts, got {repr(value)[:100]}")
    return value


def _depth(key: str) -> Check:
    def check(value: Any, content: Content, task: str | None) -> float | None:
        if value is None or task not in ("depth", None):
            return None
        if not _is_positive(value):
            raise UnfitDataset(f"{key} must be a number above 0, got {repr(value)[:100]}")
        return float(value)

    return check


def masks_dir(content: Content, task: str | None) -> str | None:
    """The folder that stands for `images` in the paths of the masks: it may not lead out of the dataset.

    Raises UnfitDataset.
    """
    value = content.get("masks_dir")
    if not value or task not in ("semantic", None):
        return None
    if not isinstance(value, str) or not is_plain(value) or ".." in PurePosixPath(value).parts:
        raise UnfitDataset(f"masks_dir must be the name of a folder, got {repr(value)[:100]}")
    return value


def _label_mapping(value: Any, content: Content, task: str | None) -> dict[int, int] | None:
    """A mask's numbers → classes, 255 for what is ignored, as `SemanticDataset._parse_label_mapping` reads them."""
    if value is None or task not in ("semantic", None):
        return None
    try:
        mapping = {int(key): _class_of_mask(number) for key, number in value.items()}
    except (AttributeError, TypeError, ValueError, OverflowError):
        mapping = {0: -1}
    if not all(0 <= number <= 255 and abs(key) <= 2**31 for key, number in mapping.items()):
        raise UnfitDataset(f"label_mapping must map numbers to classes from 0 to 255, got {repr(value)[:100]}")
    return mapping


def _class_of_mask(value: Any) -> int:
    return 255 if value is None or (isinstance(value, str) and value.strip() == "ignore_label") else int(value)


def _hash(value: Any, content: Content, task: str | None) -> str | None:
    return value if isinstance(value, str) and is_plain(value) else None


def _complete(value: Any, content: Content, task: str | None) -> bool | None:
    return bool(value) or None


#: Key → its check. Each is read in Ultralytics 8.4.190 at the place that its comment names.
KEYS: Mapping[str, Check] = {
    # data/utils.py check_det_dataset; trainers, validators and plots.
    "names": lambda value, content, task: names(content),
    # data/dataset.py YOLODataset: how images are read; each trainer's get_model.
    "channels": _channels,
    # data/dataset.py verify_args, of every task; models/yolo/pose/train.py, val.py.
    "kpt_shape": _kpt_shape,
    # data/augment.py v8_transforms.
    "flip_idx": _flip_idx,
    # models/yolo/pose/train.py for the loss, val.py for the mAP.
    "kpt_oks_sigmas": _kpt_oks_sigmas,
    # models/yolo/pose/train.py: into the checkpoint.
    "kpt_names": _kpt_names,
    # data/dataset.py DepthDataset: the unit of depth images.
    "depth_scale": _depth("depth_scale"),
    # models/yolo/depth/train.py, val.py; engine/model.py.
    "max_depth": _depth("max_depth"),
    # data/utils.py check_det_dataset, data/build.py, data/dataset.py SemanticDataset.
    "masks_dir": lambda value, content, task: masks_dir(content, task),
    # data/dataset.py SemanticDataset.
    "label_mapping": _label_mapping,
    # models/yolo/depth/train.py: into the checkpoint.
    "hash": _hash,
    # data/build.py, models/rtdetr/train.py, val.py: a converted NDJSON, to which `fraction` was applied before.
    "complete": _complete,
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
    "minival": "only YOLO-World's own trainer on several datasets",
    "bg_class_idx": "set by Ultralytics for polygons of a semantic model",
    "_polygon_bg_added": "set by Ultralytics for polygons of a semantic model",
}


def _is_count(value: Any, highest: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= highest


def _is_index(value: Any, count: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and -count <= value < count


def _is_positive(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf


def _is_data(value: Any) -> bool:
    """Whether there is nothing in it but texts, numbers, lists and dicts."""
    if isinstance(value, dict):
        return all(_is_data(item) for pair in value.items() for item in pair)
    if isinstance(value, list):
        return all(map(_is_data, value))
    return isinstance(value, int | float) or (isinstance(value, str) and is_plain(value, line_ends=True))
