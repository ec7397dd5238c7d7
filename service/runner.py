"""Which job runs when: the queue, the slots, cancelling, and what is left over from the service's last life.

The runner starts a supervisor for each job that gets a slot and hears from it when the slot is free again. It is given
a store to write to; it knows nothing of HTTP or of subscribers.
"""

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from orjson import loads

from AI.model_trainer.checkpoints import generations
from service.errors import NotReady, QueueFull, StoreUnavailable
from service.failures import failed
from service.going_on import Cancel, Fail, Found, GoOn, Interrupt, Wait, decide, queued
from service.job import Job
from service.job_queue import JobQueue
from service.new_events import NewEvent
from service.store.store import Store
from service.workers.launcher import Launcher
from service.workers.output import TAIL_LINES, Written
from service.workers.processes import ProcessGroup
from service.workers.supervisor import LEAVE_SECONDS, Supervisor
from service.workers.terms import Terms

log = logging.getLogger(__name__)

#: Seconds for which a service that leaves waits for its workers, killed, to be gone.
CLOSE_SECONDS = 5.0
#: Seconds in which it must be on the disk that the service leaves its jobs on purpose.
LEAVE_NOTE_SECONDS = 2.0


class Runner:
    """The jobs that wait and the jobs that run. Any thread may call.

    `_lock` guards `_queue`, `_entering`, `_running`, `_free` and `_closed`. What is done under it waits for nobody:
    no file, no commit, no room in the writer's queue. What is decided under it is done outside.

    `devices` has one entry per slot: the GPU that the slot's jobs get, or None for the CPU.
    """

    def __init__(
        self,
        store: Store,
        launcher: Launcher,
        terms: Terms,
        *,
        devices: Sequence[str | None] = (None,),
        auto_resume: bool = True,
        max_waiting: int = 1_000,
    ) -> None:
        self._store = store
        self._launcher = launcher
        self._terms = terms
        self._auto_resume = auto_resume
        self._max_waiting = max_waiting
        self._lock = threading.Lock()
        self._queue = JobQueue()
        #: Jobs that are about to wait: they are being written to the log.
        self._entering = 0
        self._running: dict[str, Supervisor] = {}
        self._free: list[str | None] = list(devices)
        self._recovered = threading.Event()
        self._closed = False

    @property
    def has_recovered(self) -> bool:
        """What became of each job that the service left is in the log; before that nothing is changed by request."""
        return self._recovered.is_set()

    def start(self) -> None:
        """Decide on the jobs that the service left, then run what is queued: what was interrupted comes first."""
        for job in self._store.unfinished():
            if self._recover(job):
                self._enqueue(job)
        self._recovered.set()
        self._fill()

    def _recover(self, job: Job) -> bool:
        """End what is left of a job's worker, and log what becomes of the job; whether it waits now.

        Blocks while the log cannot be written. Raises StoreUnavailable: when the service is leaving.
        """
        is_free = job.pid is None or not job.pid_started or ProcessGroup(job.pid, job.pid_started).end(LEAVE_SECONDS)
        if not is_free:
            log.error("a worker of the previous run is still alive", extra={"job_id": job.id, "pid": job.pid})
        while True:
            found = Found(job.course, self._kept(job), is_free, self._auto_resume)
            match decide(found):
                case Wait():
                    return True
                case Cancel():
                    self._append(job, {"event": "cancelled", "reason": "cancelled"})
                    return False
                case Interrupt(planned):
                    job = self._append(job, {"event": "interrupted", "reason": "interrupted", "planned": planned})
                    log.info("interrupted", extra={"action": "interrupted", "job_id": job.id})
                case GoOn() as plan:
                    self._append(job, queued(plan, "interrupted"), attempt=job.attempt + 1)
                    return True
                case Fail(why):
                    self._append(job, failed("interrupted", why, log_tail=self._log_tail(job)))
                    return False

    def _kept(self, job: Job) -> list[int]:
        """The epochs of the checkpoints that the job can go on from. It looks at the disk: not under the lock."""
        if job.checkpoint is None:
            return []
        return [generation.epoch for generation in generations(self._terms.checkpoints(job))]

    def _log_tail(self, job: Job) -> list[str]:
        records = self._store.tail(job.id, "log", TAIL_LINES)
        return [line for record in records for line in loads(record.data)["lines"]][-TAIL_LINES:]

    def _append(self, job: Job, event: NewEvent, *, attempt: int | None = None) -> Job:
        """The job once the event is in the log."""
        return self._store.append(job.id, attempt or job.attempt, event).result()

    def submit(self, job: Job, key: str | None = None, digest: str = "") -> Job:
        """Take a job into the queue; returns it once it is on the disk. Blocks: not for the event loop.

        With a `key` that came before (see `Store.create`) the first job is returned, and nothing is queued.
        Raises NotReady: when the service is starting or shutting down. Raises QueueFull. Raises StoreUnavailable:
        when the log cannot be written. Raises KeyReused.
        """
        with self._entry():
            created = self._store.create(job, key, digest)
            if created.id == job.id:
                self._enqueue(created)
        self._fill()
        return created

    @contextmanager
    def _entry(self) -> Iterator[None]:
        """Room for one more job that waits. Raises NotReady, QueueFull."""
        self.check_recovered()
        with self._lock:
            if self._closed:
                raise NotReady("the service is shutting down")
            # Where a slot is free nothing waits, but one that is just being filled counts as waiting for a moment.
            if len(self._queue) + self._entering >= self._max_waiting + len(self._free):
                raise QueueFull(f"{len(self._queue)} jobs wait already, the most that may; try again later")
            self._entering += 1
        try:
            yield
        finally:
            with self._lock:
                self._entering -= 1

    def check_recovered(self) -> None:
        """Raises NotReady: until it is."""
        if not self.has_recovered:
            raise NotReady("still recovering the jobs of the previous run; try again in a few seconds")

    def _enqueue(self, job: Job) -> None:
        with self._lock:
            current = self._store.current(job.id)
            if current is not None and not current.cancel_requested:
                self._queue.add(current)
        if current is not None and current.cancel_requested:  # it came before the job was in the queue
            self._append(current, {"event": "cancelled", "reason": "cancelled"})

    def cancel(self, job_id: str) -> Job:
        """End a job; returns once a restart would honour that too. Its `cancelled` follows when its processes are gone.

        Raises JobNotFound, StoreUnavailable, NotReady. Raises JobFinal: when it has completed or failed already.
        """
        self.check_recovered()
        self._store.request_cancel(job_id)
        self._end_if_cancelled(job_id)
        return self._store.job(job_id)

    def _end_if_cancelled(self, job_id: str) -> None:
        """End the newest attempt, if it is the one that a cancel was meant for: a resume may have come since."""
        with self._lock:
            job = self._store.current(job_id)
            if job is None or not job.cancel_requested:
                return
            supervisor = self._running.get(job_id)  # perhaps of the attempt before, which is just leaving
            waiting = self._queue.remove(job_id)
        if waiting:
            self._append(job, {"event": "cancelled", "reason": "cancelled"})
            self._fill()  # the others move up
        elif supervisor is not None:
            supervisor.cancel()

    def stop(self, job_id: str) -> Job:
        """Have a running job end after its epoch, best weights kept; returns once a restart would honour that.

        Raises JobNotFound, StoreUnavailable, NotReady. Raises JobNotRunning: when it waits or has ended.
        """
        self.check_recovered()
        job = self._store.request_stop(job_id)
        with self._lock:
            supervisor = self._running.get(job_id)
            current = self._store.current(job_id)
        # Not the attempt after, that a resume has begun since.
        if supervisor is not None and current is not None and current.stop_requested:
            supervisor.stop()
        return job

    def resume(self, job_id: str, epochs: int | None = None) -> Job:
        """Queue the next attempt of a job that has ended, to a new total of `epochs` if given.

        Raises JobNotFound, StoreUnavailable, NotReady. Raises NothingToResume: when it cannot go on.
        """
        kept = self._kept(self._store.job(job_id))
        with self._entry():
            job = self._store.resume(job_id, epochs, kept)
            self._enqueue(job)
        self._fill()
        return job

    def load(self) -> dict[str, int]:
        """How many jobs wait, how many run, and how many could."""
        with self._lock:
            running = len(self._running)
            return {"waiting": len(self._queue), "running": running, "slots": running + len(self._free)}

    def leave(self) -> None:
        """Start nothing more, and note that the running jobs are left on purpose. Repeatable; waits a moment at most.

        For the moment in which the service is told to go: whoever told it may lose patience and kill it.
        """
        with self._lock:
            self._closed = True
            running = list(self._running)
        try:
            if running:
                self._store.leave(running, LEAVE_NOTE_SECONDS)
        except StoreUnavailable as error:
            log.warning("interruptions will count as unplanned: %s", error, extra={"action": "leaving_unnoted"})

    def close(self) -> None:
        """End every worker by force and wait for that. The log keeps the jobs as they are; a restart recovers them."""
        self.leave()
        with self._lock:
            supervisors = list(self._running.values())
        for supervisor in supervisors:
            supervisor.abandon()
        deadline = time.monotonic() + CLOSE_SECONDS
        for supervisor in supervisors:
            with suppress(RuntimeError):  # it has not been started yet: it will leave at once
                supervisor.join(
                    max(0.0, deadline - time.monotonic())
                )  # longer: the log cannot be written, a start hangs

    def _fill(self) -> None:
        """Give the free slots to the jobs that are first, and tell the others where they stand."""
        for supervisor in self._plan():
            supervisor.start()

    def _plan(self) -> list[Supervisor]:
        """The attempts to start now. Of a cancel that comes before their start they know."""
        with self._lock:
            starts = []
            while self._free and len(self._queue) and not self._closed:
                job = self._store.current(self._queue.pop())
                if job is not None:
                    starts.append(self._supervisor(job, self._free.pop(0)))
            # Under the lock, as it waits for nothing: an older order must not be told after a newer one.
            with suppress(StoreUnavailable):  # places are told again with the next move
                self._store.place(self._queue)
            return starts

    def _supervisor(self, job: Job, device: str | None) -> Supervisor:
        def publish(event: NewEvent, time: float | None = None) -> Written:
            return self._store.append(job.id, job.attempt, event, time)

        def ended() -> None:
            with self._lock:
                if self._running.get(job.id) is supervisor:  # a resume may have begun the next attempt already
                    del self._running[job.id]
                self._free.append(device)
            self._fill()

        terms = self._terms
        supervisor = Supervisor(self._launcher, terms.spec(job, device), publish, ended, terms.bounds(job))
        self._running[job.id] = supervisor
        if job.cancel_requested:  # by somebody who waits for the lock
            supervisor.cancel()
        return supervisor
