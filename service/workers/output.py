"""What a worker writes, as `log` events: lines cut from its pipes, cleaned, gathered and bounded."""

import os
import re
import time
from collections import deque
from multiprocessing.connection import Connection
from typing import Protocol

from service.new_events import NewEvent

#: Seconds for which log lines are gathered into one event.
LOG_SECONDS = 0.1
#: Lines and bytes of text in one `log` event, and characters in one line.
LOG_LINES = 200
LOG_BYTES = 64_000
LINE_CHARACTERS = 4_000
LOG_IS_FULL = "[the log is full: what follows is not kept]"
#: Lines that a `failed` event repeats from the log.
TAIL_LINES = 20
#: Lines in which a reason is looked for.
RECENT_LINES = 200


class Written(Protocol):
    """An event on its way to the log: a `Future`, as far as whoever publishes is concerned."""

    def done(self) -> bool:
        """Whether it is there, or was refused."""

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Why it was refused, if it was; waits so many seconds. Raises TimeoutError."""


class Publish(Protocol):
    """Takes an event of an attempt for the log."""

    def __call__(self, event: NewEvent, time: float | None = None) -> Written:
        """`time` is when it was said, in Unix seconds; None: now."""


class LogLines:
    """Gathers log lines into `log` events: one per stream and level, about ten a second however many lines come.

    It keeps `limit_bytes`, then says so and keeps the last lines only, for its failure.
    """

    def __init__(self, publish: Publish, limit_bytes: int) -> None:
        self._publish = publish
        self._room = limit_bytes
        self._batch: list[str] = []
        self._key = ("", "")
        self._batch_bytes = 0
        self._since = 0.0
        self._recent: deque[str] = deque(maxlen=RECENT_LINES)

    def add(self, stream: str, level: str, lines: list[str]) -> None:
        for line in lines:
            text = clean(str(line))
            if not text:
                continue
            if self._key != (stream, level) or len(self._batch) >= LOG_LINES or self._batch_bytes >= LOG_BYTES:
                self.flush()
                self._key = (stream, level)
            if not self._batch:
                self._since = time.monotonic()
                self._batch_bytes = 0
            self._recent.append(text)
            self._keep(text)

    def _keep(self, text: str) -> None:
        """Put a line into the log, or, once, that the log is full."""
        if self._room < 0:
            return
        size = len(text.encode("utf-8", "replace")) + 1
        self._batch_bytes += size
        self._room -= size
        self._batch.append(text if self._room >= 0 else LOG_IS_FULL)

    def due(self, deadline: float | None) -> float | None:
        """Seconds until something must be done: flush, or give up waiting at `deadline`. None: nothing."""
        times = [self._since + LOG_SECONDS] if self._batch else []
        times += [] if deadline is None else [deadline]
        return max(0.0, min(times) - time.monotonic()) if times else None

    def flush_if_due(self) -> None:
        if self._batch and time.monotonic() >= self._since + LOG_SECONDS:
            self.flush()

    def flush(self) -> None:
        if self._batch:
            stream, level = self._key
            self._publish({"event": "log", "stream": stream, "level": level, "lines": self._batch})
            self._batch = []

    def tail(self) -> list[str]:
        """The last lines, whatever their stream."""
        return self.recent()[-TAIL_LINES:]

    def recent(self) -> list[str]:
        """More of them: a dying process may print a long stack after the line that counts."""
        return list(self._recent)


class TextSplitter:
    """Cuts what arrives on a pipe into lines."""

    def __init__(self, stream: str, lines: LogLines) -> None:
        self._stream = stream
        self._level = "error" if stream == "stderr" else "info"
        self._lines = lines
        self._rest = b""

    def read(self, pipe: Connection) -> bool:
        """Take what waits; False at the end."""
        data = os.read(pipe.fileno(), 65536)
        *whole, self._rest = (self._rest + data).split(b"\n")
        if not data or len(self._rest) > 4 * LINE_CHARACTERS:
            whole, self._rest = [*whole, self._rest], b""
        self._lines.add(self._stream, self._level, [line.decode("utf-8", "replace") for line in whole])
        return bool(data)


_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
#: C1 controls too: some terminals treat U+009B as CSI.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def clean(line: str) -> str:
    """The line as a terminal would leave it: the last frame of a bar, no colours, no control characters."""
    frames = [frame for frame in _ESCAPES.sub("", line).split("\r") if frame.strip()]
    return _CONTROLS.sub("", frames[-1]).rstrip()[:LINE_CHARACTERS] if frames else ""
