"""What a worker writes: text through the pipes that stand in for stdout and stderr, log records as events."""

import io
import logging
import os
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection

from service.new_events import NewLog, WorkerEvent
from service.workers.bars import Bars

Emit = Callable[[WorkerEvent], None]

#: The progress bars of this process.
BARS = Bars()


def new_log(stream: str, lines: list[str], level: str = "info") -> NewLog:
    """An event of the log."""
    return {"event": "log", "stream": stream, "level": level, "lines": lines}


class _Stream(io.TextIOWrapper):
    """A text stream without progress bars: Ultralytics hands their frames to `progress` where there is one."""

    def progress(self, bar: int, frame: str) -> None:
        BARS.show(bar, frame)


def redirect(stdout: Connection, stderr: Connection) -> None:
    """Put the pipes under file descriptors 1 and 2 (native code writes there) and under sys.stdout and sys.stderr."""
    for number, pipe in ((1, stdout), (2, stderr)):
        os.dup2(pipe.fileno(), number)
        pipe.close()
    sys.stdout, sys.stderr = (
        _Stream(open(number, "wb", closefd=False), "utf-8", "backslashreplace", line_buffering=True)  # noqa: SIM115
        for number in (1, 2)
    )


class _EventHandler(logging.Handler):
    """Turns log records into `log` events that keep their level."""

    def __init__(self, emit: Emit) -> None:
        super().__init__()
        self._emit = emit

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = self.format(record)
            self._emit(new_log(record.name, text.splitlines(), record.levelname.lower()))
        except Exception:
            self.handleError(record)  # says so on stderr; a log line does not end a training


def log_through(emit: Emit) -> None:
    """Send Ultralytics' and the library's records as events; Ultralytics' handler writes to another stdout."""
    for name in ("ultralytics", "AI.model_trainer"):
        logging.getLogger(name).handlers = [_EventHandler(emit)]
