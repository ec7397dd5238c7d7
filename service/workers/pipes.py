"""What comes out of a worker: its queue, its stdout and stderr, and its end, read as inputs of its attempt.

Text is cut into lines here. Events are checked against their types, never believed.
"""

import logging
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection, wait

from service.workers import inputs as on
from service.workers.inputs import Input
from service.workers.messages import decode_worker_event
from service.workers.output import LogLines, TextSplitter
from service.workers.starting import Worker

log = logging.getLogger(__name__)

#: Messages taken from a queue before the other ends get their turn.
DRAIN_MESSAGES = 1_000


class Pipes:
    """Reads one worker. The supervisor's thread only."""

    def __init__(self, worker: Worker, lines: LogLines, tick_waits: Callable[[], bool]) -> None:
        self._worker = worker
        self._texts = {pipe: TextSplitter(name, lines) for name, pipe in worker.texts.items()}
        self._tick_waits = tick_waits
        self._open: list[Connection] = [worker.queue.reader, *self._texts]
        #: What tells of the worker's end, until it has.
        self._sentinels = [worker.process.sentinel]
        self._is_misunderstood = False

    def read(self, seconds: float | None) -> Iterator[Input]:
        """What comes within so many seconds (None: however long it takes), and a `TimePassed`."""
        queue = self._worker.queue.reader
        ready = wait([*self._open, *self._sentinels], seconds)
        for pipe in [pipe for pipe in self._texts if pipe in ready]:
            # Text first: what was printed before an event stands before it.
            if not self._texts[pipe].read(pipe):
                self._open.remove(pipe)
            yield on.Printed()
        if queue in ready:
            yield from self._drain()
        if any(sentinel in ready for sentinel in self._sentinels):
            self._sentinels = []
            # The sentinel is the forkserver's: that it has ended tells nothing of the worker.
            yield on.ForkserverGone() if self._worker.group.leader_alive() else on.WorkerGone()
        if not self._open:
            yield on.PipesEnded()
        yield on.TimePassed(heard=bool(ready))

    def _drain(self) -> Iterator[Input]:
        """All that waits in the queue."""
        queue, ended = self._worker.queue, False
        for _ in range(DRAIN_MESSAGES):
            try:
                said = decode_worker_event(queue.get())
            except (EOFError, OSError) as error:
                ended = True
                if not isinstance(error, EOFError):
                    log.warning("worker %d sent a broken message: %s", self._worker.group.pid, error)
                break
            if said is not None:
                yield on.Said(said.event, said.time)
            elif not self._is_misunderstood:  # once: a worker may say a hundred thousand such things a second
                self._is_misunderstood = True
                log.warning("worker %d sent something that is no event; it is left out", self._worker.group.pid)
            if not queue.reader.poll():
                break
        yield on.Drained(self._tick_waits())
        if ended:
            self._open.remove(queue.reader)
            yield on.QueueEnded()
