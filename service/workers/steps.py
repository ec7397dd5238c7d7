"""What an attempt does on an input: each function gives the attempt that follows and the actions that it asks for.

The first line of a function's docstring is shown in the picture of the machine (docs/architecture.md).
"""

import math
from dataclasses import replace

from service.failures import failed
from service.new_events import NewCompleted, NewFailed, NewLog, NewStarted, NewTick, Passed, Raised
from service.workers import actions as do
from service.workers import inputs as on
from service.workers import verdict
from service.workers.attempt import Attempt, Stage
from service.workers.spec import BEGIN, CANCEL, STOP

#: Seconds in which a worker that has told its outcome must be gone, and in which a dead one's pipes must have ended.
LEAVE_SECONDS = 10.0
#: Seconds between SIGTERM to a cancelled worker and SIGKILL.
TERMINATE_SECONDS = 2.0
#: Seconds of silence after which a dead worker's pipes are not read on: something outside of its session holds them.
LAST_WORDS_SECONDS = 0.5
#: Seconds between two looks whether a worker is alive whose forkserver is dead: nobody tells of its end.
LOOK_SECONDS = 0.2

Step = tuple[Attempt, tuple[do.Action, ...]]


# What is asked of it


def note(attempt: Attempt, told: on.Asked, now: float) -> Step:
    """notes it"""
    match told:
        case on.StopAsked():
            return replace(attempt, stop=True), ()
        case on.CancelAsked():
            return replace(attempt, cancelled=True), ()
        case on.Abandoned():
            return replace(attempt, abandoned=True), ()


def give_up(attempt: Attempt, told: on.Asked, now: float) -> Step:
    """waits for no worker any more"""
    return note(attempt, told, now)[0], (do.GiveUp(),)


def ask_to_stop(attempt: Attempt, told: on.StopAsked, now: float) -> Step:
    """asks the worker to end after its epoch"""
    return replace(attempt, stop=True), (do.Request(STOP),)


def ask_to_end(attempt: Attempt, told: on.CancelAsked, now: float) -> Step:
    """asks the worker to end; a signal is due after the grace"""
    return _escalated(attempt, now)


def expect_signal(attempt: Attempt, told: on.CancelAsked, now: float) -> Step:
    """a signal is due after the grace: the worker hears no more requests"""
    after, (_, ring) = _escalated(attempt, now)
    return after, (ring,)


def _escalated(attempt: Attempt, now: float) -> Step:
    due = now + attempt.bounds.grace_seconds
    return replace(attempt, cancelled=True, signal_at=due), (do.Request(CANCEL), do.RingAt(due))


def terminate(attempt: Attempt, told: on.Rang, now: float) -> Step:
    """SIGTERM; the next signal is due soon"""
    due = now + TERMINATE_SECONDS
    return replace(attempt, terminated=True, signal_at=due), (do.Terminate(), do.RingAt(due))


def kill(attempt: Attempt, told: on.Rang, now: float) -> Step:
    """SIGKILL to the group"""
    return replace(attempt, signal_at=math.inf), (do.Kill(),)


def ring_again(attempt: Attempt, told: on.Rang, now: float) -> Step:
    """waits on"""
    return attempt, (do.RingAt(attempt.signal_at),)


def abandon(attempt: Attempt, told: on.Abandoned, now: float) -> Step:
    """SIGKILL to the group"""
    return replace(attempt, abandoned=True), (do.Kill(),)


# Its start


def fail_to_start(attempt: Attempt, told: on.NotStarted, now: float) -> Step:
    """has failed: `killed`"""
    return attempt, (_finish(attempt, failed("killed", "ended before it started")),)


def record(attempt: Attempt, told: on.Started, now: float) -> Step:
    """publishes `started`; SIGKILL to the worker of an abandoned attempt"""
    event: NewStarted = {"event": "started", "pid": told.pid, "pid_started": told.pid_started}
    after = replace(attempt, progressed_at=now, timeout_at=now + (attempt.bounds.runtime_seconds or math.inf))
    return after, (*((do.Kill(),) if attempt.abandoned else ()), do.Publish(event))


def begin(attempt: Attempt, told: on.Recorded, now: float) -> Step:
    """lets the worker begin; passes on what was asked meanwhile"""
    stop = (do.Request(STOP),) if attempt.stop else ()
    after, actions = _escalated(attempt, now) if attempt.cancelled else (attempt, ())
    return after, (do.Request(BEGIN), *stop, *actions)


# What it says


def keep_tick(attempt: Attempt, told: on.Said[NewTick], now: float) -> Step:
    """keeps it until the queue is drained, instead of the one before"""
    tick = told.event
    # A thread of its own tells it, whatever hangs: only another place shows that the training gets on.
    place = tick["epoch"], tick["batch"], tick["val_batch"]
    got_on = now if place != attempt.place else attempt.progressed_at
    return replace(_heard(attempt, now), tick=(tick, told.time), place=place, progressed_at=got_on), ()


def gather(attempt: Attempt, told: on.Said[NewLog], now: float) -> Step:
    """gathers the lines"""
    log = told.event
    return _heard(attempt, now), (do.Gather(log["stream"], log["level"], log["lines"]),)


def conclude(attempt: Attempt, told: on.Said[NewCompleted | Raised], now: float) -> Step:
    """keeps it for the final event; the worker must be gone soon"""
    leave_by = min(attempt.leave_by, now + LEAVE_SECONDS)
    return replace(_heard(attempt, now), outcome=told.event, tick=None, leave_by=leave_by), (do.Flush(),)


def pass_on(attempt: Attempt, told: on.Said[Passed], now: float) -> Step:
    """publishes it, after the lines before it; a tick that is kept is overtaken"""
    return replace(_heard(attempt, now), tick=None), (do.Flush(), do.Publish(told.event, told.time))


def hear(attempt: Attempt, told: on.Printed, now: float) -> Step:
    """is progress"""
    return _heard(attempt, now), ()


def _heard(attempt: Attempt, now: float) -> Attempt:
    silent_at = now + LAST_WORDS_SECONDS if attempt.stage is Stage.DEAD else attempt.silent_at
    return replace(attempt, progressed_at=now, silent_at=silent_at)


def show_tick(attempt: Attempt, told: on.Drained, now: float) -> Step:
    """publishes the tick that is kept, but not while the one before still waits for the log's writer"""
    shown = () if attempt.tick is None or told.tick_waits else (do.Publish(*attempt.tick),)
    return replace(attempt, tick=None), shown


# Its bounds


def end_for_time(attempt: Attempt, told: on.TimePassed, now: float) -> Step:
    """is cancelled, and has failed: `timeout`"""
    why = f"it ran for {attempt.bounds.runtime_seconds:g} seconds, its max_runtime_seconds"
    return _exceeded(attempt, "timeout", why, now)


def end_for_standstill(attempt: Attempt, told: on.TimePassed, now: float) -> Step:
    """is cancelled, and has failed: `stalled`"""
    why = f"no batch, no event and no line of its log for {attempt.bounds.stalled_seconds:g} seconds"
    return _exceeded(attempt, "stalled", why, now)


def _exceeded(attempt: Attempt, reason: str, why: str, now: float) -> Step:
    after, actions = _escalated(replace(attempt, bound=(reason, why)), now)
    return after, (do.Warn("ended", f"{reason}: {why}"), *actions)


# Its end


def expect_end(attempt: Attempt, told: on.QueueEnded, now: float) -> Step:
    """must be gone soon"""
    return replace(attempt, leave_by=now + LEAVE_SECONDS), ()


def lose_forkserver(attempt: Attempt, told: on.ForkserverGone, now: float) -> Step:
    """looks itself from now on whether the worker is alive"""
    return replace(attempt, orphaned=True, look_at=now + LOOK_SECONDS), ()


def look(attempt: Attempt, told: on.TimePassed, now: float) -> Step:
    """looks whether the worker is alive"""
    return replace(attempt, look_at=now + LOOK_SECONDS), (do.Look(),)


def bury(attempt: Attempt, told: on.WorkerGone, now: float) -> Step:
    """SIGKILL to what is left of the group; its last words are still read"""
    leave_by, silent_at = now + LEAVE_SECONDS, now + LAST_WORDS_SECONDS
    return replace(attempt, leave_by=leave_by, silent_at=silent_at, look_at=math.inf), (do.Kill(),)


def clear(attempt: Attempt, told: on.PipesEnded | on.TimePassed, now: float) -> Step:
    """ends all processes of the worker; nothing more is read of it"""
    after = replace(attempt, tick=None, leave_by=math.inf, silent_at=math.inf, look_at=math.inf)
    return after, (do.Flush(), do.Clear())


def clear_again(attempt: Attempt, told: on.Cleared, now: float) -> Step:
    """tries again: a slot is free when its processes are gone"""
    return attempt, (do.Warn("not_ended", "a worker's processes cannot be ended"), do.Clear())


def clear_up(attempt: Attempt, told: on.Broke, now: float) -> Step:
    """ends all processes of the worker; has failed: `internal`"""
    after = replace(attempt, fault=told.error, leave_by=math.inf, silent_at=math.inf, look_at=math.inf)
    return after, (do.Clear(),)


def close(attempt: Attempt, told: on.Cleared, now: float) -> Step:
    """has its final event"""
    return attempt, (_finish(attempt, _final(attempt, told.how)),)


def close_anyhow(attempt: Attempt, told: on.Broke, now: float) -> Step:
    """has its final event"""
    return attempt, (_finish(attempt, _final(attempt, verdict.Exit())),)


def _final(attempt: Attempt, how: verdict.Exit) -> NewCompleted | NewFailed:
    """A result that was told counts, whatever came after it."""
    outcome = attempt.outcome
    if outcome is not None and outcome["event"] == "completed":
        return verdict.told(outcome, how)
    if attempt.fault is not None:
        return failed("internal", f"the service could not run the worker: {attempt.fault}")
    if attempt.bound is not None:
        return failed(*attempt.bound, log_tail=how.tail)
    if outcome is not None:
        return verdict.told(outcome, how)
    return verdict.untold(replace(how, code=None) if attempt.orphaned else how)


def _finish(attempt: Attempt, final: NewCompleted | NewFailed) -> do.Finish:
    """The next service decides about an abandoned attempt's job, but a result that is there is kept."""
    return do.Finish(final if final["event"] == "completed" or not attempt.abandoned else None)
