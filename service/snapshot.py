"""What `GET /jobs/<id>` shows of a job: the words of its state."""

from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import Literal, NotRequired, TypeAlias

from typing_extensions import TypedDict

from AI.model_trainer.events import Census, Numbers, Split
from service import events
from service.events import Progress
from service.going_on import Checkpoint
from service.new_events import Failure

#: What a job does.
Kind: TypeAlias = Literal["train"]
#: What of a dataset's census a snapshot has: so many splits, and warnings of so many characters.
MAX_SPLITS, MAX_SPLIT_NAME = 4, 20
MAX_WARNINGS, MAX_WARNING = 6, 500


class Status(StrEnum):
    """Where a job is. Everything finer is `phase` and `reason`."""

    #: Waits for a slot.
    QUEUED = "queued"
    #: Has a worker process.
    RUNNING = "running"
    #: Trained to its end, or was stopped with its best weights kept.
    COMPLETED = "completed"
    #: Its worker raised, died, or was lost.
    FAILED = "failed"
    #: Ended on request.
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Best:
    """The best epoch so far; after the end, what the final evaluation found."""

    epoch: int | None
    fitness: float | None
    metrics: Numbers


class SplitCounts(TypedDict):
    """What of a split is counted in each list of jobs: `Split` of the library, without its lists."""

    images: int
    labelled: int
    background: int
    missing: int
    dropped: int
    corrupt: int
    duplicates: int
    instances: int


@dataclass(frozen=True, slots=True)
class DatasetCounts:
    """What is in the dataset, in short; event `seq` has classes and bad files too."""

    seq: int
    splits: dict[str, SplitCounts]
    warnings: list[str]


class Dataset(Census):
    """The same with all that the event tells."""

    seq: int


@dataclass(frozen=True, slots=True)
class Resumable:
    """What a resume would do."""

    #: The epoch after which it goes on, and the one to which it goes.
    epoch: int
    epochs: int
    #: It needs a new total: all epochs are done.
    needs_epochs: bool


@dataclass(frozen=True, slots=True)
class Resumed:
    """How the job went on, after its first attempt."""

    #: The epoch after which its newest attempt went on.
    epoch: int
    #: Its result is that of a training which was never interrupted, bit for bit.
    exact: bool
    #: Why it is not: of the first attempt that was not exact.
    reason: str | None


class Links(TypedDict):
    """Where the service answers for a job; the addresses count from the service's own."""

    self: str
    events: str
    logs: str
    artifacts: str
    cancel: str
    stop: str
    resume: str


class Snapshot(TypedDict):
    """What `GET /jobs/<id>` answers; the fields are those of `Job`."""

    job_id: str
    kind: Kind
    number: int
    status: Status
    phase: str | None
    reason: str | None
    attempt: int
    progress: Progress | None
    best: Best | None
    #: In the lists in short.
    dataset: DatasetCounts | Dataset | None
    score: float | None
    error: str | None
    failure: Failure | None
    model: str
    hyperparameters: dict[str, object]
    fit_params: dict[str, object]
    priority: NotRequired[int]
    max_runtime_seconds: NotRequired[float | None]
    save_dir: str | None
    cancel_requested: bool
    stop_requested: bool
    queue_position: int | None
    checkpoint: Checkpoint | None
    resume: Resumable | None
    #: None: no attempt of it has gone on from a checkpoint.
    resumed: Resumed | None
    created_at: float
    started_at: float | None
    ended_at: float | None
    updated_at: float
    last_seq: int
    links: Links


def counts(event: events.Dataset) -> DatasetCounts:
    """The counts only, and not more of them than there can be: this is in each list of jobs."""
    splits = {name[:MAX_SPLIT_NAME]: _split(split) for name, split in islice(event["splits"].items(), MAX_SPLITS)}
    return DatasetCounts(event["seq"], splits, [text[:MAX_WARNING] for text in event["warnings"][:MAX_WARNINGS]])


def _split(split: Split) -> SplitCounts:
    return {
        "images": split["images"],
        "labelled": split["labelled"],
        "background": split["background"],
        "missing": split["missing"],
        "dropped": split["dropped"],
        "corrupt": split["corrupt"],
        "duplicates": split["duplicates"],
        "instances": split["instances"],
    }
