"""One attempt of one job, carried out: a thread beside the worker that reads it, and does what its machine says.

What is to be done is decided in `transitions`; here are the processes, pipes, threads and the clock. The supervisor
believes the operating system, not multiprocessing, about whether the worker is dead.
"""

import contextlib
import logging
import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial

from service.errors import StoreUnavailable
from service.new_events import NewFinal
from service.workers import actions as do
from service.workers import inputs as on
from service.workers import starting
from service.workers.actions import Action
from service.workers.attempt import Attempt, Stage
from service.workers.inputs import Input
from service.workers.launcher import Launcher
from service.workers.output import LogLines, Publish, Written
from service.workers.pipes import Pipes
from service.workers.processes import out_of_memory_kills
from service.workers.spec import Bounds, Spec
from service.workers.starting import Worker
from service.workers.transitions import step
from service.workers.verdict import Exit

log = logging.getLogger(__name__)

#: Seconds for which a worker's process, and then its group, is waited for.
LEAVE_SECONDS = 10.0


class Supervisor(threading.Thread):
    """Runs one attempt from start to final event. Only its own thread publishes.

    `stop`, `cancel` and `abandon` may come from any thread, at any time and repeatedly. `_lock` guards `_attempt` and
    `_worker`: an input and the signals that follow it are one.
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
        self._tick: Written | None = None
        self._lock = threading.Lock()
        self._attempt = Attempt(bounds=bounds)
        self._worker: Worker | None = None
        #: Done once the start of a worker need not be waited for.
        self._unwanted: Future[None] = Future()
        self._alarms: list[threading.Timer] = []
        self._kills_before = 0

    def stop(self) -> None:
        """Have the worker end after the epoch that it is in."""
        self._step(on.StopAsked())

    def cancel(self) -> None:
        """End the worker: by request, after the grace by SIGTERM, then by SIGKILL; then all that it has started."""
        self._step(on.CancelAsked())

    def abandon(self) -> None:
        """End the worker and all of its processes by force, without a final event."""
        self._step(on.Abandoned())

    def run(self) -> None:
        self._kills_before = out_of_memory_kills()
        todo = self._attend
        try:
            while self._attempt.stage is not Stage.OVER:
                try:
                    todo()
                except Exception as error:
                    log.exception("supervisor failed", extra={"action": "supervisor_failed", "job_id": self._spec.id})
                    todo = partial(self._do, on.Broke(str(error)))
        finally:
            try:
                self._close()
            finally:
                self._ended()

    def _attend(self) -> None:
        worker = starting.start(self._launcher, self._spec, self._unwanted, self._complain)
        if worker is None:
            return self._do(on.NotStarted())
        with self._lock:
            self._worker = worker
        self._do(on.Started(worker.group.pid, worker.group.started))
        self._do(on.Recorded())
        pipes = Pipes(worker, self._lines, lambda: self._tick is not None and not self._tick.done())
        while self._attempt.stage in (Stage.RUNNING, Stage.LEAVING, Stage.DEAD):
            for told in pipes.read(self._patience()):
                self._do(told)
            self._lines.flush_if_due()
        return None

    def _complain(self, text: str) -> None:
        """Say in the job's own log what it waits for."""
        self._lines.add("service", "warning", [text])
        self._lines.flush()

    def _patience(self) -> float | None:
        """Seconds until something must be done though nothing is heard; None: nothing."""
        wake_at = self._attempt.wake_at
        return self._lines.due(None if wake_at == math.inf else wake_at)

    # What the machine says

    def _step(self, told: Input) -> list[Action]:
        """Tell the machine, and do at once the actions that never block; the supervisor's own thread does the rest."""
        with self._lock:
            self._attempt, actions = step(self._attempt, told, time.monotonic())
            return [action for action in actions if not self._signal(action)]

    def _signal(self, action: Action) -> bool:
        """Do an action that never blocks; False if it is another one."""
        match action:
            case do.GiveUp():
                if not self._unwanted.done():
                    self._unwanted.set_result(None)
            case do.Request(word) if self._worker:
                self._worker.ask(word)
            case do.Terminate() if self._worker:
                self._worker.group.terminate()
            case do.Kill() if self._worker:
                self._worker.group.kill()
            case do.RingAt(at):
                alarm = threading.Timer(at - time.monotonic(), self._step, [on.Rang()])
                alarm.daemon = True
                alarm.start()
                self._alarms.append(alarm)
            case do.Warn(what, text):
                log.warning("%s", text, extra={"action": what, "job_id": self._spec.id})
            case _:
                return False
        return True

    def _do(self, told: Input) -> None:
        for action in self._step(told):
            match action:
                case do.Publish(event, said_at):
                    taken = self._publish(event, said_at)
                    self._tick = taken if event["event"] == "tick" else self._tick
                case do.Gather(stream, level, lines):
                    self._lines.add(stream, level, lines)
                case do.Flush():
                    self._lines.flush()
                case do.Look() if self._worker and not self._worker.group.leader_alive():
                    self._do(on.WorkerGone())
                case do.Clear():
                    self._do(self._clear())
                case do.Finish(event) if event is not None:
                    self._finish(event)

    def _clear(self) -> on.Cleared:
        """Let go of the worker, then end what is left of it. Its end of the requests tells it to end itself."""
        if self._worker is None:
            return on.Cleared(True, Exit())
        with self._lock:
            self._worker.close()
        self._worker.process.join(LEAVE_SECONDS)
        gone = self._worker.group.end(LEAVE_SECONDS)
        killed = out_of_memory_kills() > self._kills_before
        how = Exit(code=self._worker.process.exitcode, recent=self._lines.recent(), out_of_memory=killed)
        return on.Cleared(gone, how)

    def _finish(self, final: NewFinal) -> None:
        try:
            self._wait_for(self._publish(final))
        except StoreUnavailable:
            log.warning("no final event: the service is leaving", extra={"job_id": self._spec.id})

    def _wait_for(self, written: Written) -> None:
        """Until the final event is in the log (or refused: the attempt has one), or the service leaves."""
        while not self._attempt.abandoned:
            with contextlib.suppress(TimeoutError):
                written.exception(1.0)
                return

    def _close(self) -> None:
        for alarm in self._alarms:
            alarm.cancel()
        if self._worker is not None:
            self._worker.close()
            if self._worker.process.exitcode is not None:
                self._worker.process.close()
