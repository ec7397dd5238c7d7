"""Starts of the service that cost next to nothing, for the many tests that train nothing.

What a training needs of Ultralytics and torch takes seven seconds of a core, for each forkserver anew; the table of
Ultralytics' arguments nearly one more, for each data folder anew.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import psutil

from service import app
from service.trainings import catalog
from service.workers import forkserver

PRELOAD = ("service.workers.tether", "service.workers.worker", "service.workers.programs")
#: The command line of the service, for `python -c`.
COMMAND = f"""
from service import app
from service.trainings import catalog
app.PRELOAD, catalog.NEEDED = {PRELOAD!r}, ()
from service.__main__ import main
main()
"""
#: The same of uvicorn.
UVICORN = COMMAND.replace("from service.__main__", "from uvicorn.main")


def measured() -> tuple[str, ...]:
    """What a worker needs of the environment to have its coverage measured; nothing, unless somebody measures."""
    return tuple(name for name in os.environ if name.startswith("COVERAGE_"))


#: What a service's forkserver imports, and what a worker of it must find: of one that trains, and of a light one.
WHOLE, LIGHT = (app.PRELOAD, catalog.NEEDED), (PRELOAD, ())


@contextmanager
def preloaded(*, whole: bool) -> Iterator[None]:
    """For services in this process: what a forkserver imports that one of them starts.

    One that is there already serves as well, except that for a `whole` service a light one makes way. What a test has
    set itself stays.
    """
    if whole:
        _end_light_forkserver()
    now = app.PRELOAD, catalog.NEEDED
    preload, needed = now if now not in (WHOLE, LIGHT) else WHOLE if whole else LIGHT
    with mock.patch.object(app, "PRELOAD", preload), mock.patch.object(catalog, "NEEDED", needed):
        yield


def _end_light_forkserver() -> None:
    """Have none, unless it has imported what a training needs: the next start then makes one that does."""
    pid = forkserver.pid()
    if pid is not None and forkserver.fault() is None and "ultralytics" not in " ".join(psutil.Process(pid).cmdline()):
        forkserver.end(pid)


class Table:
    """The table of Ultralytics' arguments, as the first service of this process has read and kept it."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="yolo-trainer-table-")

    def is_read(self) -> bool:
        """Whether a service has read it."""
        return any(Path(self._folder.name).iterdir())

    def lend(self, data: Path) -> None:
        """Put it where a service looks first."""
        self._copy(Path(self._folder.name), data / "cache")

    def take(self, data: Path) -> None:
        """Keep what a service has read."""
        self._copy(data / "cache", Path(self._folder.name))

    def _copy(self, source: Path, target: Path) -> None:
        for file in source.glob("arguments-*.json"):
            target.mkdir(parents=True, exist_ok=True)
            if not (target / file.name).exists():
                shutil.copyfile(file, target / file.name)


TABLE = Table()
