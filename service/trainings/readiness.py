"""Whether trainings can be taken: the first warm start, again and again until it works, and a look after it.

Beside it the service answers already. A forkserver that has died, is stopped or has lost its socket is replaced ahead
of the next job, which then need not wait for its imports.
"""

import asyncio
import logging
import threading
from concurrent import futures
from concurrent.futures import Future
from pathlib import Path

from service.errors import NotReady
from service.trainings.catalog import Catalog
from service.workers.launcher import LOOK_SECONDS, Launcher

log = logging.getLogger(__name__)

#: Seconds between a warm start that failed and the next: at first, and at most.
FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0


class Readiness:
    """The catalog, once it is known, and what else a training waits for.

    Its thread writes; the loop's reads. A service that is ended early waits for neither.
    """

    def __init__(self, launcher: Launcher, folder: Path) -> None:
        self._launcher = launcher
        self._folder = folder
        self._loop = asyncio.get_running_loop()
        #: Done once workers can start and Ultralytics' arguments are known. They do not change in a service's life.
        self.catalog: asyncio.Future[Catalog] = self._loop.create_future()
        self._tried = asyncio.Event()
        #: What the last try came to grief with.
        self._failure: str | None = None
        self._told: Catalog | str | None = None  # the thread's own
        self._closing: Future[None] = Future()

    def start(self) -> None:
        threading.Thread(target=self._run, name="warm-up", daemon=True).start()

    def close(self) -> None:
        if not self._closing.done():
            self._closing.set_result(None)

    def reason(self) -> str | None:
        """Why a training would have to wait; None: it would not."""
        if self._failure:
            return f"workers cannot start: {self._failure}; this is tried again"
        if not self.catalog.done():
            return "workers are being made ready"
        fault = self._launcher.fault()
        return fault and f"workers are being made ready again: {fault}"

    async def wait(self, seconds: float) -> Catalog:
        """The catalog; waits for the first try to make workers ready. Raises NotReady."""
        try:
            await asyncio.wait_for(self._tried.wait(), seconds)
        except TimeoutError:
            raise NotReady("workers are still being made ready") from None
        if not self.catalog.done():
            raise NotReady(self.reason() or "")
        return self.catalog.result()

    def _run(self) -> None:
        catalog: Catalog | None = None
        pause = 0.0
        while not self._closing.done():
            try:
                if catalog is None or self._launcher.fault():
                    catalog = Catalog.load(self._launcher, self._folder / "cache", self._closing)
                self._tell(catalog)
                pause = 0.0
            except Exception as error:
                pause = min(2 * pause or FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS)
                self._complain(error)
            futures.wait([self._closing], pause or LOOK_SECONDS)

    def _complain(self, error: Exception) -> None:
        """Say what a warm start came to grief with, unless it was given up because the service leaves."""
        if not self._closing.done():
            known = isinstance(error, NotReady | OSError)
            log.error("workers cannot start: %s", error, exc_info=not known, extra={"action": "warm_up_failed"})
            self._tell(str(error))

    def _tell(self, outcome: Catalog | str) -> None:
        if outcome is self._told:
            return
        self._told = outcome

        def tell() -> None:
            self._failure = outcome if isinstance(outcome, str) else None
            if isinstance(outcome, Catalog) and not self.catalog.done():
                self.catalog.set_result(outcome)
            self._tried.set()

        try:
            self._loop.call_soon_threadsafe(tell)
        except RuntimeError:
            log.info("the service has left")
