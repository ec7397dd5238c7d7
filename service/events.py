"""The vocabulary between worker, log and subscribers: what each type of event has.

An event is a JSON object, tagged by `event`. A worker, its supervisor or the runner makes it: a `NewEvent`. The log
stamps it with the job, the attempt, the time and, where it is kept, a number: an `Event`. What is kept, what ends an
attempt and what a worker may say follows from these types. The tables of `docs/protocol.md` are tested against them.
"""

from collections.abc import Iterable
from typing import Annotated, Literal, NamedTuple, NotRequired, TypeAlias, final, get_args, get_type_hints

import orjson
from pydantic import Discriminator
from typing_extensions import TypeAliasType, TypedDict, is_typeddict

from AI.model_trainer import events as library

# Parts


class Machine(TypedDict):
    """What the machine is doing. Shares are 0 to 1, but `process_cpu` counts cores; memory is in bytes."""

    cpu: float
    memory_used_bytes: int
    memory_total_bytes: int
    process_cpu: float
    process_memory_bytes: int
    #: None: the training has none, or it does not tell.
    gpu: "Gpu | None"


class Gpu(TypedDict):
    """What a training's GPU is doing."""

    #: None: a part of a GPU does not tell.
    use: float | None
    memory_used_bytes: int
    memory_total_bytes: int


class Request(TypedDict):
    """What a training was asked for with, checked."""

    model: str
    hyperparameters: dict[str, object]
    fit_params: dict[str, object]
    #: A higher one runs first.
    priority: NotRequired[int]
    #: Seconds that an attempt may take; None: as many as it likes.
    max_runtime_seconds: NotRequired[float | None]


class Resuming(TypedDict):
    """What a next attempt goes on from."""

    #: The epoch that is done.
    epoch: int
    #: Nothing is left but the final evaluation.
    finish: bool


class Failure(TypedDict):
    """Why an attempt failed, with what tells it."""

    reason: str
    evidence: str
    #: What can be done.
    hint: str
    #: The last lines of the log.
    log_tail: NotRequired[list[str]]
    exit_code: NotRequired[int]
    signal: NotRequired[str]


class Checked(library.Census):
    """What is in a dataset that was looked through."""

    task: str


# Events as they are made. Where the library's own has all that is sent, it is taken as it is.


class NewQueued(TypedDict):
    """A job was accepted (it has the request then), or its next attempt waits (with the other three)."""

    event: Literal["queued"]
    model: NotRequired[str]
    hyperparameters: NotRequired[dict[str, object]]
    fit_params: NotRequired[dict[str, object]]
    priority: NotRequired[int]
    max_runtime_seconds: NotRequired[float | None]
    reason: NotRequired[Literal["resumed", "interrupted"]]
    #: A new total; None: the planned one.
    epochs: NotRequired[int | None]
    #: None: it starts anew.
    resume: NotRequired[Resuming | None]


class NewStarted(TypedDict):
    """Its worker has started."""

    event: Literal["started"]
    pid: int
    #: Names the process for ever, together with `pid` (see `processes`); None: it had gone already.
    pid_started: str | None


class NewQueuePosition(TypedDict):
    """A job's place among those that wait is another one."""

    event: Literal["queue_position"]
    #: 1 runs next.
    queue_position: int


class NewTick(library.Tick):
    """A sign of life."""

    machine: Machine


class NewCheckpoint(library.Checkpoint):
    """An epoch's weights are on the disk."""

    #: Where the service answers for the files.
    last_url: NotRequired[str]
    best_url: NotRequired[str]


class NewImage(library.Picture):
    """A picture is on the disk."""

    url: NotRequired[str]


class NewEpochEnd(library.EpochEnd):
    """An epoch was trained and validated."""

    machine: Machine


class NewLog(TypedDict):
    """Somebody wrote lines."""

    event: Literal["log"]
    #: `stdout`, `stderr`, or a logger's name.
    stream: str
    level: str
    lines: list[str]


class NewInterrupted(TypedDict):
    """The service was lost while the job ran."""

    event: Literal["interrupted"]
    reason: Literal["interrupted"]
    #: The service was told to go, or nothing ran: it says nothing about the job.
    planned: bool


class _Ended(TypedDict):
    """What a training ends with; another program may have less."""

    score: NotRequired[float | None]
    metrics: NotRequired[library.Numbers]
    save_dir: NotRequired[str]


class Result(_Ended):
    """What a worker's program returns."""

    #: `finished`, where it says nothing else.
    reason: NotRequired[library.Reason]
    #: Of a dataset that was to be looked through.
    checked: NotRequired[Checked]


class _Completed(_Ended):
    event: Literal["completed"]
    reason: library.Reason


class NewCompleted(_Completed):
    """The program has come to its end."""

    #: Never in the log.
    checked: NotRequired[Checked]


class Raised(TypedDict):
    """What a worker says instead, when its program raised."""

    event: Literal["failed"]
    reason: str
    error: str


class NewFailed(Raised):
    """The attempt has failed."""

    failure: Failure


class NewCancelled(TypedDict):
    """The attempt was ended on request."""

    event: Literal["cancelled"]
    reason: Literal["cancelled"]


#: The training turned to something else.
NewTurn = TypeAliasType("NewTurn", Annotated[library.Phase | library.Download, Discriminator("phase")])
#: What is logged as a worker says it.
Passed: TypeAlias = (
    NewTurn
    | library.DatasetRead
    | library.ClassResults
    | library.TrainEnd
    | NewTick
    | NewCheckpoint
    | NewImage
    | NewEpochEnd
    | NewLog
)
#: What a worker may say.
WorkerEvent: TypeAlias = Passed | NewCompleted | Raised
NewFinal: TypeAlias = NewCompleted | NewFailed | NewCancelled
#: An event as it is made.
NewEvent: TypeAlias = Passed | NewQueued | NewStarted | NewQueuePosition | NewInterrupted | NewFinal


# Events as they are shown


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


class Phase(library.Phase, Numbered):
    """The training goes on to something else."""


class Download(library.Download, Numbered):
    """Weights or a dataset are on their way."""


#: The same of a turn.
Turn = TypeAliasType("Turn", Annotated[Phase | Download, Discriminator("phase")])


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


class Completed(_Completed, Numbered):
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
    | Turn
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


#: Characters (in UTF-8) at which some readers break lines, httpx's `iter_lines` among them, and their JSON escapes.
_LINE_ENDS = ((b"\xc2\x85", b"\\u0085"), (b"\xe2\x80\xa8", b"\\u2028"), (b"\xe2\x80\xa9", b"\\u2029"))


class Record(NamedTuple):
    """One event as subscribers get it."""

    #: Number in the job's log: 1, 2, 3, …; None for a volatile event.
    seq: int | None
    type: str
    #: The JSON object, in one line.
    data: bytes


def encode(value: object) -> bytes:
    """JSON in one line. NaN and infinity become null, lone surrogates U+FFFD, unknown objects their `str`."""
    try:
        data = orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS)
    except TypeError:  # a lone surrogate, or an integer of more than 64 bits
        data = orjson.dumps(_plain(value), default=str)
    if b"\xe2\x80" in data or b"\xc2\x85" in data:
        for character, escape in _LINE_ENDS:
            data = data.replace(character, escape)
    return data


def is_deeper(value: object, levels: int) -> bool:
    """Whether objects and arrays stand in each other more than `levels` deep; JSON encoders give up at some depth."""
    layer = [value]
    for _ in range(levels):
        layer = [
            item
            for outer in layer
            if isinstance(outer, dict | list)
            for item in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not layer:
            return False
    return any(isinstance(item, dict | list) for item in layer)


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {_plain(str(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, str):
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        return float(value) if abs(value) < 2**1023 else None
    return value


def frame(record: Record) -> bytes:
    r"""The record as one SSE frame. Only a durable one has an `id` line, so `Last-Event-ID` names a logged event.

    JSON escapes CR and LF and a type comes from this vocabulary, so nothing in an event can end its line.
    """
    if record.seq is None:
        return b"event: %b\ndata: %b\n\n" % (record.type.encode(), record.data)
    return b"id: %d\nevent: %b\ndata: %b\n\n" % (record.seq, record.type.encode(), record.data)
