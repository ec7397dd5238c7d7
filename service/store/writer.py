"""The log's one writer: it takes commands from any thread, commits them in batches, and announces what they did.

What a command does is said in `commands`. Nobody sees what a restart would forget.
"""

import logging
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TypeVar, cast

from service.errors import StoreUnavailable
from service.job import Job
from service.store.commands import Command, apply
from service.store.database import SCHEMA_VERSION
from service.store.log_file import LogFile
from service.store.transaction import Change, Current, Transaction

log = logging.getLogger(__name__)

#: Commands that may wait for the writer; a thread that appends waits for room (and so, in the end, its training).
QUEUE_SIZE = 10_000
#: Commands in one transaction, so that what was acknowledged is not kept waiting by a flood.
BATCH_SIZE = 1_000
#: Seconds for which a request waits for its change to be written, and after which a commit is said to hang.
REQUEST_SECONDS = 10.0
#: Seconds for which the end of the service waits for the last commit.
CLOSE_SECONDS = 10.0
#: Seconds between tries to write while the disk refuses.
RETRY_SECONDS = 0.5
#: A writer that ends its thread takes no command any more.
CLOSING = "the service is shutting down"
TOO_SLOW = "the log takes too long to write"

T = TypeVar("T")
#: Told of every commit, in order, on the writer's thread; it must return quickly and not raise.
OnCommit = Callable[[Sequence[Change]], None]


@dataclass(slots=True)
class _Pending:
    """A command that waits for the writer."""

    command: Command[object]
    #: Somebody is told that this happened: it must survive a power cut, not only a crash.
    durable: bool
    #: A request waits for it and can be refused; otherwise it is kept until the disk takes it.
    request: bool
    done: "Future[Job | None]" = field(default_factory=Future)


class Writer(threading.Thread):
    """The only thread that writes the file. Any thread may put commands and ask.

    Whatever was put has its future settled: by a commit, by a refusal, or by the end of the writer.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        file: LogFile,
        current: Current,
        on_commit: OnCommit,
        observe: Callable[[float], None],
    ) -> None:
        super().__init__(name="log-writer", daemon=True)
        self._connection = connection
        self._file = file
        self._current = current
        self._on_commit = on_commit
        #: Told how long each commit took, in seconds.
        self._observe = observe
        #: Guards the queue and its end together: what is put is taken by the writer.
        self._lock = threading.Lock()
        self._filled = threading.Condition(self._lock)
        self._room = threading.Condition(self._lock)
        self._queue: deque[_Pending] = deque()
        self._closing = threading.Event()
        self._refused: StoreUnavailable | None = None
        self._commit_began: float | None = None

    @property
    def failing(self) -> StoreUnavailable | None:
        """Why the log cannot be written at the moment; None while it can."""
        began = self._commit_began
        if began is not None and time.monotonic() - began > REQUEST_SECONDS:
            return StoreUnavailable(TOO_SLOW)
        return self._refused

    @property
    def waiting(self) -> int:
        """Commands that wait."""
        return len(self._queue)

    def put(
        self, command: Command[T], *, durable: bool, request: bool = False, seconds: float | None = None
    ) -> "Future[T]":
        """Have a command done; waits for room in the queue, at most so many seconds (None: for ever).

        Raises StoreUnavailable: when there was no room in time, or when the writer is leaving.
        """
        pending = _Pending(command, durable, request)
        with self._lock:
            if not self._room.wait_for(lambda: len(self._queue) < QUEUE_SIZE or self._closing.is_set(), seconds):
                raise StoreUnavailable(TOO_SLOW)
            if self._closing.is_set():
                raise StoreUnavailable(CLOSING)
            self._queue.append(pending)
            self._filled.notify()
        return cast("Future[T]", pending.done)

    def close(self) -> bool:
        """Commit what waits, and end. Repeatable. False when a commit hangs: its thread is left behind."""
        with self._lock:
            self._closing.set()
            self._filled.notify()
            self._room.notify_all()
        self.join(CLOSE_SECONDS)
        return not self.is_alive()

    def run(self) -> None:
        while batch := self._take():
            # From here on a command happens or fails; its asker cannot withdraw it any more.
            self._commit_until_done([pending for pending in batch if pending.done.set_running_or_notify_cancel()])

    def _take(self) -> list[_Pending]:
        """The commands that wait, as soon as there are any; none when the writer is to end."""
        with self._lock:
            self._filled.wait_for(lambda: self._queue or self._closing.is_set())
            batch = [self._queue.popleft() for _ in range(min(len(self._queue), BATCH_SIZE))]
            self._room.notify_all()
        return batch

    def _commit_until_done(self, batch: list[_Pending]) -> None:
        """Commit the batch. While that fails, refuse its requests and try the rest again.

        A batch of which nothing is left is tried too: that tells whether the log can be written again.
        """
        while batch or (self._refused and not self._closing.is_set()):
            try:
                self._commit_began = began = time.monotonic()
                settle = self._commit(batch)
            except Exception as error:  # a fault of ours, too, is nothing that events may be lost for
                self._commit_began = None
                self._refuse(error, batch)
                batch = [pending for pending in batch if not pending.done.done()]
                self._closing.wait(RETRY_SECONDS)
            else:
                self._commit_began = self._refused = None
                settle(time.monotonic() - began)
                return

    def _refuse(self, error: Exception, batch: list[_Pending]) -> None:
        before, known = str(self._refused), isinstance(error, sqlite3.Error)
        why = self._file.trouble(error, "written") if isinstance(error, sqlite3.Error) else None
        self._refused = why or StoreUnavailable(f"the log cannot be written: {error}")
        if str(self._refused) != before:
            log.error(self._refused, extra={"action": "log_write_failed"}, exc_info=None if known else error)
        for pending in batch:
            if pending.request or self._closing.is_set():
                pending.done.set_exception(self._refused)

    def _commit(self, batch: list[_Pending]) -> Callable[[float], None]:
        """All of the batch in one transaction; returns how to announce it, given the seconds that it took."""
        self._file.check_same()
        durable = any(pending.durable for pending in batch)
        # FULL syncs the WAL on commit: what somebody was told survives a power cut too.
        self._connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            transaction = Transaction(self._connection, self._file, self._current)
            outcomes = [(pending.done, *_try(pending.command, transaction)) for pending in batch]
            transaction.write_jobs()
            if not batch:  # a try: this writes what is there already
                self._connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

        def settle(seconds: float) -> None:
            transaction.publish()
            self._announce(transaction.changes, seconds)
            for done, result, error in outcomes:
                if error is None:
                    done.set_result(result)
                else:
                    done.set_exception(error)

        return settle

    def _announce(self, changes: list[Change], seconds: float) -> None:
        try:
            self._on_commit(changes)
            self._observe(seconds)
        except Exception:  # whoever listens must not stop the log
            log.exception("announcing a commit failed", extra={"action": "announce_failed"})


def _try(command: Command[object], transaction: Transaction) -> tuple[Job | None, Exception | None]:
    """What a command returned, or why it was refused (or could not be written as JSON): the others go on."""
    try:
        return apply(command, transaction), None
    except sqlite3.Error:
        raise
    except Exception as error:
        return None, error
