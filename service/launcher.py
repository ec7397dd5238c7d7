"""How worker processes start: fork by fork from one warm forkserver, or by `spawn` where there is none.

The forkserver has torch, torchvision and ultralytics imported and has done nothing with them; so a worker starts in
tens of milliseconds. It knows nothing of jobs: `supervisor` watches what is started here.
"""

import multiprocessing
import os
import sys
import threading
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing import forkserver
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from multiprocessing.queues import SimpleQueue
from typing import Any

import psutil

#: Longest message that is read from a worker, in bytes. An event is a few hundred; a batch of log lines some thousand.
MAX_MESSAGE_BYTES = 1 << 20


class EventQueue(SimpleQueue):  # type: ignore[type-arg]  # generic in the stub only
    """A `SimpleQueue` of JSON bytes. Nothing is pickled: what a hostile worker sends is never more than bytes."""

    # The names with an underscore are SimpleQueue's; typeshed does not list them.
    _reader: Any
    _writer: Any
    _wlock: Any

    def put(self, message: bytes) -> None:
        """Write to the pipe, waiting while it is full. What was put arrives, even if this process is then killed."""
        with self._wlock:
            self._writer.send_bytes(message)

    def get(self) -> bytes:
        """The next message. Raises EOFError at the end, OSError when it is longer than MAX_MESSAGE_BYTES."""
        return bytes(self._reader.recv_bytes(MAX_MESSAGE_BYTES))

    @property
    def reader(self) -> Any:
        """The read end, for `multiprocessing.connection.wait`."""
        return self._reader

    def close_reader(self) -> None:
        """In the worker: a put then fails once the service is gone, instead of filling a pipe that nobody reads."""
        self._reader.close()

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
        self.method = method or ("forkserver" if sys.platform == "linux" else "spawn")
        self._context: BaseContext = multiprocessing.get_context(self.method)
        self._environment = dict(environment or {})
        self._lock = threading.Lock()
        #: Processes that were started, and forkservers among them and before them.
        self.starts = 0
        self._forkservers: set[int] = set()
        if self.method == "forkserver":
            self._context.set_forkserver_preload(list(preload))

    def queue(self) -> EventQueue:
        return EventQueue(ctx=self._context)

    @property
    def forkservers(self) -> int:
        """How many forkservers there have been."""
        return len(self._forkservers)

    def is_warm(self) -> bool:
        """Whether a forkserver is there; the next start is a fork of it."""
        pid = _forkserver_pid() if self.method == "forkserver" else None
        return pid is not None and psutil.pid_exists(pid)

    def start(self, target: Callable[..., None], *arguments: Any) -> BaseProcess:
        """Start a worker; blocks while a new forkserver imports. A forkserver that died is replaced.

        Raises OSError or EOFError: when a process could not be started.
        """
        with self._lock, _without_main(), _environment(self._environment):
            try:
                return self._start(target, arguments)
            except (EOFError, OSError):
                # The forkserver died between two jobs, or in the middle of this start: the next one is a new one.
                return self._start(target, arguments)

    def _start(self, target: Callable[..., None], arguments: tuple[Any, ...]) -> BaseProcess:
        # daemon=False: a daemonic process may have no children, and dataloader workers are children.
        process: BaseProcess = self._context.Process(target=target, args=arguments, daemon=False)  # type: ignore[attr-defined]
        process.start()
        self.starts += 1
        if self.method == "forkserver" and (pid := _forkserver_pid()) is not None:
            self._forkservers.add(pid)
        return process


def _forkserver_pid() -> int | None:
    pid: int | None = forkserver._forkserver._forkserver_pid  # type: ignore[attr-defined]
    return pid


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
