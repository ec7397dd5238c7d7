"""What an attempt's machine wants done (see `attempt`); `supervisor` does it."""

from dataclasses import dataclass

from service.new_events import NewEvent, NewFinal

# Those that never wait come first: they are done at once, in whatever thread the input came from.


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Wait for no worker any more."""


@dataclass(frozen=True, slots=True)
class Request:
    """Send the worker a word: BEGIN, STOP or CANCEL."""

    word: bytes


@dataclass(frozen=True, slots=True)
class Terminate:
    """SIGTERM to the worker."""


@dataclass(frozen=True, slots=True)
class Kill:
    """SIGKILL to the worker and all of its group."""


@dataclass(frozen=True, slots=True)
class RingAt:
    """Tell of `Rang` at that time."""

    time: float


@dataclass(frozen=True, slots=True)
class Warn:
    """Say in the service's own log what is wrong."""

    action: str
    text: str


@dataclass(frozen=True, slots=True)
class Publish:
    """Give an event to the log."""

    event: NewEvent
    #: When it was said, in Unix seconds; None: now.
    time: float | None = None


@dataclass(frozen=True, slots=True)
class Gather:
    """Gather lines for the job's log."""

    stream: str
    level: str
    lines: list[str]


@dataclass(frozen=True, slots=True)
class Flush:
    """Give the lines that were gathered to the log: they stand before what follows."""


@dataclass(frozen=True, slots=True)
class Look:
    """Look whether the worker is alive; tell of `WorkerGone` if it is not."""


@dataclass(frozen=True, slots=True)
class Clear:
    """Try to end every process of the worker; tell of `Cleared`."""


@dataclass(frozen=True, slots=True)
class Finish:
    """Give the final event to the log, if there is to be one, and leave."""

    event: NewFinal | None


Signal = GiveUp | Request | Terminate | Kill | RingAt | Warn
Action = Signal | Publish | Gather | Flush | Look | Clear | Finish
