"""A thread that calls a function at a steady pace."""

import threading
import time
from collections.abc import Callable


class Ticker:
    """Calls `beat` at once and then every `interval` seconds, from a daemon thread of its own.

    A beat that takes longer than the interval delays the next one; missed beats are not made up for. `beat`
    handles its own exceptions. `start` and `stop` belong to the owner's thread.
    """

    def __init__(self, interval: float, beat: Callable[[], None]) -> None:
        self._interval = interval
        self._beat = beat
        self._stopped = False
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name="progress-ticks", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def soon(self) -> None:
        """Have the next beat at once; the pace goes on from there. Any thread."""
        self._wake.set()

    def stop(self) -> None:
        """Return when the last beat is over. Twice is as good as once."""
        self._stopped = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        due = time.monotonic()
        while not self._stopped:
            self._beat()
            now = time.monotonic()
            due = due + self._interval if due + self._interval > now else now + self._interval
            if self._wake.wait(due - now):
                self._wake.clear()
                due = time.monotonic()
