"""All that is known of one attempt of a job, as a frozen value. `transitions` says what follows it."""

import math
from dataclasses import dataclass
from enum import StrEnum

from service.new_events import NewCompleted, NewTick, Raised
from service.workers.spec import Bounds


class Stage(StrEnum):
    """How far an attempt is."""

    #: There is no worker yet.
    STARTING = "starting"
    #: The worker waits to be told to begin, until the log has been given its process's number.
    HELD = "held"
    #: It works.
    RUNNING = "running"
    #: It has told its outcome or closed its queue, and must be gone soon.
    LEAVING = "leaving"
    #: Its process is gone; what is left in its pipes is read.
    DEAD = "dead"
    #: All that it has started is being ended.
    CLEARING = "clearing"
    #: Its final event is known.
    OVER = "over"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """All that is known of an attempt. Times are seconds of a clock that never goes back; infinity is never."""

    bounds: Bounds = Bounds()  # noqa: RUF009 (immutable)
    stage: Stage = Stage.STARTING
    #: What was asked of it.
    stop: bool = False
    cancelled: bool = False
    abandoned: bool = False
    #: When the next signal is due of those that follow a cancel, and whether SIGTERM is behind it.
    signal_at: float = math.inf
    terminated: bool = False
    #: When it runs out of its time, and the newest sign of progress: when, and where its ticks said that it was.
    timeout_at: float = math.inf
    progressed_at: float = 0.0
    place: tuple[int | None, ...] = ()
    #: A tick, and when it was said, that is published unless something overtakes it.
    tick: tuple[NewTick, float] | None = None
    #: Nobody can tell the worker's exit code; when to look next whether it is alive.
    orphaned: bool = False
    look_at: float = math.inf
    #: When its pipes are not read any more, whatever comes, and when they are not if nothing comes.
    leave_by: float = math.inf
    silent_at: float = math.inf
    #: How it ended: what the worker told; reason and text of a bound; a fault of the supervisor.
    outcome: NewCompleted | Raised | None = None
    bound: tuple[str, str] | None = None
    fault: str | None = None

    @property
    def wake_at(self) -> float:
        """When a `TimePassed` is due though nothing is heard."""
        bounds = (self.timeout_at, self.stalls_at) if self.stage is Stage.RUNNING and not self.cancelled else ()
        return min(self.look_at, self.leave_by, self.silent_at, *bounds)

    @property
    def stalls_at(self) -> float:
        return self.progressed_at + (self.bounds.stalled_seconds or math.inf)
