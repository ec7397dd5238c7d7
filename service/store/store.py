"""The event log and the job table: one SQLite file, one writer thread, read by anybody.

What is asked of the log is a command for its writer (see `commands`); what is asked about it is read here,
from the newest commit. Who is told of a commit is not this file's concern: `on_commit` gets every committed change.
"""

import logging
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from service.errors import (
    JobNotFound,
    StoreUnavailable,
)
from service.events import FINAL_TYPES
from service.frames import Record
from service.job import Job
from service.new_events import NewEvent
from service.store import commands, keys, listing
from service.store.commands import Command
from service.store.data_folder import Reserve, claim
from service.store.log_file import LogFile
from service.store.transaction import Current
from service.store.writer import REQUEST_SECONDS, TOO_SLOW, OnCommit, Writer

log = logging.getLogger(__name__)

#: Events that are deleted in one transaction.
PURGE_EVENTS = 5_000
#: Bytes of events in one page; a log event can have 64 KB.
PAGE_BYTES = 256_000

_ENDED = "status IN ('completed', 'failed', 'cancelled')"

T = TypeVar("T")


class Store:
    """The log of one data folder. Any thread may call it; only its writer thread writes the file.

    Raises DataDirInUse: when another process has the folder. Raises LogDamaged, StoreUnavailable: when the file
    cannot be opened.
    """

    def __init__(
        self,
        data_dir: Path,
        on_commit: OnCommit = lambda changes: None,
        *,
        observe: Callable[[float], None] = lambda seconds: None,
    ) -> None:
        self._lock_file = claim(data_dir)
        self._file = LogFile(data_dir / "log.db")
        self._reserve = Reserve(data_dir)
        # Read connections are cheap and WAL lets them read during a commit; one lock keeps them to one.
        self._read_lock = threading.Lock()
        with ExitStack() as opened:
            opened.callback(self._lock_file.close)
            self._writing = opened.enter_context(closing(self._open()))
            self._reading = opened.enter_context(closing(self._file.connect()))
            self._current = Current(*self._as_it_was_left())
            self._writer = Writer(self._writing, self._file, self._current, on_commit, observe)
            opened.pop_all()
        self._writer.start()

    def _as_it_was_left(self) -> tuple[list[Job], dict[str, int]]:
        """The jobs that have not ended, and how many there are of each status."""
        rows = self._query("SELECT state FROM jobs WHERE status IN ('queued', 'running')")
        counts = self._query("SELECT status, count(*) FROM jobs GROUP BY status")
        return [self._file.job(state) for (state,) in rows], dict(counts)

    def _open(self) -> sqlite3.Connection:
        try:
            try:
                return self._file.open()
            except sqlite3.OperationalError:
                if not self._reserve.give_up():
                    raise
                return self._file.open()
        except sqlite3.Error as error:
            raise self._file.trouble(error, "opened") from error

    def keep_reserve(self) -> None:
        """Keep room for when the disk is full, where there is as much. Repeatable."""
        self._reserve.keep()

    # Changes

    def create(self, job: Job, key: str | None = None, digest: str = "") -> Job:
        """Log a new job with its `queued` event; returns it once that is on the disk.

        With a `key` that came before, the job of that time is returned instead, and nothing happens.
        Raises KeyReused: when it came with another `digest` of its request. Raises StoreUnavailable: when nothing
        could be written. Raises LogDamaged: what is begun on a damaged log may be lost when it is mended.
        """
        if self._file.damage is not None:
            raise self._file.damage

        return self._ask(commands.Create(job, None if key is None else commands.Key(key, digest)))

    def replayed(self, key: str, digest: str) -> Job | None:
        """The job that was created with this key. Raises KeyReused: when its request was another one."""
        with self._read() as reading:
            known = keys.job_of(reading, key, digest)
        return self.job(known) if known else None

    def delete(self, job_id: str) -> None:
        """Forget a job that has ended, at once and for good; what is left of it is among the `deletions`.

        Raises JobNotFound, StoreUnavailable. Raises JobNotFinal.
        """

        try:
            self._ask(commands.Delete(job_id))
        except StoreUnavailable:  # on a full disk this is what helps: it has room of its own
            if not self._reserve.give_up():
                raise
            self._ask(commands.Delete(job_id), though_failing=True)

    def ids(self) -> set[str]:
        """The jobs that there are, and those that were deleted and of which something is left."""
        return {job_id for (job_id,) in self._query("SELECT id FROM jobs UNION ALL SELECT job FROM deletions")}

    def deletions(self) -> list[tuple[int, str]]:
        """Number and id of the deleted jobs of which something is left."""
        return self._query("SELECT number, job FROM deletions")

    def purge(self, number: int) -> None:
        """Delete the events of a deleted job, a few at a time, then the note that it was deleted.

        Raises StoreUnavailable.
        """
        highest = self._query("SELECT max(seq) FROM events WHERE job = ?", number)[0][0] or 0
        for last in range(PURGE_EVENTS, highest + PURGE_EVENTS, PURGE_EVENTS):
            self._ask(commands.Purge(number, last))
        self._ask(commands.Forget(number))

    def ended_before(self, when: float) -> list[str]:
        """Jobs that have ended before a time (Unix seconds), those first that have ended first."""
        ended_at = "json_extract(CAST(state AS TEXT), '$.ended_at')"
        sql = f"SELECT id FROM jobs WHERE {_ENDED} AND {ended_at} < ? ORDER BY {ended_at}"  # noqa: S608 (two literals)
        return [job_id for (job_id,) in self._query(sql, when)]

    def beyond(self, keep: int) -> list[str]:
        """Jobs that have ended, without the newest `keep` of them."""
        sql = f"SELECT id FROM jobs WHERE {_ENDED} ORDER BY number DESC LIMIT -1 OFFSET ?"  # noqa: S608 (a literal)
        return [job_id for (job_id,) in self._query(sql, keep)]

    @property
    def waiting(self) -> int:
        """Changes that wait for the writer."""
        return self._writer.waiting

    @property
    def failing(self) -> str | None:
        """Why the log cannot be written at the moment, or is damaged; None while all is well."""
        found = self._writer.failing or self._file.damage
        return None if found is None else str(found)

    @property
    def places(self) -> tuple[str, ...]:
        """The jobs that wait, first one first, as they were told last."""
        return self._current.places

    def counts(self, search: str = "") -> dict[str, int]:
        """How many jobs a search finds, by status; all of them without one, which waits for no disk."""
        if not listing.words(search):
            return self._current.counts()
        sql, arguments = listing.counts(search)
        return dict(self._query(sql, *arguments))

    def request_cancel(self, job_id: str) -> Job:
        """Note that the job is to be cancelled; returns it once a restart would honour that. Repeatable.

        Raises JobNotFound, StoreUnavailable.
        Raises JobFinal: when the job has completed or failed.
        """

        return self._ask(commands.RequestCancel(job_id))

    def request_stop(self, job_id: str) -> Job:
        """Note that the job is to end after its epoch; returns it once a restart would honour that. Repeatable.

        Raises JobNotFound, StoreUnavailable. Raises JobNotRunning: when the job waits or has ended.
        """

        return self._ask(commands.RequestStop(job_id))

    def leave(self, job_ids: Iterable[str], seconds: float) -> None:
        """Note of running jobs that the service leaves them because it was told to; waits so many seconds at most.

        Raises StoreUnavailable: when that is not on the disk by then.
        """
        self._ask(commands.Leave(tuple(job_ids)), seconds=seconds)

    def resume(self, job_id: str, epochs: int | None, kept: Sequence[int]) -> Job:
        """Log the next attempt of a job that has ended; returns it once its `queued` is on the disk.

        `kept` are the epochs of the checkpoints that are there.
        Raises JobNotFound, NothingToResume, StoreUnavailable, LogDamaged.
        """
        if self._file.damage is not None:
            raise self._file.damage

        return self._ask(commands.Resume(job_id, epochs, tuple(kept)))

    def append(self, job_id: str, attempt: int, event: NewEvent, said_at: float | None = None) -> "Future[Job]":
        """Queue an event, said at a time (Unix seconds; None: now); waits only while the writer's queue is full.

        The future holds the job once the event is committed, or LogRefused where the log does not take it.
        """

        durable = event["event"] in FINAL_TYPES
        return self._writer.put(commands.Append(job_id, attempt, event, said_at), durable=durable)

    def place(self, order: Iterable[str]) -> None:
        """Tell the jobs that wait where they stand: the first of these runs next.

        Nothing is written: each start of a job moves them all, and a restart tells them anew.
        Never waits. Raises StoreUnavailable: when the writer has no room; then they are told with the next order.
        """
        self._writer.put(commands.Place(tuple(order)), durable=False, seconds=0)

    def _ask(self, command: Command[T], *, though_failing: bool = False, seconds: float = REQUEST_SECONDS) -> T:
        """What a request waits for. Raises StoreUnavailable: when it cannot be written in time; then it is not."""
        if (failing := self._writer.failing) and not though_failing:
            raise failing
        done = self._writer.put(command, durable=True, request=True, seconds=seconds)
        try:
            return done.result(seconds)
        except TimeoutError:
            if done.cancel():  # so it will not happen later either
                raise StoreUnavailable(TOO_SLOW) from None
            return done.result()

    # Reading

    def job(self, job_id: str) -> Job:
        """The job as committed. Raises JobNotFound."""
        current = self._current.job(job_id)
        if current is not None:
            return current
        rows = self._query("SELECT state FROM jobs WHERE id = ?", job_id)
        if not rows:
            raise JobNotFound(job_id)
        return self._file.job(rows[0][0])

    def jobs(
        self, *, statuses: Sequence[str] = (), search: str = "", before: int | None = None, limit: int = 100
    ) -> list[Job]:
        """Jobs that have one of these statuses, or any, and that a search finds, newest first.

        `before` continues below the job of that number.
        """
        sql, arguments = listing.page(statuses, search, before, limit)
        rows = self._query(sql, *arguments)
        return [self._current.job(job_id) or self._file.job(state) for job_id, state in rows]

    def current(self, job_id: str) -> Job | None:
        """The job, if it has not ended; waits for no disk."""
        return self._current.job(job_id)

    def unfinished(self) -> list[Job]:
        """Jobs without a final event, oldest first."""
        return self._current.jobs()

    def read(self, job_id: str, after: int = 0, limit: int = 500) -> list[Record]:
        """Up to `limit` logged events that follow number `after`; its cost does not grow with the log.

        It ends early, but not before one event, where they come to more than PAGE_BYTES.
        """
        sql = (
            "SELECT seq, type, data FROM events WHERE job = (SELECT number FROM jobs WHERE id = ?)"
            " AND seq > ? ORDER BY seq LIMIT ?"
        )
        records, size = [], 0
        with self._read() as reading:
            for row in reading.execute(sql, (job_id, after, limit)):
                records.append(Record(*row))
                size += len(row[2])
                if size > PAGE_BYTES:
                    break
        return records

    def page(self, job_id: str, after: int, limit: int) -> tuple[list[Record], int | None]:
        """What `read` gives, and the number of the final event if the job had ended before that read."""
        job = self.job(job_id)
        return self.read(job_id, after, limit), job.last_seq if job.is_final else None

    def tail(self, job_id: str, event_type: str, limit: int) -> list[Record]:
        """The last `limit` events of one type, oldest first."""
        sql = (
            "SELECT seq, type, data FROM events WHERE job = (SELECT number FROM jobs WHERE id = ?)"
            " AND type = ? ORDER BY seq DESC LIMIT ?"
        )
        return [Record(*row) for row in reversed(self._query(sql, job_id, event_type, limit))]

    def _query(self, sql: str, *arguments: str | float) -> list[Any]:
        with self._read() as reading:
            return reading.execute(sql, arguments).fetchall()

    @contextmanager
    def _read(self) -> Iterator[sqlite3.Connection]:
        """The reading connection. Raises LogDamaged, StoreUnavailable: when the file cannot be read."""
        try:
            with self._read_lock:
                yield self._reading
        except sqlite3.Error as error:
            raise self._file.trouble(error, "read") from error

    def close(self) -> None:
        """Commit what waits and let go of the folder. May be called twice.

        Where a commit hangs, the folder stays taken: the log may still be written, until this process has ended.
        """
        if not self._writer.close():
            log.error("the log's last commit hangs: it is left behind", extra={"action": "commit_left"})
            return
        with self._read_lock:
            self._reading.close()
        self._writing.close()
        self._lock_file.close()
