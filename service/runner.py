"""Which job runs when: the queue, the slots, cancelling, and what is left over from the service's last life.

The runner starts a supervisor for each job that gets a slot and hears from it when the slot is free again. It is given
a store to write to; it knows nothing of HTTP or of subscribers.
"""

import logging
import threading
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from orjson import loads

from service.errors import NotReady
from service.events import Event
from service.jobs import Job
from service.launcher import Launcher
from service.processes import ProcessGroup
from service.store import Store
from service.supervisor import LEAVE_SECONDS, TAIL_LINES, Supervisor, failed

log = logging.getLogger(__name__)


class Runner:
    """The jobs that wait and the jobs that run. Any thread may call; `_lock` guards every field.

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
        program: str = "service.worker:train",
        max_log_bytes: int = 16_000_000,
        offline: bool = False,
    ) -> None:
        self._store = store
        self._launcher = launcher
        self._data_dir = data_dir
        self._threads = threads
        self._program = program
        self._max_log_bytes = max_log_bytes
        self._offline = offline
        self._lock = threading.Lock()
        self._waiting: deque[str] = deque()
        self._running: dict[str, Supervisor] = {}
        self._free: list[str | None] = list(devices)
        self._closed = False

    def start(self) -> None:
        """Settle what the last life of the service left, then run what is queued."""
        for job in self._store.unfinished():
            if job.cancel_requested or job.status == "running":
                self._settle(job)
            else:
                self._waiting.append(job.id)
        self._fill()

    def _settle(self, job: Job) -> None:
        """End a job whose service went away; its processes first, so that nothing writes to its files."""
        if job.pid is not None and job.pid_started and not ProcessGroup(job.pid, job.pid_started).end(LEAVE_SECONDS):
            log.error("a worker of the last life is still there", extra={"job_id": job.id, "pid": job.pid})
        if job.status == "running":
            self._store.append(job.id, job.attempt, {"event": "interrupted", "reason": "interrupted"})
        lines = [line for record in self._store.tail(job.id, "log", TAIL_LINES) for line in loads(record.data)["lines"]]
        final = failed("interrupted", "the service ended while the job ran", log_tail=lines[-TAIL_LINES:])
        self._store.append(job.id, job.attempt, final)
        log.info("settled", extra={"action": "settled", "job_id": job.id})

    def submit(self, job: Job) -> Job:
        """Take a job into the queue; returns it once it is on the disk. Blocks: not for the event loop.

        Raises NotReady: when the service is shutting down. Raises StoreUnavailable: when the log cannot be written.
        """
        if self._closed:
            raise NotReady("the service is shutting down")
        job = self._store.create(job)
        with self._lock:
            self._waiting.append(job.id)
        self._fill()
        return job

    def cancel(self, job_id: str) -> Job:
        """End a job; returns once a restart would honour that too. Its `cancelled` follows when its processes are gone.

        Raises JobNotFound, StoreUnavailable. Raises JobFinal: when it has completed or failed already.
        """
        job = self._store.request_cancel(job_id)
        with self._lock:
            supervisor = self._running.get(job_id)
            waiting = job_id in self._waiting
            if waiting:
                self._waiting.remove(job_id)
        if supervisor is not None:
            supervisor.kill()
        elif waiting:
            self._store.append(job_id, job.attempt, {"event": "cancelled"}).result()
        return self._store.job(job_id)

    def queue_position(self, job_id: str) -> int | None:
        """1 for the job that runs next; None for one that does not wait."""
        with self._lock:
            return self._waiting.index(job_id) + 1 if job_id in self._waiting else None

    def close(self) -> None:
        """End every worker by force and wait for that. The jobs stay as they are in the log: a restart settles them."""
        with self._lock:
            self._closed = True
            supervisors = list(self._running.values())
        for supervisor in supervisors:
            supervisor.kill(abandon=True)
        for supervisor in supervisors:
            supervisor.join(2 * LEAVE_SECONDS)  # longer only if the log cannot be written or a start hangs

    def _fill(self) -> None:
        """Give the free slots to the jobs that have waited longest."""
        with self._lock:
            while self._free and self._waiting and not self._closed:
                job = self._store.job(self._waiting.popleft())
                if job.cancel_requested:  # between its submit and its place in the queue
                    self._store.append(job.id, job.attempt, {"event": "cancelled"})
                else:
                    self._run(job, self._free.pop(0))

    def _run(self, job: Job, device: str | None) -> None:
        def publish(event: Event) -> Any:
            return self._store.append(job.id, job.attempt, event)

        def ended() -> None:
            with self._lock:
                del self._running[job.id]
                self._free.append(device)
            self._fill()

        supervisor = Supervisor(self._launcher, self._spec(job, device), publish, ended)
        self._running[job.id] = supervisor
        supervisor.start()

    def _spec(self, job: Job, device: str | None) -> dict[str, Any]:
        """What the worker is told."""
        return {
            "program": self._program,
            "id": job.id,
            "attempt": job.attempt,
            "model": job.request["model"],
            "hyperparameters": job.request.get("hyperparameters", {}),
            "fit_params": job.request["fit_params"],
            "folder": str(self._data_dir / "jobs" / job.id),
            "cache_dir": str(self._data_dir / "cache" / "labels"),
            "weights_dir": str(self._data_dir / "weights"),
            "offline": self._offline,
            "threads": self._threads,
            "max_log_bytes": self._max_log_bytes,
            "device": device,
        }
