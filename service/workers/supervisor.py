"""One attempt of one job: start the worker, carry what it says to the log, report how it ended.

The supervisor is a thread beside its worker. It only drains: events to `publish`, text to `log` events, and it
believes the operating system, not multiprocessing, about whether the worker is dead.
"""

import contextlib
import logging
import math
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import Any

import orjson

from service.errors import StoreUnavailable
from service.events import FINAL_TYPES, Event, is_deeper
from service.failures import HINTS, failed, reason_in
from service.workers import starting, worker
from service.workers.launcher import EventQueue, Launcher
from service.workers.output import LogLines, Publish, TextSplitter, clean
from service.workers.processes import ProcessGroup, out_of_memory_kills
from service.workers.spec import Bounds, Spec
from service.workers.starting import Worker

log = logging.getLogger(__name__)

#: What a worker may say. Anything else is noted and dropped.
WORKER_TYPES = frozenset(
    {
        *("phase", "tick", "dataset", "epoch_end", "checkpoint", "image", "log"),
        *("class_results", "train_end", "completed", "failed"),
    }
)
#: Messages taken from a queue before the other ends get their turn.
DRAIN_MESSAGES = 1_000
#: Seconds in which a worker that has told its outcome must be gone, and in which a killed group must be.
LEAVE_SECONDS = 10.0
#: Seconds between SIGTERM to a cancelled worker and SIGKILL.
TERMINATE_SECONDS = 2.0
#: Seconds for which a dead worker's pipes are still read where something outside of its session holds them.
LAST_WORDS_SECONDS = 0.5
#: Seconds between two looks whether a worker is alive whose forkserver is dead: nobody tells of its end.
LOOK_SECONDS = 0.2
#: Levels of objects and arrays in an event.
MAX_LEVELS = 16
#: Signals that mean a fault of the worker's own; any other one came from outside.
CRASHES = frozenset({"SIGSEGV", "SIGBUS", "SIGABRT", "SIGILL", "SIGFPE", "SIGTRAP", "SIGSYS"})

#: Which of a tick's fields show that the training gets on: it is told by a thread of its own, whatever hangs.
PROGRESS_FIELDS = ("epoch", "batch", "val_batch")


class Supervisor(threading.Thread):
    """Runs one attempt from start to final event. Only its own thread publishes.

    `stop`, `cancel` and `abandon` may come from any thread, at any time and repeatedly.
    """

    def __init__(
        self,
        launcher: Launcher,
        spec: Spec,
        publish: Publish,
        ended: Callable[[], None],
        bounds: Bounds = Bounds(),  # noqa: B008 (immutable)
    ) -> None:
        super().__init__(name=f"supervisor-{spec.id}", daemon=True)
        self._launcher = launcher
        self._spec = spec
        self._publish = publish
        self._ended = ended
        self._lines = LogLines(publish, bounds.log_bytes)
        self._outcome: Event | None = None
        self._tick: Future[Any] | None = None
        self._bounds = bounds
        self._lock = threading.Lock()  # between the start and those who ask for its end
        self._worker: Worker | None = None
        self._group: ProcessGroup | None = None
        #: Done once the start of a worker need not be waited for.
        self._unwanted: Future[None] = Future()
        self._stopping = False
        #: Why the worker is to go: it was cancelled, or the service is leaving and the next one settles the attempt.
        self._cancelled = False
        self._abandoned = False
        #: Reason and text of an end that the supervisor itself decided on.
        self._limit: tuple[str, str] | None = None
        self._deadline = math.inf  # of the attempt's running time, monotonic seconds
        self._progressed = 0.0
        self._progress: list[Any] = []
        self._kills_before = 0
        self._noted = threading.Event()
        self._over = threading.Event()

    def stop(self) -> None:
        """Have the worker end after the epoch that it is in."""
        with self._lock:
            if not self._stopping:  # once: the pipe to a worker that reads nothing is full some day, and then waits
                self._stopping = True
                self._request(worker.STOP)

    def cancel(self) -> None:
        """End the worker: by request, after the grace by SIGTERM, then by SIGKILL; then all that it has started."""
        with self._lock:
            if not self._cancelled:
                self._cancelled = True
                self._want_no_more()
                threading.Thread(target=self._escalate, name=f"end-{self._spec.id}", daemon=True).start()

    def abandon(self) -> None:
        """End the worker and all of its processes by force, without a final event."""
        with self._lock:
            self._abandoned = True
            self._want_no_more()
            if self._group is not None:
                self._group.kill()

    def _want_no_more(self) -> None:
        if not self._unwanted.done():
            self._unwanted.set_result(None)

    def _escalate(self) -> None:
        self._noted.wait()
        with self._lock:
            self._request(worker.CANCEL)
        if not self._over.wait(self._bounds.grace_seconds) and self._group is not None:
            self._group.terminate()
        if not self._over.wait(TERMINATE_SECONDS) and self._group is not None:
            self._group.kill()

    def _request(self, request: bytes) -> None:
        if self._worker is not None:
            with contextlib.suppress(OSError):  # it has gone
                self._worker.requests.send_bytes(request)

    def run(self) -> None:
        try:
            final = self._attempt()
        except Exception as error:
            log.exception("supervisor failed", extra={"action": "supervisor_failed", "job_id": self._spec.id})
            final = self._after_fault(error)
        self._noted.set()
        self._over.set()
        try:
            # An abandoned attempt is settled by the service's next life, but a result that is there is kept.
            if not self._abandoned or final["event"] == "completed":
                self._wait_for(self._publish(final))
        except StoreUnavailable:
            log.warning("no final event: the service is leaving", extra={"job_id": self._spec.id})
        finally:
            self._ended()

    def _wait_for(self, written: "Future[Any]") -> None:
        """Until the final event is in the log (or refused: the attempt has one), or the service leaves."""
        while not self._abandoned:
            with contextlib.suppress(TimeoutError):
                written.exception(1.0)
                return

    def _attempt(self) -> Event:
        self._kills_before = out_of_memory_kills()
        started = starting.start(self._launcher, self._spec, self._unwanted, self._complain)
        if started is None:
            return failed("killed", "ended before it started")
        with contextlib.closing(started):
            self._note(started)
            try:
                orphaned = self._relay(started)
            finally:
                with self._lock:
                    self._worker = None
        return self._verdict(started.process, started.group, orphaned)

    def _complain(self, text: str) -> None:
        """Say in the job's own log what it waits for."""
        self._lines.add("service", "warning", [text])
        self._lines.flush()

    def _note(self, started: Worker) -> None:
        """Put on record which process this is, before it begins, and pass on what was asked meanwhile."""
        with self._lock:
            self._group = started.group
            if self._abandoned:
                started.group.kill()
        self._progressed = time.monotonic()
        if self._bounds.runtime_seconds:
            self._deadline = self._progressed + self._bounds.runtime_seconds
        self._publish({"event": "started", "pid": started.group.pid, "pid_started": started.group.started})
        with self._lock:
            self._worker = started
            started.begin()
            if self._stopping:
                self._request(worker.STOP)
        self._noted.set()

    # Relaying

    def _relay(self, started: Worker) -> bool:
        """Drain queue and pipes until they end, which they do when the worker and its children are gone.

        Returns whether the worker outlived the forkserver, which alone could have told its exit code.
        """
        queue, group, sentinel = started.queue, started.group, started.process.sentinel
        texts = {pipe: TextSplitter(name, self._lines) for name, pipe in started.texts.items()}
        unfinished: list[Any] = [queue.reader, *texts]
        watched: list[Any] = [sentinel]
        deadline: float | None = None
        pause: float | None = None  # once the worker is dead: how long a silence ends the reading
        orphaned = False
        while unfinished:
            ready = wait([*unfinished, *watched], self._patience(deadline, orphaned) if pause is None else pause)
            # Text first: what was printed before an event stands before it.
            ended = [pipe for pipe in texts if pipe in ready and not texts[pipe].read(pipe)]
            if any(pipe in ready for pipe in texts):
                self._note_progress()
            if queue.reader in ready and not self._drain(queue):
                ended.append(queue.reader)
            if deadline is None and (queue.reader in ended or self._outcome is not None):
                deadline = time.monotonic() + LEAVE_SECONDS
            if sentinel in ready:
                watched.clear()
                orphaned = group.leader_alive()  # the forkserver has died, and the worker trains on
            if pause is None and not watched and not (orphaned and (ready or group.leader_alive())):
                # The worker died. It is over for its group, whose last words are still read.
                group.kill()
                deadline, pause = time.monotonic() + LEAVE_SECONDS, LAST_WORDS_SECONDS
            unfinished = [source for source in unfinished if source not in ended]
            self._lines.flush_if_due()
            self._check_bounds()
            silent = pause is not None and not ready
            if silent or (deadline is not None and time.monotonic() >= deadline):
                break  # something that left the group holds a pipe
        self._lines.flush()
        return orphaned

    def _patience(self, deadline: float | None, orphaned: bool) -> float | None:
        """Seconds until something must be done though nothing is heard; None: nothing."""
        due = self._lines.due(deadline)
        soonest = min(math.inf if due is None else due, LOOK_SECONDS if orphaned else math.inf)
        if not self._limit:
            stalls = self._progressed + (self._bounds.stalled_seconds or math.inf)
            soonest = min(soonest, max(0.0, min(self._deadline, stalls) - time.monotonic()))
        return None if soonest == math.inf else soonest

    def _check_bounds(self) -> None:
        """End an attempt that runs for too long, or that shows no progress."""
        now = time.monotonic()
        if self._limit or self._outcome:
            return
        if now >= self._deadline:
            self._limit = ("timeout", f"it ran for {self._bounds.runtime_seconds:g} seconds, its max_runtime_seconds")
        elif self._bounds.stalled_seconds and now >= self._progressed + self._bounds.stalled_seconds:
            self._limit = (
                "stalled",
                f"no batch, no event and no line of its log for {self._bounds.stalled_seconds:g} seconds",
            )
        if self._limit:
            log.warning("%s: %s", *self._limit, extra={"action": "ended", "job_id": self._spec.id})
            self.cancel()

    def _note_progress(self, at: list[Any] | None = None) -> None:
        """Something happened; in a tick only if it is `at` another place than the one before."""
        if at is None or at != self._progress:
            self._progressed = time.monotonic()
            self._progress = at or self._progress

    def _drain(self, queue: EventQueue) -> bool:
        """Publish all that waits in the queue; of ticks only the newest. False at the end."""
        tick: Event | None = None
        for _ in range(DRAIN_MESSAGES):
            try:
                event = _parse(queue.get())
            except (EOFError, OSError) as error:
                if not isinstance(error, EOFError):
                    log.warning("worker sent a broken message: %s", error, extra={"job_id": self._spec.id})
                self._publish_tick(tick)
                return False
            if event is None:
                log.warning("worker sent no event", extra={"job_id": self._spec.id})
            elif event["event"] == "tick":
                tick = event
                self._note_progress([event.get(name) for name in PROGRESS_FIELDS])
            else:
                self._note_progress()
                tick = tick if event["event"] == "log" else None  # overtaken: it must not show as newer than this
                self._take(event)
            if not queue.reader.poll():
                break
        self._publish_tick(tick)
        return True

    def _take(self, event: Event) -> None:
        if event["event"] == "log":
            self._lines.add(str(event.get("stream")), str(event.get("level")), event.get("lines") or [])
            return
        self._lines.flush()  # lines stand before the event that followed them
        if event["event"] in FINAL_TYPES:
            self._outcome = event
        else:
            self._publish(event)

    def _publish_tick(self, tick: Event | None) -> None:
        """A tick is dropped while the one before still waits for the writer: the newest one is what counts."""
        if tick is not None and (self._tick is None or self._tick.done()):
            self._tick = self._publish(tick)

    # The end

    def _verdict(self, process: BaseProcess, group: ProcessGroup, orphaned: bool) -> Event:
        """The final event, once every process of the worker is gone."""
        process.join(LEAVE_SECONDS)
        self._end(group)
        code = process.exitcode
        if code is not None:
            process.close()
        tail = self._lines.tail()
        if self._outcome is not None and self._outcome["event"] == "completed":
            return {**self._outcome, "time": None}  # it is over now, not when the worker said so
        if self._limit:
            return failed(*self._limit, log_tail=tail)
        if self._outcome is not None:
            error = "\n".join(map(clean, str(self._outcome.get("error")).split("\n")))
            reason = str(self._outcome.get("reason"))
            return failed(reason if reason in HINTS else "error", error, log_tail=tail)
        if orphaned or code is None:
            reason = reason_in(self._lines.recent()) or "worker_lost"
            return failed(reason, "the worker ended after the process that could tell how", log_tail=tail)
        if code < 0:
            name = signal.Signals(-code).name
            return failed(self._reason_of(name), f"the worker was ended by {name}", signal=name, log_tail=tail)
        reason = reason_in(self._lines.recent()) or "exited"
        return failed(reason, f"the worker left with exit code {code} and no result", exit_code=code, log_tail=tail)

    def _end(self, group: ProcessGroup) -> None:
        """A slot is free when its processes are gone: however long that takes, or until the service leaves."""
        while not group.end(LEAVE_SECONDS) and not self._abandoned:
            log.error("a worker's processes cannot be ended", extra={"job_id": self._spec.id, "pid": group.pid})

    def _after_fault(self, error: Exception) -> Event:
        """The final event where the service itself has failed the attempt; a result that was told already counts."""
        if self._group is not None:
            self._end(self._group)
        if self._outcome is not None and self._outcome["event"] == "completed":
            return {**self._outcome, "time": None}
        return failed("internal", f"the service could not run the worker: {error}")

    def _reason_of(self, name: str) -> str:
        """Why a signal ended the worker: want of memory (the kernel counts), a full disk, a fault, or somebody."""
        if name == "SIGKILL" and out_of_memory_kills() > self._kills_before:
            return "out_of_memory"
        if name == "SIGXFSZ":
            return "disk_full"
        return (reason_in(self._lines.recent()) or "crashed") if name in CRASHES else "killed"


def _parse(message: bytes) -> Event | None:
    try:
        event = orjson.loads(message)
    except orjson.JSONDecodeError:
        return None
    known = isinstance(event, dict) and isinstance(event.get("event"), str) and event["event"] in WORKER_TYPES
    return event if known and not is_deeper(event, MAX_LEVELS) else None
