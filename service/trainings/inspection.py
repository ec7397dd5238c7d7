"""Looks through datasets on request: each in a worker of its own, which reads it as a training would.

The worker sees the same clean copy and keeps the same label cache, so that a training which follows begins warm. It is
bounded like a training, and nothing of it is logged.
"""

import asyncio
import secrets
import shutil
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import TypeAlias

from anyio import CancelScope, CapacityLimiter, to_thread

from service.datasets import description
from service.errors import CannotTrain, CheckFailed, Fault, NotReady, StoreUnavailable, TooManyChecks
from service.failures import failed
from service.new_events import Checked, NewCompleted, NewEvent, NewFailed
from service.trainings.requests import CheckRequest
from service.workers.launcher import Launcher
from service.workers.limits import Limits
from service.workers.output import Publish, Written
from service.workers.spec import Bounds, InspectSpec
from service.workers.supervisor import LEAVE_SECONDS, Supervisor

#: Datasets that are looked through at once, and seconds that one may take.
AT_ONCE = 2
MAX_SECONDS = 300.0
#: Seconds between two looks whether somebody still waits for the answer; what a worker gets to end by itself.
ATTENTION_SECONDS = 0.2
GRACE_SECONDS = 1.0
#: Bytes of text that are read of a worker: for its last words, if it dies.
MAX_LOG_BYTES = 1_000_000
_FOLDERS = "check-"
POINTER = "/data"


#: How a worker that looks through a dataset can end.
_End: TypeAlias = NewCompleted | NewFailed


class Inspections:
    """The inspections that run. The event loop's thread owns it.

    `limits` are those of trainings, `roots` the folders that datasets must lie in.
    """

    def __init__(
        self,
        launcher: Launcher,
        data_dir: Path,
        *,
        limits: Limits,
        roots: Sequence[Path] = (),
        program: str = "service.workers.programs:check",
        max_seconds: float = MAX_SECONDS,
    ) -> None:
        self._launcher = launcher
        self._cache, self._datasets = data_dir / "cache", data_dir / "datasets"
        self._limits = limits
        self._roots = roots
        self._program = program
        self._max_seconds = max_seconds
        self._readers = CapacityLimiter(AT_ONCE)
        self._running: set[Supervisor] = set()
        self._busy = 0
        self._closed = False

    def sweep(self) -> None:
        """Remove what a service that was killed has left. Blocks."""
        for left in self._cache.glob(f"{_FOLDERS}*"):
            shutil.rmtree(left, ignore_errors=True)

    async def inspect(
        self, wanted: CheckRequest, known: Mapping[str, str | None], is_gone: Callable[[], Awaitable[bool]]
    ) -> Checked:
        """What is in the dataset that is `wanted`; `known` are those with a name.

        Ends early, and raises CheckFailed, once nobody waits for it any more. Raises CannotTrain: when a training
        on it could not begin. Raises TooManyChecks, NotReady, StoreUnavailable.
        """
        if self._closed:
            raise NotReady("the service is shutting down")
        if self._busy >= AT_ONCE:
            raise TooManyChecks(f"{AT_ONCE} datasets are being checked already; try again in some seconds")
        self._busy += 1
        folder = self._cache / f"{_FOLDERS}{secrets.token_hex(6)}"
        try:
            await to_thread.run_sync(self._prepare, wanted, known, folder, limiter=self._readers)
            return _answer(await self._run(wanted, folder, is_gone), self._max_seconds)
        finally:
            self._busy -= 1
            with CancelScope(shield=True):  # of classes in folders it has a link for each image: it takes a while
                await to_thread.run_sync(partial(shutil.rmtree, folder, ignore_errors=True))

    def _prepare(self, wanted: CheckRequest, known: Mapping[str, str | None], folder: Path) -> None:
        """Make the worker's folder, with what a training would see of the dataset."""
        arguments = {"single_cls": wanted.single_cls}
        try:
            data = description.named(wanted.data, known, self._datasets, downloads=False)
            clean = data and description.read(data, wanted.task, self._roots, arguments=arguments)
        except CannotTrain as error:
            raise CannotTrain([_moved(fault) for fault in error.faults]) from None
        try:
            folder.mkdir(parents=True)
            if clean:
                description.write(clean, folder)
        except OSError as error:
            raise StoreUnavailable(f"the data folder cannot be written: {error.strerror}") from error

    async def _run(self, wanted: CheckRequest, folder: Path, is_gone: Callable[[], Awaitable[bool]]) -> "_End":
        """The worker's outcome, once it and its processes are gone."""
        outcome: Future[_End] = Future()
        bounds = Bounds(grace_seconds=GRACE_SECONDS, runtime_seconds=self._max_seconds, log_bytes=MAX_LOG_BYTES)
        publish, ended = _keep(outcome)
        supervisor = Supervisor(self._launcher, self._spec(wanted, folder), publish, ended, bounds)
        self._running.add(supervisor)
        try:
            supervisor.start()
            waiting = asyncio.ensure_future(asyncio.wrap_future(outcome))
            while not (await asyncio.wait([waiting], timeout=ATTENTION_SECONDS))[0]:
                if await is_gone():
                    supervisor.cancel()
            return waiting.result()
        finally:
            supervisor.cancel()
            self._running.discard(supervisor)

    def _spec(self, wanted: CheckRequest, folder: Path) -> InspectSpec:
        return InspectSpec(
            program=self._program,
            id=folder.name,
            folder=folder,
            cache_dir=self._cache / "labels",
            datasets_dir=self._datasets,
            fit_params=wanted.model_dump(exclude={"task"}),
            offline=True,
            limits=self._limits,
            task=wanted.task,
        )

    async def close(self) -> None:
        """End all of them by force, and take no more."""
        self._closed = True
        for supervisor in list(self._running):
            supervisor.abandon()
            await to_thread.run_sync(supervisor.join, LEAVE_SECONDS)


def _keep(outcome: "Future[_End]") -> tuple[Publish, Callable[[], None]]:
    """What a supervisor publishes and ends with: its final event is the outcome, its other events are dropped."""

    def publish(event: NewEvent, time: float | None = None) -> Written:
        if event["event"] == "completed" or event["event"] == "failed":
            outcome.set_result(event)
        taken: Future[None] = Future()
        taken.set_result(None)
        return taken

    def ended() -> None:
        if not outcome.done():  # abandoned: it has no final event
            outcome.set_result(failed("killed", "the service is shutting down"))

    return publish, ended


def _answer(final: "_End", max_seconds: float) -> Checked:
    match final["event"]:
        case "completed":
            return final["checked"]
        case "failed" if final["reason"] == "invalid_data":
            raise CannotTrain([Fault(POINTER, final["error"])])
        case "failed" if final["reason"] == "timeout":
            raise CheckFailed(f"reading it takes more than {max_seconds:g} seconds; a training has no such limit")
        case "failed":
            raise CheckFailed(f"the dataset could not be looked through: {final['error']}")


def _moved(fault: Fault) -> Fault:
    """A fault of a training's payload where this call has the same thing."""
    return Fault(fault.pointer.removeprefix("/fit_params"), fault.detail, fault.suggestion)
