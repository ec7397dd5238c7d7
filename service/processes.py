"""Process groups by pid and start time: a name the system never gives twice, so nobody else's process is ended."""

import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import psutil

#: Start times of one process, read twice, agree to this many seconds (they are counted in clock ticks since boot).
TOLERANCE_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class ProcessGroup:
    """A worker and all that it started in its session. It leads the group once it has called `setsid`."""

    pid: int
    #: Unix seconds; None when the process was gone before it could be asked.
    started: float | None

    @classmethod
    def of(cls, pid: int) -> Self:
        return cls(pid, _start_time(pid))

    def leader_alive(self) -> bool:
        """Whether the very process is there and not a zombie."""
        started = _start_time(self.pid)
        if started is None or self.started is None or abs(started - self.started) > TOLERANCE_SECONDS:
            return False
        try:
            return bool(psutil.Process(self.pid).status() != psutil.STATUS_ZOMBIE)
        except psutil.Error:
            return False

    def kill(self) -> None:
        """SIGKILL the group, and the leader where it leads none yet. Harmless when they are gone."""
        if self._is_mine():
            _kill(os.killpg, self.pid)
        if self.leader_alive():
            _kill(os.kill, self.pid)

    def members(self) -> list[int]:
        """The living processes of the group; zombies are dead."""
        if not self._is_mine():
            return []
        found = [self.pid] if self.leader_alive() else []
        for process in psutil.process_iter():
            try:
                in_group = process.pid != self.pid and os.getpgid(process.pid) == self.pid
                if in_group and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process.pid)
            except (psutil.Error, ProcessLookupError):
                continue
        return found

    def end(self, seconds: float) -> bool:
        """Kill what is left and wait until it is gone; False when something outlives `seconds`."""
        deadline = time.monotonic() + seconds
        pause = threading.Event()
        while self.members():
            self.kill()
            if time.monotonic() > deadline:
                return False
            pause.wait(0.01)  # a group has no handle to wait on
        return True

    def _is_mine(self) -> bool:
        """False once the pid names another process: then the group of that number is another one as well."""
        started = _start_time(self.pid)
        if started is not None and self.started is not None and abs(started - self.started) > TOLERANCE_SECONDS:
            return False
        return _kill(os.killpg, self.pid, 0) or started is not None


def _start_time(pid: int) -> float | None:
    try:
        return float(psutil.Process(pid).create_time())
    except psutil.Error:
        return None


def _kill(kill: Callable[[int, int], None], pid: int, number: int = signal.SIGKILL) -> bool:
    try:
        kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True
