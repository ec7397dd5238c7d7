"""The log's file: SQLite's errors in our words, and damage, which stays until somebody mends it."""

import logging
import sqlite3
from pathlib import Path

from service.errors import LogDamaged, StoreUnavailable
from service.job import Job
from service.store.database import connect, prepare

log = logging.getLogger(__name__)

#: SQLite's codes for a file that is not whole, or none of its own.
DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class LogFile:
    """`log.db` of a data folder. Any thread."""

    def __init__(self, path: Path) -> None:
        self.path = path
        #: The first damage that was met.
        self.damage: LogDamaged | None = None
        self._inode: int | None = None

    def open(self) -> sqlite3.Connection:
        """A connection to the file, with its tables. Raises LogDamaged, and SQLite's own errors."""
        self._check_not_emptied()
        connection = prepare(self.path)
        self._inode = self.path.stat().st_ino
        return connection

    def connect(self) -> sqlite3.Connection:
        """One more connection."""
        return connect(self.path)

    def _check_not_emptied(self) -> None:
        """A new log is begun where there is none; not where there was one, which a file system's repair can empty."""
        folders = self.path.with_name("jobs")
        if not self.path.exists() or self.path.stat().st_size > 0 or not folders.is_dir():
            return
        if count := len(list(folders.iterdir())):
            raise self._damaged(f"it is empty, but {folders} has the folders of {count} jobs")

    def check_same(self) -> None:
        """What is written to a file that was deleted is lost, and SQLite does not say so."""
        try:
            inode = self.path.stat().st_ino
        except OSError as error:
            raise sqlite3.OperationalError(f"log.db is gone: {error.strerror}") from None
        if inode != self._inode:
            raise sqlite3.OperationalError("log.db was replaced while the service runs")

    def job(self, state: bytes) -> Job:
        """The job of a row. Raises LogDamaged."""
        try:
            return Job.from_json(state)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise self._damaged(f"the row of a job does not parse: {error}") from error

    def trouble(self, error: sqlite3.Error, what: str) -> StoreUnavailable:
        """What SQLite's error means: the file is damaged, or it cannot be opened, read or written at the moment."""
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in DAMAGE:  # above that byte it says more exactly where
            return self._damaged(str(error))
        return StoreUnavailable(f"the log cannot be {what}: {error}")

    def _damaged(self, what: str) -> LogDamaged:
        found = LogDamaged(self.path, what)
        if self.damage is None:
            self.damage = found
            if self._inode is not None:  # else whoever opens it says so
                log.error(found, extra={"action": "log_damaged"})
        return found
