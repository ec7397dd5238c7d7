"""How an attempt ended, as its final event: from what the worker said, its exit, and the last lines of its log."""

import signal
from collections.abc import Sequence
from dataclasses import dataclass

from service.failures import HINTS, failed, reason_in
from service.new_events import NewCompleted, NewFailed, Raised
from service.workers.output import TAIL_LINES, clean

#: Signals that mean a fault of the worker's own; any other one came from outside.
CRASHES = frozenset({"SIGSEGV", "SIGBUS", "SIGABRT", "SIGILL", "SIGFPE", "SIGTRAP", "SIGSYS"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Exit:
    """What is known of a worker's end."""

    #: Its exit code, or minus the number of the signal that ended it; None: nobody can tell.
    code: int | None = None
    #: The last lines of its log.
    recent: Sequence[str] = ()
    #: The kernel has killed a process for want of memory meanwhile.
    out_of_memory: bool = False

    @property
    def tail(self) -> list[str]:
        """The lines that a failure repeats."""
        return list(self.recent[-TAIL_LINES:])


def told(outcome: NewCompleted | Raised, how: Exit) -> NewCompleted | NewFailed:
    """The final event where the worker has told its outcome."""
    if outcome["event"] == "completed":
        return outcome
    error = "\n".join(map(clean, outcome["error"].split("\n")))
    reason = outcome["reason"]
    return failed(reason if reason in HINTS else "error", error, log_tail=how.tail)


def untold(how: Exit) -> NewFailed:
    """The final event of a worker that ended without an outcome."""
    code, reason = how.code, reason_in(how.recent)
    if code is None:
        why = "the worker ended after the process that could tell how"
        return failed(reason or "worker_lost", why, log_tail=how.tail)
    if code < 0:
        name = _name_of(-code)
        why = f"the worker was ended by {name}"
        return failed(_reason_of(name, how), why, signal=name, log_tail=how.tail)
    why = f"the worker left with exit code {code} and no result"
    return failed(reason or "exited", why, exit_code=code, log_tail=how.tail)


def _name_of(number: int) -> str:
    """SIGKILL for 9. Of real-time signals only the first and the last have a name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _reason_of(name: str, how: Exit) -> str:
    """Why a signal ended the worker: want of memory (the kernel counts), a full disk, a fault, or somebody."""
    if name == "SIGKILL" and how.out_of_memory:
        return "out_of_memory"
    if name == "SIGXFSZ":
        return "disk_full"
    return (reason_in(how.recent) or "crashed") if name in CRASHES else "killed"
