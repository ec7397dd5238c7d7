"""The vocabulary of log and subscribers: what each type of event has.

The log stamps a `NewEvent` with the job, the attempt, the time and, where it is kept, a number: that makes it an
`Event`. What is kept and what ends an attempt follows from these types. The tables of `docs/protocol.md` are tested
against them.
"""

from collections.abc import Iterable
from typing import Annotated, Literal, NotRequired, TypeAlias, final, get_args, get_type_hints

from pydantic import Discriminator
from typing_extensions import TypeAliasType, TypedDict, is_typeddict

from AI.model_trainer import events as library
from service.new_events import (
    Ending,
    NewCancelled,
    NewCheckpoint,
    NewEpochEnd,
    NewFailed,
    NewImage,
    NewInterrupted,
    NewLog,
    NewQueued,
    NewQueuePosition,
    NewStarted,
    NewTick,
)


class Stamp(TypedDict):
    """What the log says of every event."""

    job_id: str
    #: 1 for the first run; a resume takes the next number.
    attempt: int
    #: Unix seconds.
    time: float


class Numbered(Stamp):
    """What it says of one that is kept."""

    #: 1, 2, 3, … in the job's log, no holes.
    seq: int


class Queued(NewQueued, Numbered):
    """The job was accepted, or its next attempt waits."""


class Started(NewStarted, Numbered):
    """Its worker has started."""


@final
class QueuePosition(NewQueuePosition, Stamp):
    """Its place among those that wait is another one."""


@final
class Tick(NewTick, Stamp):
    """A sign of life, every `tick_interval` seconds."""


class Phase(Numbered):
    """The training goes on to something else: `library.Phase` and `library.Download` in one.

    One type for each `event`: programs that write clients do not understand a union in a union.
    """

    event: Literal["phase"]
    phase: Literal["downloading", "checking_data", "training", "validating", "finishing"]
    epoch: int
    metrics: library.Numbers
    #: Not while weights or a dataset are on their way (`downloading`).
    total_epochs: NotRequired[int]
    save_dir: NotRequired[str]
    #: Only then; None: nobody has said.
    file: NotRequired[str]
    received_bytes: NotRequired[int]
    total_bytes: NotRequired[int | None]


class Resumed(library.Resumed, Numbered):
    """The training goes on from a checkpoint."""


class Dataset(library.DatasetRead, Numbered):
    """The dataset was read."""


class Checkpoint(NewCheckpoint, Numbered):
    """An epoch's weights are on the disk, and a whole copy of them."""


class Image(NewImage, Numbered):
    """A picture is complete."""


class EpochEnd(NewEpochEnd, Numbered):
    """An epoch was trained and validated."""


class ClassResults(library.ClassResults, Numbered):
    """The final evaluation, class by class."""


class TrainEnd(library.TrainEnd, Numbered):
    """The final evaluation is done."""


class Log(NewLog, Numbered):
    """The worker wrote something."""


class Interrupted(NewInterrupted, Numbered):
    """The service was lost while the job ran; `queued` or `failed` follows."""


class Completed(Ending, Numbered):
    """Final: the training came to its end."""


class Failed(NewFailed, Numbered):
    """Final: the attempt failed."""


class Cancelled(NewCancelled, Numbered):
    """Final: every process of the job is gone."""


#: Exactly one of them ends each attempt.
FinalEvent: TypeAlias = Completed | Failed | Cancelled
#: What `progress` of a snapshot is.
Progress: TypeAlias = Tick | EpochEnd | TrainEnd
Event: TypeAlias = Annotated[
    Queued
    | Started
    | QueuePosition
    | Tick
    | Phase
    | Resumed
    | Dataset
    | Checkpoint
    | Image
    | EpochEnd
    | ClassResults
    | TrainEnd
    | Log
    | Interrupted
    | FinalEvent,
    Discriminator("event"),
]


class Reset(Stamp):
    """A reader's cursor is beyond the log's end: it gets everything from 1."""

    event: Literal["reset"]
    requested: int
    last_seq: int


def types_of(union: object) -> frozenset[type]:
    """The TypedDicts of a union, however it is put together."""
    if isinstance(union, TypeAliasType):
        return types_of(union.__value__)
    if isinstance(union, type) and is_typeddict(union):
        return frozenset({union})
    return frozenset().union(*map(types_of, get_args(union)))


def _names(types: Iterable[type]) -> frozenset[str]:
    return frozenset(name for kind in types for name in get_args(get_type_hints(kind)["event"]))


def is_durable(kind: type) -> bool:
    """Whether events of this type are logged and numbered."""
    return "seq" in get_type_hints(kind)


EVENT_TYPES = _names(types_of(Event))
#: Types that end an attempt. Exactly one of them closes each attempt's log.
FINAL_TYPES = _names(types_of(FinalEvent))
#: Types that are logged and numbered.
DURABLE_TYPES = _names(filter(is_durable, types_of(Event)))
#: Types that are shown live but never logged; the newest one is in the job's snapshot.
VOLATILE_TYPES = EVENT_TYPES - DURABLE_TYPES
#: Types that a `?types=` filter never removes: without them a reader could not tell how an attempt ended.
UNFILTERED_TYPES = _names(types_of(FinalEvent | Interrupted))
