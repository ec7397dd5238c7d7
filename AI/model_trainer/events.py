"""The vocabulary of a training: what `progress_callback` gets.

An event is a plain dict of finite JSON values; NaN and infinity have become None. Five keys, `event` and those of
`Where`, are in every one that a running training sends; the rest depends on `event`. Loss and metric names are
Ultralytics' own and differ by task.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias

from typing_extensions import TypedDict

#: Numbers by name; None where the value was not a finite number.
Numbers: TypeAlias = dict[str, float | None]

#: Why a training ended: all epochs done; no improvement for `patience` epochs; asked to stop; `time` used up.
Reason: TypeAlias = Literal["finished", "early_stopped", "stopped", "time_limit"]

#: What a picture shows; "preview" is one of ours (see `previews`), the others are Ultralytics' own.
PictureKind: TypeAlias = Literal[
    "labels",
    "train_batch",
    "val_labels",
    "val_predictions",
    "curve",
    "confusion_matrix",
    "results",
    "preview",
    "other",
]


class Where(TypedDict):
    """Where a training stands; in every event but `Download`."""

    #: Counted from 1; 0 while the training is being set up (data checks, label scan, model to device).
    epoch: int
    #: Never less than `epoch`. Changes during the run when `time` is set.
    total_epochs: int
    #: `metrics/...` of the newest validation; in `epoch_end` empty when this epoch was not validated.
    metrics: Numbers
    save_dir: str


class Tick(Where):
    """A sign of life, every `tick_interval` seconds."""

    event: Literal["tick"]
    #: Batches of this epoch that are done, and how many it has (None during set-up).
    batch: int
    batches: int | None
    #: The same of a validation; None while there is none.
    val_batch: int | None
    val_batches: int | None
    #: Running means of this epoch, such as `box_loss`. Up to half a `tick_interval` old.
    losses: Numbers
    #: Learning rate per parameter group: `lr/pg0`, `lr/pg1`, … Empty before the first batch.
    lr: Numbers
    #: Since the training's start, set-up included.
    elapsed_seconds: float
    #: An estimate: None before the first batch, without validations during the first epoch.
    remaining_seconds: float | None
    #: Training images over the time this epoch's batches took so far; before its first batch, the last epoch's.
    images_per_second: float | None


class EpochEnd(Where):
    """One epoch is trained, validated and saved. A pass that Ultralytics throws away and repeats has no such event."""

    event: Literal["epoch_end"]
    #: Means over the epoch.
    train_losses: Numbers
    #: Empty when this epoch was not validated.
    val_losses: Numbers
    lr: Numbers
    fitness: float | None
    best_fitness: float | None
    #: From the pass's first batch to here: training, validation, checkpoint.
    epoch_seconds: float
    images_per_second: float | None


class Weights(TypedDict):
    """Paths of the checkpoints; None where there is none."""

    best: str | None
    last: str | None


class TrainEnd(Where):
    """The last event: the final evaluation is done; `metrics` are those of the best weights."""

    event: Literal["train_end"]
    score: float | None
    reason: Reason
    #: The epoch whose weights are in `weights.best`.
    best_epoch: int | None
    elapsed_seconds: float
    weights: Weights


# With `events="all"` only


class Phase(Where):
    """The training has turned to something else. The same phase is never told twice in a row."""

    event: Literal["phase"]
    phase: Literal["checking_data", "training", "validating", "finishing"]


class Download(TypedDict):
    """Weights are on their way; at first, at the end, and up to four times a second between. No training has begun."""

    event: Literal["phase"]
    phase: Literal["downloading"]
    #: 0, as in every event before the first epoch.
    epoch: Literal[0]
    metrics: Numbers
    #: Such as `yolov8n.pt`.
    file: str
    received_bytes: int
    #: None while the server has not said.
    total_bytes: int | None


class BadFile(TypedDict):
    """An image that a training does without, and why."""

    file: str
    reason: str


class Split(TypedDict):
    """What there is in one split of a dataset; `images` is the sum of `labelled`, `background` and `dropped`."""

    images: int
    #: Images with something on them, as far as the training's arguments (`classes`) let it see.
    labelled: int
    #: Images with nothing on them, and those among all that have no file of labels.
    background: int
    missing: int
    #: Images that are not trained on, and those among them that are corrupt or whose labels are.
    dropped: int
    corrupt: int
    #: Rows of labels that were there twice and count once.
    duplicates: int
    instances: int
    #: The first dropped images.
    bad: list[BadFile]
    #: The first folders in which labels were looked for.
    label_folders: list[str]


class ClassCount(TypedDict):
    """How often one class is there, by split."""

    name: str
    instances: dict[str, int]


class Census(TypedDict):
    """What there is in a dataset, counted in what Ultralytics has read."""

    #: By name: `train`, and the one that is validated on, `val` unless `split` names another.
    splits: dict[str, Split]
    #: The first thousand classes, and how many there are.
    classes: list[ClassCount]
    class_count: int
    #: What is probably not meant, in sentences.
    warnings: list[str]


class Resumed(Where):
    """The training goes on from a checkpoint; comes before its first phase of training."""

    event: Literal["resumed"]
    #: The epoch of the checkpoint.
    after_epoch: int
    #: It will end as if it had never been interrupted, bit for bit, where the machine itself repeats its results.
    exact: bool
    #: Why it is not exact; None: it is.
    reason: str | None


class DatasetRead(Where, Census):
    """The dataset was read, once a training, before the first epoch; also when the training fails because of it."""

    event: Literal["dataset"]


class Checkpoint(Where):
    """last.pt is on the disk and, where this epoch is the best so far, best.pt.

    Where copies are kept (`checkpoints_dir`), the copy is whole and on the disk as well; one that failed is not told.
    """

    event: Literal["checkpoint"]
    #: Path of last.pt, and of best.pt if it was written now.
    last: str
    best: str | None
    #: Path of the copy, from which `resume_training` goes on; None where none are kept.
    kept: str | None
    #: Length of one of the files.
    size_bytes: int
    fitness: float | None


class Picture(Where):
    """A picture is on the disk, all of it; there is another event when it was drawn anew."""

    event: Literal["image"]
    path: str
    name: str
    kind: PictureKind
    #: In pixels.
    width: int
    height: int
    size_bytes: int


class ClassResult(TypedDict):
    """How one class fares in the final evaluation. Masks and keypoints have their own numbers in the metrics."""

    name: str
    #: Validation images that have it, and how many of it there are in all.
    images: int
    instances: int
    precision: float | None
    recall: float | None
    map50: float | None
    map50_95: float | None


class ClassResults(Where):
    """The final evaluation, class by class; comes before `train_end`, where the task has such numbers."""

    event: Literal["class_results"]
    classes: list[ClassResult]


#: Told apart by `event`, and the two kinds of phase by `phase`.
Event: TypeAlias = (
    Tick | EpochEnd | TrainEnd | Phase | Download | Resumed | DatasetRead | Checkpoint | Picture | ClassResults
)

#: Called with one event at a time, from the training's thread or one beside it, never from two at once.
ProgressCallback: TypeAlias = Callable[[Event], object]


def finite(value: Any) -> float | None:
    """The number (a Python, numpy or 0-dim torch one) as a float; None when there is none or it is not finite."""
    number = math.nan if value is None else float(value)
    return number if math.isfinite(number) else None


def numbers(values: Mapping[str, Any]) -> Numbers:
    """Every value made `finite`."""
    return {str(name): finite(value) for name, value in values.items()}
