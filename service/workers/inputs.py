"""What can happen to an attempt, told to its machine (see `attempt`); when it happened is told with it.

`StopAsked`, `CancelAsked`, `Abandoned` and `Rang` come from any thread, the others from the supervisor's own.
"""

from dataclasses import dataclass
from typing import Generic, TypeVar

from service.new_events import WorkerEvent
from service.workers.verdict import Exit


@dataclass(frozen=True, slots=True)
class StopAsked:
    """Somebody wants the worker to end after its epoch."""


@dataclass(frozen=True, slots=True)
class CancelAsked:
    """Somebody wants it to end."""


@dataclass(frozen=True, slots=True)
class Abandoned:
    """The service leaves: the attempt is to end by force; the next service decides about the job."""


@dataclass(frozen=True, slots=True)
class Rang:
    """The time of a `RingAt` has come."""


@dataclass(frozen=True, slots=True)
class Started:
    """There is a worker."""

    pid: int
    pid_started: str | None


@dataclass(frozen=True, slots=True)
class NotStarted:
    """The start was given up."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """The log has taken `started`."""


E_co = TypeVar("E_co", bound=WorkerEvent, covariant=True)


@dataclass(frozen=True, slots=True)
class Said(Generic[E_co]):
    """The worker has put an event into its queue."""

    event: E_co
    #: When it said so, in Unix seconds.
    time: float


@dataclass(frozen=True, slots=True)
class Printed:
    """The worker has written text."""


@dataclass(frozen=True, slots=True)
class Drained:
    """The queue is empty for now."""

    #: The tick before still waits for the log's writer.
    tick_waits: bool


@dataclass(frozen=True, slots=True)
class QueueEnded:
    """Nobody can put anything into the queue any more."""


@dataclass(frozen=True, slots=True)
class PipesEnded:
    """Queue, stdout and stderr have ended."""


@dataclass(frozen=True, slots=True)
class ForkserverGone:
    """The process that could have told the worker's exit code is gone; the worker is not."""


@dataclass(frozen=True, slots=True)
class WorkerGone:
    """The worker's process is gone."""


@dataclass(frozen=True, slots=True)
class TimePassed:
    """All that was there is read, or nothing came for a while."""

    #: Something was read since it was told last.
    heard: bool


@dataclass(frozen=True, slots=True)
class Cleared:
    """What is known after a try to end all processes of the worker."""

    #: None is left.
    gone: bool
    how: Exit


@dataclass(frozen=True, slots=True)
class Broke:
    """The supervisor has failed."""

    error: str


Asked = StopAsked | CancelAsked | Abandoned
Input = (
    StopAsked
    | CancelAsked
    | Abandoned
    | Rang
    | Started
    | NotStarted
    | Recorded
    | Said[WorkerEvent]
    | Printed
    | Drained
    | QueueEnded
    | PipesEnded
    | ForkserverGone
    | WorkerGone
    | TimePassed
    | Cleared
    | Broke
)
