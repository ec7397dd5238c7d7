"""How worker processes start: fork by fork from one warm forkserver, or by `spawn` where there is none.

The forkserver has torch, torchvision and ultralytics imported and has done nothing with them; so a worker starts in
tens of milliseconds. It knows nothing of jobs: `supervisor` watches what is started here.
"""

import contextlib
import logging
import multiprocessing
import os
import platform
import sys
import threading
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent import futures
from concurrent.futures import Future
from contextlib import contextmanager
from multiprocessing.connection import Connection, Pipe
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from typing import Any

from service.workers import forkserver

log = logging.getLogger(__name__)

#: Longest message that is read from a worker, in bytes. An event is a few hundred; a batch of log lines some thousand.
MAX_MESSAGE_BYTES = 1 << 20
#: Seconds between two looks at the forkserver while it keeps somebody waiting.
LOOK_SECONDS = 1.0


class StartFailed(OSError):
    """Raised when the forkserver started no process, or did not say that it did."""


class EventQueue:
    """A pipe of JSON bytes; a start hands its write end to the worker.

    Nothing is pickled: what a hostile worker sends is never more than bytes.
    """

    def __init__(self) -> None:
        #: The read end, for `multiprocessing.connection.wait`. It stays in the service: a put fails once that is gone.
        self.reader, self._writer = Pipe(duplex=False)
        self._lock = threading.Lock()

    def __getstate__(self) -> Connection:
        return self._writer

    def __setstate__(self, writer: Connection) -> None:
        self._writer = writer
        self._lock = threading.Lock()

    def put(self, message: bytes) -> None:
        """Write to the pipe, waiting while it is full. What was put arrives, even if this process is then killed."""
        with self._lock:
            self._writer.send_bytes(message)

    def get(self) -> bytes:
        """The next message. Raises EOFError at the end, OSError when it is longer than MAX_MESSAGE_BYTES."""
        return self.reader.recv_bytes(MAX_MESSAGE_BYTES)

    def close_writer(self) -> None:
        """In the service, after the start: the queue then ends when the worker and its children have ended."""
        self._writer.close()


class Launcher:
    """Starts worker processes. Any thread may call it; starts happen one at a time.

    `environment` is what workers have beside the service's own variables; it is fixed with the forkserver's start.
    The forkserver is one per process (multiprocessing's own) and leaves by itself when the service has gone.
    """

    def __init__(
        self,
        *,
        preload: Sequence[str] = (),
        environment: Mapping[str, str | None] | None = None,
        method: str | None = None,
    ) -> None:
        # macOS frameworks (Metal, Accelerate) do not survive a fork: there every worker is spawned.
        self.method = _possible(method or ("forkserver" if sys.platform == "linux" else "spawn"))
        self._context: BaseContext = multiprocessing.get_context(self.method)
        self._environment = dict(environment or {})
        self._lock = threading.Lock()
        #: Processes that were started, and forkservers among them and before them.
        self.starts = 0
        self._forkservers: set[int] = set()
        #: The forkserver that started the last of them: it has done its imports.
        self._warm: int | None = None
        if self.method == "forkserver":
            self._context.set_forkserver_preload(list(preload))

    @property
    def forkservers(self) -> int:
        """How many forkservers there have been."""
        return len(self._forkservers)

    def fault(self) -> str | None:
        """What keeps the next worker from being a fork of a warm forkserver; None: nothing does, or it is spawned."""
        if self.method != "forkserver":
            return None
        try:
            fault = forkserver.fault()
        except OSError as error:  # no descriptor is left to look with
            return f"the forkserver cannot be looked at: {error}"
        return fault or (None if forkserver.pid() == self._warm else "the forkserver is importing")

    def is_warm(self) -> bool:
        """Whether a forkserver is there; the next start is a fork of it."""
        return self.method == "forkserver" and self.fault() is None

    def start(
        self, target: Callable[..., None], *arguments: object, unwanted: "Future[None] | None" = None
    ) -> BaseProcess:
        """Try once to start a worker; blocks while a new forkserver imports, but not once it is `unwanted`.

        The ends of pipes among the arguments are the worker's from here on. Of a try that failed or was given up a
        worker may be there that nobody knows: so each try gets pipes of its own, and a worker that must not be there
        twice waits in them for a word that it is the one. Raises OSError: when none was started, as far as is known.
        """
        started: Future[BaseProcess] = Future()
        threading.Thread(target=self._tell, args=(started, target, arguments), name="start", daemon=True).start()
        awaited: list[Future[Any]] = [started, *([] if unwanted is None else [unwanted])]
        watch = forkserver.Watch()
        while not futures.wait(awaited, LOOK_SECONDS, futures.FIRST_COMPLETED).done:
            if self.method == "forkserver":
                watch.look()
        if started.done():
            return started.result()
        threading.Thread(target=_forget, args=(started,), name="forget", daemon=True).start()
        raise StartFailed("it was given up")

    def _tell(self, started: "Future[BaseProcess]", target: Callable[..., None], arguments: tuple[object, ...]) -> None:
        """Have `started` tell how a start went. The worker's ends are closed here: no queue ends before they are."""
        try:
            process = self._start(target, arguments)
        except BaseException as error:
            started.set_exception(error)
        else:
            started.set_result(process)

    def _start(self, target: Callable[..., None], arguments: tuple[object, ...]) -> BaseProcess:
        try:
            with self._lock, _without_main(), _environment(self._environment):
                # daemon=False: a daemonic process may have no children, and dataloader workers are children.
                process: BaseProcess = self._context.Process(target=target, args=arguments, daemon=False)  # type: ignore[attr-defined]
                if self.method == "forkserver":
                    self._fork(process)
                else:
                    process.start()
                self.starts += 1
                return process
        finally:
            for argument in arguments:
                if isinstance(argument, Connection):
                    argument.close()
                elif isinstance(argument, EventQueue):
                    argument.close_writer()

    def _fork(self, process: BaseProcess) -> None:
        try:
            with _environment(forkserver.environment()):
                forkserver.make_ready()
                process.start()
        except (EOFError, OSError) as error:
            raise StartFailed(_explain(error)) from error
        finally:
            if (pid := forkserver.pid()) is not None:
                self._forkservers.add(pid)
        self._warm = forkserver.pid()


def _possible(method: str) -> str:
    """This way to start, or `spawn` where multiprocessing's forkserver is not as expected."""
    if method != "forkserver" or not (lacking := forkserver.missing()):
        return method
    log.warning(
        "multiprocessing of Python %s has no %s: workers are spawned, so each start takes some seconds longer",
        *(platform.python_version(), ", ".join(lacking)),
        extra={"action": "forkserver_unknown"},
    )
    return "spawn"


def _explain(error: EOFError | OSError) -> str:
    """What went wrong with a start. A forkserver that is at fault, or that gives no answer, is ended."""
    fault, pid = forkserver.fault(), forkserver.pid()
    if pid is None:
        return f"the forkserver cannot be started: {error}"
    silent = isinstance(error, EOFError | ConnectionRefusedError | ConnectionResetError)
    if silent or fault:
        forkserver.end(pid)
    return fault or ("the forkserver died" if silent else str(error))


def _forget(started: "Future[BaseProcess]") -> None:
    """Wait for a worker that nobody wants any more: it ends by itself, as its pipes have ended."""
    with contextlib.suppress(Exception):
        process = started.result()
        process.join()
        process.close()


@contextmanager
def _without_main() -> Iterator[None]:
    """Keep a child from importing the service's `__main__` (uvicorn's script, pytest) before it gets to work."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


@contextmanager
def _environment(changes: Mapping[str, str | None]) -> Iterator[None]:
    """Set (or, for None, unset) variables for the process that is started meanwhile.

    They go past `os.environ`, which other threads may be reading: a new process inherits what the C library has.
    """
    for name, value in changes.items():
        _put(name, value)
    try:
        yield
    finally:
        for name in changes:
            _put(name, os.environ.get(name))


def _put(name: str, value: str | None) -> None:
    if value is None:
        os.unsetenv(name)
    else:
        os.putenv(name, value)
