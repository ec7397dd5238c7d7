"""Which job runs when: the queue, the slots, cancelling, and what is left over from the service's last life.

The runner starts a supervisor for each job that gets a slot and hears from it when the slot is free again. It is given
a store to write to; it knows nothing of HTTP or of subscribers.
"""

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from orjson import loads

from AI.model_trainer.checkpoints import generation, generations
from service.errors import NothingToResume, NotReady, QueueFull, StoreUnavailable
from service.events import NewEvent
from service.failures import failed
from service.job import MAX_FRUITLESS_ATTEMPTS, Job
from service.job_queue import WaitingLine
from service.store.store import Store
from service.workers.launcher import Launcher
from service.workers.limits import Limits
from service.workers.output import TAIL_LINES, Written
from service.workers.processes import ProcessGroup
from service.workers.spec import Bounds, Resume, TrainSpec
from service.workers.supervisor import LEAVE_SECONDS, Supervisor

log = logging.getLogger(__name__)

#: Seconds for which a service that leaves waits for its workers, killed, to be gone.
CLOSE_SECONDS = 5.0
#: Seconds in which it must be on the disk that the service leaves its jobs on purpose.
LEAVE_NOTE_SECONDS = 2.0


class Runner:
    """The jobs that wait and the jobs that run. Any thread may call.

    `_lock` guards `_waiting`, `_entering`, `_running`, `_free` and `_closed`. What is done under it waits for nobody:
    no file, no commit, no room in the writer's queue.

    `devices` has one entry per slot: the GPU that the slot's jobs get, or None for the CPU.
    """

    def __init__(
        self,
        store: Store,
        launcher: Launcher,
        *,
        data_dir: Path,
        devices: Sequence[str | None] = (None,),
        threads: str = "all",
        program: str = "service.workers.worker:train",
        max_log_bytes: int = 16_000_000,
        offline: bool = False,
        auto_resume: bool = True,
        grace_seconds: float = 5.0,
        limits: Limits = Limits(),  # noqa: B008 (immutable)
        max_waiting: int = 1_000,
        stalled_seconds: float = 0.0,
    ) -> None:
        self._store = store
        self._launcher = launcher
        self._data_dir = data_dir
        self._threads = threads
        self._program = program
        self._max_log_bytes = max_log_bytes
        self._offline = offline
        self._auto_resume = auto_resume
        self._grace_seconds = grace_seconds
        self._limits = limits
        self._lock = threading.Lock()
        self._max_waiting = max_waiting
        self._stalled_seconds = stalled_seconds
        self._waiting = WaitingLine()
        #: Jobs that are about to wait: they are being written to the log.
        self._entering = 0
        self._running: dict[str, Supervisor] = {}
        self._free: list[str | None] = list(devices)
        self._settled = threading.Event()
        self._closed = False

    @property
    def is_settled(self) -> bool:
        """What the last life left is settled; before that nothing is changed by request."""
        return self._settled.is_set()

    def start(self) -> None:
        """Settle what the last life of the service left, then run what is queued: what was interrupted comes first."""
        for job in self._store.unfinished():
            if self._can_wait(job) or self._settle(job):
                self._enqueue(job)
        self._settled.set()
        self._fill()

    def _can_wait(self, job: Job) -> bool:
        """Whether a job that was left can just wait on: nothing ran, and what it is to go on from is there."""
        if job.status != "queued" or job.cancel_requested or job.interrupted:
            return False
        return job.checkpoint is None or self._kept_epoch(job) == job.checkpoint.epoch

    def _settle(self, job: Job) -> bool:
        """End an attempt that the service has left, its processes first; whether the job goes on.

        Blocks while the log cannot be written. Raises StoreUnavailable: when the service is leaving.
        """
        free = job.pid is None or not job.pid_started or ProcessGroup(job.pid, job.pid_started).end(LEAVE_SECONDS)
        if not free:
            log.error("a worker of the previous run is still alive", extra={"job_id": job.id, "pid": job.pid})
        if job.cancel_requested:
            self._append(job, {"event": "cancelled", "reason": "cancelled"})
            return False
        if not job.interrupted:
            planned = job.left or job.status == "queued"  # then nothing ran
            job = self._append(job, {"event": "interrupted", "reason": "interrupted", "planned": planned})
        log.info("settled", extra={"action": "settled", "job_id": job.id})
        job = job.going_on_after(self._kept_epoch(job))  # where somebody has deleted it, the job begins anew
        if free and self._auto_resume and job.fruitless_attempts < MAX_FRUITLESS_ATTEMPTS:
            self._append(job, job.next_attempt(reason="interrupted"), attempt=job.attempt + 1)
            return True
        lines = [line for record in self._store.tail(job.id, "log", TAIL_LINES) for line in loads(record.data)["lines"]]
        why = "the service ended while the job ran"
        if not free:
            why += ", and a process of it cannot be ended"
        elif self._auto_resume:
            why += f", {job.fruitless_attempts} times without a new checkpoint"
        self._append(job, failed("interrupted", why, log_tail=lines[-TAIL_LINES:]))
        return False

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
        self.check_settled()
        with self._lock:
            if self._closed:
                raise NotReady("the service is shutting down")
            # Where a slot is free nothing waits, but one that is just being filled counts as waiting for a moment.
            if len(self._waiting) + self._entering >= self._max_waiting + len(self._free):
                raise QueueFull(f"{len(self._waiting)} jobs wait already, the most that may; try again later")
            self._entering += 1
        try:
            yield
        finally:
            with self._lock:
                self._entering -= 1

    def check_settled(self) -> None:
        """Raises NotReady: until it is."""
        if not self.is_settled:
            raise NotReady("still recovering the jobs of the previous run; try again in a few seconds")

    def _enqueue(self, job: Job) -> None:
        with self._lock:
            current = self._store.current(job.id)
            if current is not None and not current.cancel_requested:
                self._waiting.add(current)
        if current is not None and current.cancel_requested:  # it came before the job was in the queue
            self._append(current, {"event": "cancelled", "reason": "cancelled"})

    def cancel(self, job_id: str) -> Job:
        """End a job; returns once a restart would honour that too. Its `cancelled` follows when its processes are gone.

        Raises JobNotFound, StoreUnavailable, NotReady. Raises JobFinal: when it has completed or failed already.
        """
        self.check_settled()
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
            waiting = self._waiting.remove(job_id)
        if waiting:
            self._append(job, {"event": "cancelled", "reason": "cancelled"})
            self._fill()  # the others move up
        elif supervisor is not None:
            supervisor.cancel()

    def stop(self, job_id: str) -> Job:
        """Have a running job end after its epoch, best weights kept; returns once a restart would honour that.

        Raises JobNotFound, StoreUnavailable, NotReady. Raises JobNotRunning: when it waits or has ended.
        """
        self.check_settled()
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
        job = self._store.job(job_id)
        epoch = self._kept_epoch(job)
        if job.checkpoint is not None and epoch is None:
            raise NothingToResume(f"the checkpoints of job {job_id} are gone")
        with self._entry():
            job = self._store.resume(job_id, epochs, epoch)
            self._enqueue(job)
        self._fill()
        return job

    def load(self) -> dict[str, int]:
        """How many jobs wait, how many run, and how many could."""
        with self._lock:
            running = len(self._running)
            return {"waiting": len(self._waiting), "running": running, "slots": running + len(self._free)}

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
        """End every worker by force and wait for that. The jobs stay as they are in the log: a restart settles them."""
        self.leave()
        with self._lock:
            supervisors = list(self._running.values())
        for supervisor in supervisors:
            supervisor.abandon()
        deadline = time.monotonic() + CLOSE_SECONDS
        for supervisor in supervisors:
            supervisor.join(max(0.0, deadline - time.monotonic()))  # longer: the log cannot be written, a start hangs

    def _fill(self) -> None:
        """Give the free slots to the jobs that are first, and tell the others where they stand."""
        with self._lock:
            while self._free and len(self._waiting) and not self._closed:
                job = self._store.current(self._waiting.pop())
                if job is not None:
                    self._run(job, self._free.pop(0))
            with suppress(StoreUnavailable):  # places are told again with the next move; nothing is to wait for them
                self._store.place(self._waiting)

    def _run(self, job: Job, device: str | None) -> None:
        def publish(event: NewEvent, time: float | None = None) -> Written:
            return self._store.append(job.id, job.attempt, event, time)

        def ended() -> None:
            with self._lock:
                if self._running.get(job.id) is supervisor:  # a resume may have begun the next attempt already
                    del self._running[job.id]
                self._free.append(device)
            self._fill()

        spec = self._spec(job, device)
        supervisor = Supervisor(self._launcher, spec, publish, ended, self._bounds(job))
        self._running[job.id] = supervisor
        if job.cancel_requested:  # by somebody who waits for the lock
            supervisor.cancel()
        supervisor.start()

    def _kept_epoch(self, job: Job) -> int | None:
        """The epoch of the checkpoint to go on from: the newest whose epoch's end is in the log, so none is told twice.

        Where the log is further behind than the copies that are kept, the oldest of them; None: there is none.
        It looks at the disk: not under the lock.
        """
        if job.checkpoint is None:
            return None
        kept = [generation.epoch for generation in generations(self._checkpoints(job))]
        known = [epoch for epoch in kept if epoch <= job.checkpoint.epoch]
        return next(iter(known or kept[-1:]), None)

    def _folder(self, job: Job) -> Path:
        return self._data_dir / "jobs" / job.id

    def _checkpoints(self, job: Job) -> Path:
        return self._folder(job) / "checkpoints"

    def _resume(self, job: Job) -> Resume | None:
        """What an attempt begins with, as its `queued` said; None for the first epoch."""
        if job.attempt == 1 or job.checkpoint is None:
            return None
        last = generation(self._checkpoints(job), job.checkpoint.epoch).last
        return Resume(checkpoint=last, only_evaluate=job.finish)

    def _bounds(self, job: Job) -> Bounds:
        return Bounds(
            grace_seconds=self._grace_seconds,
            stalled_seconds=self._stalled_seconds,
            runtime_seconds=job.request.get("max_runtime_seconds"),
            log_bytes=max(0, self._max_log_bytes - job.log_bytes),
        )

    def _spec(self, job: Job, device: str | None) -> TrainSpec:
        return TrainSpec(
            program=self._program,
            id=job.id,
            attempt=job.attempt,
            model=job.request["model"],
            hyperparameters=job.request.get("hyperparameters", {}),
            fit_params=job.request["fit_params"],
            resume=self._resume(job),
            epochs=job.epochs,
            stop=job.stop_requested,  # before an interruption
            folder=self._folder(job),
            cache_dir=self._data_dir / "cache" / "labels",
            datasets_dir=self._data_dir / "datasets",
            weights_dir=self._data_dir / "weights",
            offline=self._offline,
            threads=self._threads,
            limits=self._limits,
            device=device,
        )
