"""Process groups by pid and start: a name that the system never gives twice, so nobody else's process is ended."""

import contextlib
import functools
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import psutil


@dataclass(frozen=True, slots=True)
class ProcessGroup:
    """A worker and all that it started in its session. It leads the group once it has called `setsid`."""

    pid: int
    #: When it started, as `start_of` tells; None when the process was gone before it could be asked.
    started: str | None

    @classmethod
    def of(cls, pid: int) -> Self:
        """Raises OSError: when the system does not tell which process that is."""
        return cls(pid, start_of(pid))

    def leader_alive(self) -> bool:
        """Whether the very process is there and not a zombie. One that cannot be looked at is taken to be there."""
        try:
            return self._has_leader()
        except OSError:
            return True

    def _has_leader(self) -> bool:
        return self.started is not None and start_of(self.pid) == self.started and _is_living(self.pid)

    def kill(self) -> None:
        """SIGKILL the group, and the leader where it leads none yet. Harmless when they are gone."""
        with contextlib.suppress(OSError):  # nobody knows whose number it is: no signal
            if self._is_mine():
                _kill(os.killpg, self.pid)
            if self._has_leader():
                _kill(os.kill, self.pid)

    def terminate(self) -> None:
        """SIGTERM to the leader alone: it cleans up after itself, and its children end with the group."""
        with contextlib.suppress(OSError):
            if self._has_leader():
                _kill(os.kill, self.pid, signal.SIGTERM)

    def members(self) -> list[int]:
        """The living processes of the group; zombies are dead. Raises OSError: when the system does not tell."""
        if not self._is_mine():
            return []
        found = [self.pid] if self._has_leader() else []
        return found + [pid for pid in psutil.pids() if pid != self.pid and _group(pid) == self.pid and _is_living(pid)]

    def end(self, seconds: float) -> bool:
        """Kill what is left and wait until it is gone; False when something outlives `seconds`, or cannot be seen."""
        deadline = time.monotonic() + seconds
        pause = threading.Event()
        while not self._is_gone():
            self.kill()
            if time.monotonic() > deadline:
                return False
            pause.wait(0.01)  # a group has no handle to wait on
        return True

    def _is_gone(self) -> bool:
        try:
            return not self.members()
        except OSError:  # no descriptor is left to look with: that tells nothing of the process
            return False

    def _is_mine(self) -> bool:
        """False once the pid names another process: then the group of that number is another one as well."""
        now = start_of(self.pid)
        if now is not None:
            return now == self.started
        # The leader is gone; its number stays taken while the group lives. No group outlives a boot.
        return not self._before_this_boot() and _kill(os.killpg, self.pid, 0)

    def _before_this_boot(self) -> bool:
        return sys.platform == "linux" and self.started is not None and not self.started.startswith(f"{_boot()}:")


def start_of(pid: int) -> str | None:
    """When the process started, in a form that a change of the system's clock leaves alone; None if there is none.

    On Linux the boot's id and the clock ticks since then (field 22 of /proc/<pid>/stat), elsewhere the system's own
    record of the wall clock at the start. Raises OSError: when the system does not tell, as without a descriptor.
    """
    try:
        if sys.platform == "linux":
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            return f"{_boot()}:{fields[19]}"
        return str(psutil.Process(pid).create_time())
    except (FileNotFoundError, ProcessLookupError, psutil.NoSuchProcess):
        return None
    except psutil.Error as error:
        raise OSError(f"process {pid} cannot be looked at: {error}") from error


@functools.cache
def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _group(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except OSError:
        return None


def _is_living(pid: int) -> bool:
    """Whether there is such a process and it is no zombie. Raises OSError: when the system does not tell."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True


def out_of_memory_kills() -> int:
    """How many processes the kernel has killed for want of memory since it started; 0 where it does not tell."""
    try:
        counts = Path("/proc/vmstat").read_text().split()
        return int(counts[counts.index("oom_kill") + 1])
    except (OSError, ValueError):
        return 0


def _kill(kill: Callable[[int, int], None], pid: int, number: int = signal.SIGKILL) -> bool:
    try:
        kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True
