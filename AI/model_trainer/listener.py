"""The caller's `progress_callback`, made safe to call from a training.

Everything that reports something goes through a `Listener`: one event at a time, whatever thread it comes from, and
no mistake, neither the callback's nor our own, ends a training.
"""

import functools
import logging
import threading
from collections.abc import Callable
from typing import Concatenate, ParamSpec, Protocol, TypeVar, cast

from AI.model_trainer.complaint import Complaint
from AI.model_trainer.events import Event, ProgressCallback

logger = logging.getLogger(__name__)


class Listener:
    """Passes events to `callback`, one at a time, until it is closed. Any thread may use it.

    Errors are logged once and otherwise ignored: a broken progress bar does not end a training, and the next event is
    offered again. It can be sent to another process as long as `callback` can.
    """

    def __init__(self, callback: ProgressCallback) -> None:
        self._callback = callback
        self._lock = threading.Lock()
        self._closed = False
        self._complaint = Complaint(logger, "reporting progress failed; the training goes on", "progress")

    def __reduce__(self) -> tuple[type["Listener"], tuple[ProgressCallback]]:
        return Listener, (self._callback,)  # a lock cannot travel

    def tell(self, event: Event) -> None:
        """Call the callback with a copy: it may keep, or change, what it gets. Raises whatever the callback raises."""
        own = {key: dict(value) if isinstance(value, dict) else value for key, value in event.items()}
        with self._lock:
            if not self._closed:
                self._callback(cast(Event, own))

    def close(self) -> None:
        """No call begins after this. Twice is as good as once."""
        with self._lock:
            self._closed = True

    def complain(self) -> None:
        """Log the exception that is being handled, the first time."""
        self._complaint.make()


class Reporter(Protocol):
    """Something that reports to a listener."""

    @property
    def listener(self) -> Listener: ...


R = TypeVar("R", bound=Reporter)
P = ParamSpec("P")


def telemetry(report: Callable[Concatenate[R, P], None]) -> Callable[Concatenate[R, P], None]:
    """Keep whatever goes wrong in a reporter's method from ending the training."""

    @functools.wraps(report)
    def guarded(self: R, /, *args: P.args, **kwargs: P.kwargs) -> None:
        try:
            report(self, *args, **kwargs)
        except Exception:
            self.listener.complain()

    return guarded
