"""One attempt as a pure machine: `step` gives the attempt that follows an input, and what is to be done.

It has no clock, process, file or thread: the time comes with each input, and `supervisor` does what the actions say.
`TABLE` is all of it; docs/architecture.md shows it drawn.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from service.events import FINAL_TYPES
from service.new_events import WorkerEvent
from service.workers import inputs as on
from service.workers import steps
from service.workers.attempt import Attempt, Stage
from service.workers.inputs import Input
from service.workers.steps import Step

I_contra = TypeVar("I_contra", bound=Input, contravariant=True)


@dataclass(frozen=True)
class When(Generic[I_contra]):
    """A condition, in words and in code."""

    text: str
    holds: Callable[[Attempt, I_contra, float], bool]


@dataclass(frozen=True)
class Row(Generic[I_contra]):
    """In these stages, on such an input, `when` it holds: what is done, and the stage that follows if it is another."""

    at: tuple[Stage, ...]
    on: type[Input]
    when: When[I_contra] | None
    do: Callable[[Attempt, I_contra, float], Step]
    to: Stage | None = None


def step(attempt: Attempt, told: Input, now: float) -> Step:
    """The attempt after an input, and what is to be done. The first row that fits counts; without one, nothing is."""
    for row in _ROWS.get((attempt.stage, type(told)), ()):
        if row.when is None or row.when.holds(attempt, told, now):
            after, actions = row.do(attempt, told, now)
            return replace(after, stage=row.to or after.stage), actions
    return attempt, ()


STARTING, HELD, RUNNING, LEAVING, DEAD, CLEARING, OVER = Stage
_READ = (RUNNING, LEAVING, DEAD)
_ALIVE = (RUNNING, LEAVING, DEAD, CLEARING)

_FIRST_STOP = When[on.StopAsked]("the first", lambda attempt, told, now: not attempt.stop)
_FIRST_CANCEL = When[on.CancelAsked]("the first", lambda attempt, told, now: not attempt.cancelled)
_EARLY = When[on.Rang]("no signal is due yet", lambda attempt, told, now: now < attempt.signal_at < math.inf)
_DUE = When[on.Rang]("one is due", lambda attempt, told, now: now >= attempt.signal_at and not attempt.terminated)
_LAST_DUE = When[on.Rang]("the second is due", lambda attempt, told, now: now >= attempt.signal_at)
_TICK = When[on.Said[WorkerEvent]]("a tick", lambda attempt, told, now: told.event["event"] == "tick")
_LOG = When[on.Said[WorkerEvent]]("lines of its log", lambda attempt, told, now: told.event["event"] == "log")
_OUTCOME = When[on.Said[WorkerEvent]]("its outcome", lambda attempt, told, now: told.event["event"] in FINAL_TYPES)
_OUT_OF_TIME = When[on.TimePassed](
    "it has run for its `max_runtime_seconds`",
    lambda attempt, told, now: not attempt.cancelled and now >= attempt.timeout_at,
)
_STALLED = When[on.TimePassed](
    "no progress for `--stalled-seconds`", lambda attempt, told, now: not attempt.cancelled and now >= attempt.stalls_at
)
_UNWATCHED = When[on.TimePassed]("nobody tells whether it is alive", lambda attempt, told, now: now >= attempt.look_at)
_LATE = When[on.TimePassed]("it is not gone in time", lambda attempt, told, now: now >= attempt.leave_by)
_SILENT = When[on.TimePassed]("no more words", lambda attempt, told, now: not told.heard and now >= attempt.silent_at)
_GONE = When[on.Cleared](
    "none is left, or the service leaves", lambda attempt, told, now: told.gone or attempt.abandoned
)
_FIRST_FAULT = When[on.Broke]("the first time", lambda attempt, told, now: attempt.fault is None)

TABLE: tuple[Row[Any], ...] = (
    Row((STARTING,), on.Started, None, steps.record, HELD),
    Row((STARTING,), on.NotStarted, None, steps.fail_to_start, OVER),
    Row((STARTING,), on.CancelAsked, None, steps.give_up),
    Row((STARTING,), on.Abandoned, None, steps.give_up),
    Row((STARTING, HELD), on.StopAsked, None, steps.note),
    Row((HELD,), on.CancelAsked, None, steps.note),
    Row((HELD,), on.Recorded, None, steps.begin, RUNNING),
    Row((RUNNING, LEAVING), on.StopAsked, _FIRST_STOP, steps.ask_to_stop),
    Row(_READ, on.CancelAsked, _FIRST_CANCEL, steps.ask_to_end),
    Row((CLEARING,), on.CancelAsked, _FIRST_CANCEL, steps.expect_signal),
    Row((HELD, *_ALIVE), on.Abandoned, None, steps.abandon),
    Row((OVER,), on.Abandoned, None, steps.note),
    Row(_ALIVE, on.Rang, _EARLY, steps.ring_again),
    Row(_ALIVE, on.Rang, _DUE, steps.terminate),
    Row(_ALIVE, on.Rang, _LAST_DUE, steps.kill),
    Row(_READ, on.Said, _TICK, steps.keep_tick),
    Row(_READ, on.Said, _LOG, steps.gather),
    Row((RUNNING,), on.Said, _OUTCOME, steps.conclude, LEAVING),
    Row((LEAVING, DEAD), on.Said, _OUTCOME, steps.conclude),
    Row(_READ, on.Said, None, steps.pass_on),
    Row(_READ, on.Printed, None, steps.hear),
    Row(_READ, on.Drained, None, steps.show_tick),
    Row((RUNNING,), on.TimePassed, _OUT_OF_TIME, steps.end_for_time),
    Row((RUNNING,), on.TimePassed, _STALLED, steps.end_for_standstill),
    Row((RUNNING,), on.QueueEnded, None, steps.expect_end, LEAVING),
    Row(_READ, on.PipesEnded, None, steps.clear, CLEARING),
    Row((RUNNING, LEAVING), on.ForkserverGone, None, steps.lose_forkserver),
    Row((RUNNING, LEAVING), on.WorkerGone, None, steps.bury, DEAD),
    Row((LEAVING, DEAD), on.TimePassed, _LATE, steps.clear, CLEARING),
    Row((DEAD,), on.TimePassed, _SILENT, steps.clear, CLEARING),
    Row((RUNNING, LEAVING), on.TimePassed, _UNWATCHED, steps.look),
    Row((CLEARING,), on.Cleared, _GONE, steps.close, OVER),
    Row((CLEARING,), on.Cleared, None, steps.clear_again),
    Row((STARTING, HELD, *_READ), on.Broke, None, steps.clear_up, CLEARING),
    Row((CLEARING,), on.Broke, _FIRST_FAULT, steps.clear_up),
    Row((CLEARING,), on.Broke, None, steps.close_anyhow, OVER),
)
_ROWS = {
    (stage, told): tuple(row for row in TABLE if stage in row.at and row.on is told)
    for stage in Stage
    for told in {row.on for row in TABLE}
}
