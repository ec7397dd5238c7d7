"""A worker's start: tried until there is a worker, or until nobody wants one any more.

What keeps a worker from starting (a forkserver that died, a full folder for sockets, no descriptor left) is no fault of
its job, so the job waits. Each try has pipes of its own, and a worker does nothing before it is told to begin: one of
an earlier try, which the service does not know of, finds that its pipes have ended, and leaves.
"""

import contextlib
import itertools
import logging
from collections.abc import Callable
from concurrent import futures
from concurrent.futures import Future
from multiprocessing.connection import Connection, Pipe
from multiprocessing.process import BaseProcess
from typing import NamedTuple

from service.workers import worker
from service.workers.launcher import EventQueue, Launcher
from service.workers.processes import ProcessGroup
from service.workers.spec import Spec

log = logging.getLogger(__name__)

#: Seconds between a try and the next: at first, and at most.
FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 5.0


class Worker(NamedTuple):
    """A worker that waits to be told to begin, and the service's ends of its pipes."""

    process: BaseProcess
    group: ProcessGroup
    queue: EventQueue
    stdout: Connection
    stderr: Connection
    requests: Connection

    @property
    def texts(self) -> dict[str, Connection]:
        """What it prints, by the name of the stream."""
        return {"stdout": self.stdout, "stderr": self.stderr}

    def ask(self, word: bytes) -> None:
        """Send it BEGIN, STOP or CANCEL. Of all that were started for this attempt, only one is told to begin."""
        with contextlib.suppress(OSError):  # it has gone
            self.requests.send_bytes(word)

    def close(self) -> None:
        for end in (self.queue.reader, self.stdout, self.stderr, self.requests):
            end.close()


def start(
    launcher: Launcher,
    spec: Spec,
    unwanted: "Future[None]",
    tell: Callable[[str], object] = lambda text: None,
) -> Worker | None:
    """A worker for `spec`; None once it is unwanted. `tell` is told of failed tries: the second, fourth, eighth, …."""
    pause = FIRST_PAUSE_SECONDS
    for tries in itertools.count(1):
        if unwanted.done():
            break
        try:
            return _try(launcher, spec, unwanted)
        except OSError as error:
            if not unwanted.done():
                about = {"action": "start_failed", "job_id": spec.id}
                log.warning("no worker could be started, trying again: %s", error, extra=about)
                if tries > 1 and tries.bit_count() == 1:
                    tell(f"no worker could be started, trying again after {tries} tries: {error}")
        futures.wait([unwanted], pause)
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
    return None


def _try(launcher: Launcher, spec: Spec, unwanted: "Future[None]") -> Worker:
    """Raises OSError: when no worker was started, or none that could be recognised."""
    queue = EventQueue()
    (stdout, stdout_writer), (stderr, stderr_writer) = Pipe(duplex=False), Pipe(duplex=False)
    control, requests = Pipe(duplex=False)
    with contextlib.ExitStack() as ends:
        for end in (queue.reader, stdout, stderr, requests):
            ends.enter_context(end)
        theirs = (queue, stdout_writer, stderr_writer, control)
        process = launcher.start(worker.main, *theirs, spec, unwanted=unwanted)
        group = ProcessGroup.of(process.pid or 0)
        ends.pop_all()
    return Worker(process, group, queue, stdout, stderr, requests)
