"""A look at a split's labels before a job exists. It reports only faults that are certain to stop a training.

Ultralytics trains when one image of a split is usable. So a dataset is refused only when none is: no image has a label,
or Ultralytics takes none of the labels (`verify_image_label` of its data/utils.py), or the task needs outlines and the
labels are boxes.
"""

import os
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path

from service.datasets import remedies
from service.datasets.files import Survey, label_of
from service.datasets.safe_yaml import read_bytes
from service.datasets.splits import Split
from service.errors import UnfitDataset

#: Most lines of a label file that are read, and most bytes: as numbers they take about fifty times their size in
#: memory. What is beyond is left to the training, which has a process of its own.
MAX_LABEL_LINES = 10_000
MAX_READ_BYTES = 2_000_000
#: After so many labels that hold only boxes, no polygon is expected any more.
ENOUGH = 16
#: Coordinates are fractions. Ultralytics takes up to 1.01, in 32 bits.
_HIGHEST, _LOWEST = 1.010001, -0.010001
_LABELLED = ("detect", "segment", "pose", "obb")
_OUTLINED = {"segment": "polygons", "obb": "four corners"}


@dataclass(frozen=True)
class Expected:
    """What the labels are for."""

    #: None: any task.
    task: str | None
    #: Number of classes; infinite when the training takes all for one (`single_cls`).
    classes: float
    #: [keypoints, coordinates of each], or [0, 0].
    kpt_shape: tuple[int, int] = (0, 0)
    #: Whether a training takes only a part of the images.
    is_sampled: bool = False

    @property
    def columns(self) -> int:
        """Numbers in a line of a pose label: class, box and keypoints."""
        return 5 + self.kpt_shape[0] * self.kpt_shape[1]


class _Kind(Enum):
    """What a label holds that a training can use."""

    EMPTY = auto()
    BOXES = auto()
    OTHER = auto()


class _Unusable(ValueError):
    """Raised when Ultralytics will not take a label. The message quotes nothing of the file: it may be a secret."""


@dataclass
class _Look:
    """What was seen so far: images without a label, labels with only boxes, faults of labels."""

    missing: list[str] = field(default_factory=list)
    boxes: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def check(split: Split, expected: Expected, survey: Survey) -> None:
    """Raises UnfitDataset: when no training on this split can work."""
    look = _Look()
    for image in split.images:
        if survey.is_late() or len(look.boxes) >= ENOUGH:
            break
        label = label_of(image)
        if not os.path.isfile(label):
            look.missing.append(image)
            continue
        try:
            kind = _kind(label, expected)
        except _Unusable as error:
            look.faults.append(f"{split.name}: {label}: {error}")
            continue
        if kind is _Kind.BOXES and expected.task in _OUTLINED:
            look.boxes.append(label)
        elif kind is not _Kind.EMPTY:
            return  # one usable label is enough to train on
    if not survey.is_late():
        _judge(split, look, expected, survey)


def _judge(split: Split, look: _Look, expected: Expected, survey: Survey) -> None:
    name, count = split.name, len(split.images)
    if look.boxes and (split.is_whole or (len(look.boxes) >= ENOUGH and not expected.is_sampled)):
        wanted = _OUTLINED[str(expected.task)]
        raise UnfitDataset(
            f"{name}: {look.boxes[0]} has boxes, but the task {expected.task} needs {wanted}:"
            " train a detect model, or label the outlines"
        )
    if split.is_whole and count and len(look.faults) == count:
        raise UnfitDataset(look.faults[0])
    no_labels = split.is_whole and count and len(look.missing) == count
    if no_labels and name == "train" and expected.task in _LABELLED:
        raise UnfitDataset(remedies.no_labels(name, look.missing[0], count, survey))


def _kind(path: str, expected: Expected) -> _Kind:
    """Raises _Unusable."""
    text = _text(Path(path))
    if text is None:
        return _Kind.OTHER
    rows = _rows(text)
    if not rows:
        return _Kind.EMPTY
    if expected.task == "pose":
        _check_poses(rows, expected)
    else:
        if expected.kpt_shape[0]:  # Ultralytics takes the box of a pose and leaves its keypoints
            rows = [row[:5] if len(row) == expected.columns else row for row in rows]
        _check_shapes(rows, expected)
    _check_values(rows, expected)
    return _Kind.BOXES if len(rows[0]) == 5 else _Kind.OTHER


def _text(path: Path) -> str | None:
    """The text of a label file; None when it is longer than MAX_READ_BYTES. Raises _Unusable."""
    try:
        if path.stat().st_size > MAX_READ_BYTES:
            return None
        return read_bytes(path, MAX_READ_BYTES).decode("utf-8-sig")
    except (OSError, ValueError):
        raise _Unusable("it cannot be read as UTF-8 text") from None


def _rows(text: str) -> list[list[float]]:
    rows = []
    lines = [line.split() for line in text.splitlines()[:MAX_LABEL_LINES] if line.strip()]
    for number, line in enumerate(lines, 1):
        try:
            rows.append([float(word) for word in line])
        except ValueError:
            raise _Unusable(f"line {number} must be a class number and coordinates") from None
    return rows


def _check_poses(rows: list[list[float]], expected: Expected) -> None:
    for number, row in enumerate(rows, 1):
        if len(row) != expected.columns:
            shape = list(expected.kpt_shape)
            raise _Unusable(
                f"line {number} has {len(row)} numbers, but a pose with kpt_shape {shape} has {expected.columns}"
            )


def _check_shapes(rows: list[list[float]], expected: Expected) -> None:
    """Check how many numbers each row has: a box has five, a polygon has more."""
    has_polygons = any(len(row) > 6 for row in rows)
    for number, row in enumerate(rows, 1):
        if has_polygons and len(row) == 5:
            raise _Unusable(f"line {number} is a box, but other lines are polygons: use one kind in a file")
        if has_polygons and len(row) % 2 == 0 and expected.task is not None:
            raise _Unusable(f"line {number} must have pairs of numbers after its class")
        if not has_polygons and len(row) < 5:
            raise _Unusable(f"line {number} must have four numbers or more after its class")
        if len(row) == 6 and expected.task is not None:
            raise _Unusable(f"line {number} has 6 numbers, but a box has 5: class, x, y, width, height")


def _check_values(rows: list[list[float]], expected: Expected) -> None:
    for number, (kind, *numbers) in enumerate(rows, 1):
        if not 0 <= kind < expected.classes:
            if kind >= 0:
                raise _Unusable(
                    f"line {number} is of class {kind:g},"
                    f" but the dataset has {expected.classes} classes, numbered from 0"
                )
            raise _Unusable(f"line {number} is of class {kind:g}, but classes are numbered from 0")
        if kind % 1:
            raise _Unusable(f"line {number} is of class {kind:g}, but classes are whole numbers")
        if expected.task is not None and not _are_fractions(numbers, expected):
            raise _Unusable(
                f"line {number} must have its coordinates as fractions of the image, from 0 to 1, not in pixels"
            )


def _are_fractions(numbers: list[float], expected: Expected) -> bool:
    """Whether Ultralytics takes the coordinates. Of a polygon, it checks the box around it."""
    if expected.task == "pose":
        step = expected.kpt_shape[1]
        points = [number for at, number in enumerate(numbers[4:]) if step == 2 or at % 3 != 2]
        return max(points) <= _HIGHEST and min(numbers) >= _LOWEST and min(numbers[2:4]) >= 0
    if len(numbers) > 4:
        x, y = numbers[::2], numbers[1::2]
        left, top, right, bottom = min(x), min(y), max(x), max(y)
        numbers = [(left + right) / 2, (top + bottom) / 2, right - left, bottom - top]
    return all(_LOWEST <= number <= _HIGHEST for number in numbers) and min(numbers[2:]) >= 0
