"""What happens to a job, as it is told: each type of event with what its maker says.

An event is a JSON object, tagged by `event`. A worker, its supervisor or the runner makes it: a `NewEvent`. What the
log makes of it is in `events`.
"""

from typing import Annotated, Literal, NotRequired, TypeAlias

from pydantic import Discriminator
from typing_extensions import TypeAliasType, TypedDict

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


class Ending(_Ended):
    """The program has come to its end, as the log keeps it."""

    event: Literal["completed"]
    reason: library.Reason


class NewCompleted(Ending):
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
    | library.Resumed
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
