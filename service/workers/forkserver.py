"""The forkserver: multiprocessing's own, one per process. What is wrong with it, and its end where it is of no use.

multiprocessing replaces one that has died. It never notices one that is stopped, or whose socket somebody has removed:
such a one is ended here, and the next start makes a new one. Workers train on without the forkserver they came from.

Some of what is asked here multiprocessing tells by private names only. They are in `Stock` and `Process`, are used in
no other file, and are looked for before the first start (`missing`).
"""

import logging
import os
import shutil
import signal
import tempfile
import time
from contextlib import AbstractContextManager
from multiprocessing import forkserver, process, util
from typing import Protocol, cast

import psutil

from service.workers import tether

log = logging.getLogger(__name__)

#: Longest name of a folder for sockets, in bytes: an address has 107 (unix(7)), the socket's own name is the rest.
LONGEST_FOLDER = 107 - len("/listener-12345678")
#: Where the folder is made if the one for temporary files has too long a name; CPython 3.14 does the same.
SHORT_FOLDERS = ("/tmp", "/var/tmp")  # noqa: S108 (a folder with a name of chance is made in it)
#: Seconds in which a killed forkserver is gone; it has 400 MB to give back.
END_SECONDS = 10.0


class Stock(Protocol):
    """What is used of multiprocessing's forkserver: the same in CPython 3.11 to 3.14."""

    #: Of the newest one, dead or alive; None before there is one.
    _forkserver_pid: int | None
    #: The path of its socket.
    _forkserver_address: str | None
    #: Held while one is started, reaped or asked for.
    _lock: AbstractContextManager[bool]

    def ensure_running(self) -> None:
        """Start one, unless there is one that lives."""


class Process(Protocol):
    """What is used of this process, as multiprocessing keeps it."""

    #: Among it `tempdir`, the folder for sockets.
    _config: dict[str, object]


#: The same, to be looked for.
STOCK_NEEDS = ("_forkserver_pid", "_forkserver_address", "_lock", "ensure_running")
PROCESS_NEEDS = ("_config",)

_stock = cast("Stock", getattr(forkserver, "_forkserver", None))
#: A pipe that ends with this process, and is given to nobody.
_tether: list[int] = []
#: The forkservers that this service has started. One that another part of this process started is let alone.
_ours: set[int] = set()


def missing() -> list[str]:
    """What is used here and is not there in the running Python."""
    parts = (_stock, STOCK_NEEDS), (process.current_process(), PROCESS_NEEDS)
    return [name for part, needs in parts for name in needs if not hasattr(part, name)]


def pid() -> int | None:
    """The process id of the newest forkserver, dead or alive; None before there is one."""
    return _stock._forkserver_pid


def fault() -> str | None:
    """Why it cannot start a worker; None: it can."""
    number = pid()
    if number is None:
        return "there is no forkserver yet"
    status = _status(number)
    if status in (None, psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
        return f"the forkserver (pid {number}) has died"
    if status == psutil.STATUS_STOPPED:
        return f"the forkserver (pid {number}) is stopped"
    return f"the socket of the forkserver (pid {number}) was removed" if _is_deaf() else None


def _status(number: int) -> str | None:
    try:
        return str(psutil.Process(number).status())
    except psutil.NoSuchProcess:
        return None


def _is_deaf() -> bool:
    address = _stock._forkserver_address
    return not (address is None or util.is_abstract_socket_namespace(address) or os.path.exists(address))


def environment() -> dict[str, str]:
    """What a forkserver finds in its environment to end with this process (`tether`)."""
    if not _tether:
        _tether.extend(os.pipe())
    return {tether.VARIABLE: f"/proc/{os.getpid()}/fd/{_tether[0]}"}


def make_ready() -> None:
    """Have a forkserver, and a folder for its socket. One that is new is noted as the service's own."""
    before = pid()
    if before is not None and _is_deaf():
        log.warning("the forkserver's socket was removed: it is replaced", extra={"action": "forkserver_replaced"})
        end(before)
    _have_folder()
    _stock.ensure_running()
    if (now := pid()) is not None and now != before:
        _ours.add(now)


def _have_folder() -> None:
    """See that the folder for multiprocessing's sockets is there: it does not look whether a cleaner has taken it."""
    configuration = cast("Process", process.current_process())._config
    folder = configuration.get("tempdir")
    if not isinstance(folder, str) or not os.path.isdir(folder):
        # A new name. The old one may be anybody's by now.
        configuration["tempdir"] = folder = _make_folder()
        util.Finalize(None, shutil.rmtree, args=(folder, True), exitpriority=-100)


def _make_folder() -> str:
    """A folder whose name leaves room for a socket's. Raises OSError."""
    for parent in (tempfile.gettempdir(), *SHORT_FOLDERS):
        if len(os.fsencode(parent)) + len("/pymp-12345678") <= LONGEST_FOLDER:
            return tempfile.mkdtemp(prefix="pymp-", dir=parent)
    raise AssertionError("the last of SHORT_FOLDERS is short")


def end(number: int) -> None:
    """Kill this forkserver, if it is the service's own, and wait until it is dead: the next start makes a new one.

    It is reaped by that start: multiprocessing looks for its exit itself.
    """
    with _stock._lock:  # nobody reaps it meanwhile: its number stays its own
        if number != pid() or number not in _ours or _has_ended(number):
            return
        os.kill(number, signal.SIGKILL)
    deadline = time.monotonic() + END_SECONDS
    while not _has_ended(number) and time.monotonic() < deadline:
        time.sleep(0.01)


def _has_ended(number: int) -> bool:
    """Whether this child has ended, reaped or not."""
    try:
        return os.waitid(os.P_PID, number, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None
    except ChildProcessError:
        return True


class Watch:
    """Ends a forkserver that it finds stopped at two looks in a row: one look might fall into a moment of Ctrl-Z."""

    def __init__(self) -> None:
        self._stopped: int | None = None

    def look(self) -> None:
        number = pid()
        stopped = number if number is not None and _status(number) == psutil.STATUS_STOPPED else None
        if stopped is not None and stopped == self._stopped:
            log.warning("the forkserver is stopped: it is replaced", extra={"action": "forkserver_replaced"})
            end(stopped)
        self._stopped = stopped
