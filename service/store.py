"""The event log and the job table: one SQLite file, one writer thread, read by anybody.

A change is a small function on a job. The writer takes all that waits, applies it, commits it in one transaction and
only then answers and announces it, so nobody sees what a restart would forget. Who is told is not this file's concern:
`on_commit` gets every committed change.
"""

import logging
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from service.errors import JobFinal, JobNotFinal, JobNotFound, JobNotRunning, KeyReused, StoreUnavailable
from service.events import FINAL_TYPES, VOLATILE_TYPES, Event, Record, encode
from service.jobs import Job
from service.tables import SCHEMA_VERSION, claim, connect, prepare

log = logging.getLogger(__name__)

#: Seconds for which an Idempotency-Key is known.
KEY_SECONDS = 24 * 3600.0
#: Events that are deleted in one transaction.
PURGE_EVENTS = 5_000
#: Changes that may wait for the writer; a thread that appends waits for room (and so, in the end, its training).
QUEUE_SIZE = 10_000
#: Changes in one transaction, so that what was acknowledged is not kept waiting by a flood.
BATCH_SIZE = 1_000
#: Bytes of events in one page; a log event can have 64 KB.
PAGE_BYTES = 256_000
#: Seconds for which a request waits for its change to be written.
REQUEST_SECONDS = 10.0
#: Seconds between tries to write while the disk refuses.
RETRY_SECONDS = 0.5
#: Room that is kept for when the disk is full: so that the service can start, and jobs can be deleted.
RESERVE_BYTES = 1_000_000


class _Replayed(Exception):
    """Leaves the transaction of a job whose key is known; carries the id of the first job."""


class Change(NamedTuple):
    """One committed change: the job as it became, and the event that changed it, if any."""

    job: Job
    record: Record | None


#: Told of every commit, in order, on the writer's thread; it must return quickly and not raise.
OnCommit = Callable[[Sequence[Change]], None]


@dataclass(slots=True)
class _Pending:
    """A change that waits for the writer."""

    job_id: str
    #: The job now (None: not there yet) → the job afterwards, and the event that says so.
    #: None: nothing that anybody is told of.
    change: Callable[[Job | None], tuple[Job, Event | None] | None]
    #: Somebody is told that this happened: it must survive a power cut, not only a crash.
    acknowledged: bool
    #: A request waits for it and can be refused; otherwise it is kept until the disk takes it.
    request: bool
    done: "Future[Any]" = field(default_factory=Future)
    #: The jobs that wait, first one first, where it is their places that change.
    order: tuple[str, ...] | None = None


class Store:
    """The log of one data folder. Any thread may call it; only its writer thread writes the file.

    Raises DataDirInUse: when another process has the folder.
    """

    def __init__(
        self,
        data_dir: Path,
        on_commit: OnCommit = lambda changes: None,
        *,
        observe: Callable[[float], None] = lambda seconds: None,
    ) -> None:
        self._on_commit = on_commit
        #: Told how long each commit took, in seconds.
        self._observe = observe
        self._pending: queue.Queue[_Pending | None] = queue.Queue(QUEUE_SIZE)
        self._lock_file = claim(data_dir)
        self._path = data_dir / "log.db"
        self._reserve = data_dir / "reserve"
        try:
            self._writing = self._open()
        except BaseException:
            self._lock_file.close()
            raise
        self._inode = self._path.stat().st_ino
        # Read connections are cheap and WAL lets them read during a commit; one lock keeps them to one.
        self._reading = connect(self._path)
        self._read_lock = threading.Lock()
        #: Jobs that have not ended, as committed. Written by the writer only; other threads read single keys.
        self._live: dict[str, Job] = {job.id: job for job in self._unfinished()}
        self._closing = threading.Event()
        #: The jobs that wait, first one first, as they were told last.
        self.places: tuple[str, ...] = ()
        #: Why the log cannot be written at the moment; None while it can.
        self.failing: str | None = None
        self._writer = threading.Thread(target=self._write, name="log-writer", daemon=True)
        self._writer.start()

    def _open(self) -> sqlite3.Connection:
        try:
            return prepare(self._path)
        except sqlite3.OperationalError:
            if not self._give_up_reserve():
                raise
            return prepare(self._path)

    def keep_reserve(self) -> None:
        """Keep the room of RESERVE_BYTES, where there is as much. Repeatable."""
        try:
            if not self._reserve.exists():
                self._reserve.write_bytes(os.urandom(RESERVE_BYTES))  # what no file system makes smaller
        except OSError:
            self._give_up_reserve()

    def _give_up_reserve(self) -> bool:
        """Make room; whether there was any."""
        try:
            self._reserve.unlink()
        except OSError:
            return False
        return True

    # Changes

    def create(self, job: Job, key: str | None = None, digest: str = "") -> Job:
        """Log a new job with its `queued` event; returns it once that is on the disk.

        With a `key` that came before, the job of that time is returned instead, and nothing happens.
        Raises KeyReused: when it came with another `digest` of its request. Raises StoreUnavailable: when nothing
        could be written.
        """

        def change(nothing: Job | None) -> tuple[Job, Event]:
            if key is not None:
                if known := _job_of_key(self._writing, key, digest):
                    raise _Replayed(known)
                self._writing.execute("DELETE FROM keys WHERE created_at < ?", (time.time() - KEY_SECONDS,))
                self._writing.execute("REPLACE INTO keys VALUES (?, ?, ?, ?)", (key, digest, job.id, time.time()))
            return job, {"event": "queued", "attempt": 1, **job.request}

        try:
            return self._ask_job(job.id, change)
        except _Replayed as replayed:
            return self.job(str(replayed))

    def replayed(self, key: str, digest: str) -> Job | None:
        """The job that was created with this key. Raises KeyReused: when its request was another one."""
        with self._read_lock:
            known = _job_of_key(self._reading, key, digest)
        return self.job(known) if known else None

    def delete(self, job_id: str) -> None:
        """Forget a job that has ended, at once and for good; what is left of it is among the `deletions`.

        Raises JobNotFound, StoreUnavailable. Raises JobNotFinal.
        """

        def change(job: Job | None) -> tuple[Job, None]:
            if job is None:
                raise JobNotFound(job_id)
            if not job.is_final:
                raise JobNotFinal(f"job {job_id} is {job.status}: cancel it first")
            self._writing.execute("INSERT INTO deletions VALUES (?, ?)", (job.number, job.id))
            self._writing.execute("DELETE FROM jobs WHERE number = ?", (job.number,))
            return replace(job, deleted=True), None

        try:
            self._ask(job_id, change)
        except StoreUnavailable:  # on a full disk this is what helps: it has room of its own
            if not self._give_up_reserve():
                raise
            self._ask(job_id, change, though_failing=True)

    def deletions(self) -> list[tuple[int, str]]:
        """Number and id of the deleted jobs of which something is left."""
        return self._query("SELECT number, job FROM deletions")

    def purge(self, number: int) -> None:
        """Delete the events of a deleted job, a few at a time, then the note that it was deleted.

        Raises StoreUnavailable.
        """
        highest = self._query("SELECT max(seq) FROM events WHERE job = ?", number)[0][0] or 0
        for last in range(PURGE_EVENTS, highest + PURGE_EVENTS, PURGE_EVENTS):
            self._run("DELETE FROM events WHERE job = ? AND seq <= ?", number, last)
        self._run("DELETE FROM deletions WHERE number = ?", number)

    def expired(self, *, ended_before: float, keep: int | None) -> list[str]:
        """Jobs that have ended before a time (Unix seconds), and those beyond the newest `keep` that have ended."""
        ended = "SELECT id FROM jobs WHERE status IN ('completed', 'failed', 'cancelled')"
        old = f"{ended} AND json_extract(CAST(state AS TEXT), '$.ended_at') < ?"
        many = f"{ended} ORDER BY number DESC LIMIT -1 OFFSET ?"
        found = self._query(old, ended_before) + (self._query(many, keep) if keep is not None else [])
        return list(dict.fromkeys(job_id for (job_id,) in found))

    @property
    def waiting(self) -> int:
        """Changes that wait for the writer."""
        return self._pending.qsize()

    def counts(self) -> dict[str, int]:
        """Jobs by status."""
        return dict(self._query("SELECT status, count(*) FROM jobs GROUP BY status"))

    def request_cancel(self, job_id: str) -> Job:
        """Note that the job is to be cancelled; returns it once a restart would honour that. Repeatable.

        Raises JobNotFound, StoreUnavailable.
        Raises JobFinal: when the job has completed or failed.
        """

        def change(job: Job | None) -> tuple[Job, None]:
            if job is None:
                raise JobNotFound(job_id)
            if job.is_final and job.status != "cancelled":
                raise JobFinal(f"job {job_id} is {job.status}")
            return replace(job, cancel_requested=True), None

        return self._ask_job(job_id, change)

    def request_stop(self, job_id: str) -> Job:
        """Note that the job is to end after its epoch; returns it once a restart would honour that. Repeatable.

        Raises JobNotFound, StoreUnavailable. Raises JobNotRunning: when the job waits or has ended.
        """

        def change(job: Job | None) -> tuple[Job, None]:
            if job is None:
                raise JobNotFound(job_id)
            if job.status != "running":
                raise JobNotRunning(f"job {job_id} is {job.status}")
            return replace(job, stop_requested=True), None

        return self._ask_job(job_id, change)

    def resume(self, job_id: str, epochs: int | None) -> Job:
        """Log the next attempt of a job that has ended; returns it once its `queued` is on the disk.

        Raises JobNotFound, NothingToResume, StoreUnavailable.
        """

        def change(job: Job | None) -> tuple[Job, Event]:
            if job is None:
                raise JobNotFound(job_id)
            return job, {**job.resume(epochs), "attempt": job.attempt + 1}

        return self._ask_job(job_id, change)

    def append(self, job_id: str, attempt: int, event: Event) -> "Future[Job]":
        """Queue an event for the log; waits only while the writer's queue is full.

        The future holds the job once the event is committed, or LogRefused where the log does not take it.
        """

        def change(job: Job | None) -> tuple[Job, Event]:
            if job is None:
                raise JobNotFound(job_id)
            job.check(attempt, event["event"])
            return job, {**job.settle(event), "attempt": attempt}

        pending = _Pending(job_id, change, acknowledged=event["event"] in FINAL_TYPES, request=False)
        self._put(pending)
        return pending.done

    def place(self, order: Iterable[str]) -> None:
        """Tell the jobs that wait where they stand: the first of these runs next.

        Nothing is written: each start of a job moves them all, and a restart tells them anew.
        Waits only while the writer's queue is full.
        """
        self._put(_Pending("", lambda nothing: None, acknowledged=False, request=False, order=tuple(order)))

    def _ask(
        self,
        job_id: str,
        change: Callable[[Job | None], tuple[Job, Event | None] | None],
        *,
        though_failing: bool = False,
    ) -> Any:
        if self.failing and not though_failing:
            raise StoreUnavailable(self.failing)
        pending = _Pending(job_id, change, acknowledged=True, request=True)
        self._put(pending, REQUEST_SECONDS)
        try:
            return pending.done.result(REQUEST_SECONDS)
        except TimeoutError:
            if pending.done.cancel():  # so it will not happen later either
                raise StoreUnavailable("the log takes too long to write") from None
            return pending.done.result()

    def _ask_job(self, job_id: str, change: Callable[[Job | None], tuple[Job, Event | None]]) -> Job:
        job: Job = self._ask(job_id, change)
        return job

    def _run(self, sql: str, *arguments: Any) -> None:
        """Have the writer execute a statement that changes no job."""

        def change(nothing: Job | None) -> None:
            self._writing.execute(sql, arguments)

        self._ask("", change)

    def _put(self, pending: _Pending, seconds: float = float("inf")) -> None:
        """Wait for room in the queue. Raises StoreUnavailable: after so many seconds, or when the store is closing."""
        deadline = time.monotonic() + seconds
        while not self._closing.is_set():
            try:
                return self._pending.put(pending, timeout=min(1.0, seconds))
            except queue.Full:
                if time.monotonic() >= deadline:
                    raise StoreUnavailable("the log takes too long to write") from None
        raise StoreUnavailable("the service is shutting down")

    # Reading

    def job(self, job_id: str) -> Job:
        """The job as committed. Raises JobNotFound."""
        live = self._live.get(job_id)
        if live is not None:
            return live
        rows = self._query("SELECT state FROM jobs WHERE id = ?", job_id)
        if not rows:
            raise JobNotFound(job_id)
        return Job.from_json(rows[0][0])

    def jobs(self, *, status: str | None = None, before: int | None = None, limit: int = 100) -> list[Job]:
        """Jobs, newest first; `before` continues below the job of that number."""
        where = "number < ?" + (" AND status = ?" if status else "")
        arguments: list[Any] = [2**62 if before is None else before, *([status] if status else []), limit]
        rows = self._query(f"SELECT id, state FROM jobs WHERE {where} ORDER BY number DESC LIMIT ?", *arguments)  # noqa: S608 (two literals)
        return [self._live.get(job_id) or Job.from_json(state) for job_id, state in rows]

    def unfinished(self) -> list[Job]:
        """Jobs without a final event, oldest first."""
        return sorted(self._live.values(), key=lambda job: job.number)

    def read(self, job_id: str, after: int = 0, limit: int = 500) -> list[Record]:
        """Up to `limit` logged events that follow number `after`; its cost does not grow with the log.

        It ends early, but not before one event, where they come to more than PAGE_BYTES.
        """
        sql = (
            "SELECT seq, type, data FROM events WHERE job = (SELECT number FROM jobs WHERE id = ?)"
            " AND seq > ? ORDER BY seq LIMIT ?"
        )
        records, size = [], 0
        with self._read_lock:
            for row in self._reading.execute(sql, (job_id, after, limit)):
                records.append(Record(*row))
                size += len(row[2])
                if size > PAGE_BYTES:
                    break
        return records

    def page(self, job_id: str, after: int, limit: int) -> tuple[list[Record], int | None]:
        """The same, and the number of the final event if the job has ended (as of before the reading)."""
        job = self.job(job_id)
        return self.read(job_id, after, limit), job.last_seq if job.is_final else None

    def tail(self, job_id: str, event_type: str, limit: int) -> list[Record]:
        """The last `limit` events of one type, oldest first."""
        sql = (
            "SELECT seq, type, data FROM events WHERE job = (SELECT number FROM jobs WHERE id = ?)"
            " AND type = ? ORDER BY seq DESC LIMIT ?"
        )
        return [Record(*row) for row in reversed(self._query(sql, job_id, event_type, limit))]

    def _query(self, sql: str, *arguments: Any) -> list[Any]:
        with self._read_lock:
            return self._reading.execute(sql, arguments).fetchall()

    def _unfinished(self) -> Iterable[Job]:
        rows = self._query("SELECT state FROM jobs WHERE status IN ('queued', 'running') ORDER BY number")
        return [Job.from_json(state) for (state,) in rows]

    # The writer

    def close(self) -> None:
        """Commit what waits and let go of the folder. May be called twice."""
        if self._closing.is_set():
            return
        self._closing.set()
        self._pending.put(None)
        self._writer.join()
        with self._read_lock:
            self._reading.close()
        self._writing.close()
        self._lock_file.close()

    def _write(self) -> None:
        closed = False
        while not closed:
            batch = [self._pending.get()]
            while len(batch) < BATCH_SIZE and not self._pending.empty():
                batch.append(self._pending.get())
            closed = None in batch
            waiting = [pending for pending in batch if pending is not None]
            # From here on a change happens or fails; its asker cannot withdraw it any more.
            self._commit_until_done([pending for pending in waiting if pending.done.set_running_or_notify_cancel()])
        while not self._pending.empty():  # came in beside the close
            late = self._pending.get()
            if late is not None:
                late.done.set_exception(StoreUnavailable("the service is shutting down"))

    def _commit_until_done(self, batch: list[_Pending]) -> None:
        """Also with nothing left to commit: requests are refused until a write has shown that they need not be."""
        while batch or (self.failing and not self._closing.is_set()):
            try:
                began = time.monotonic()
                self._commit(batch)
                self._observe(time.monotonic() - began)
                self.failing = None
                return
            except sqlite3.Error as error:
                failing, self.failing = self.failing, f"the log cannot be written: {error}"
                if self.failing != failing:
                    log.error(self.failing, extra={"action": "log_write_failed"})
                for pending in batch:
                    if pending.request or self._closing.is_set():
                        pending.done.set_exception(StoreUnavailable(self.failing))
                batch = [pending for pending in batch if not pending.done.done()]
                self._closing.wait(RETRY_SECONDS)

    def _commit(self, batch: list[_Pending]) -> None:
        """All of the batch in one transaction; a refused change is left out and its future says why."""
        jobs: dict[str, Job] = {}
        stored: set[str] = set()  # whose row is to be written
        done: list[tuple[_Pending, list[Change]]] = []
        refused: list[tuple[_Pending, Exception]] = []
        self._check_file()
        durable = any(pending.acknowledged for pending in batch)
        # FULL syncs the WAL on commit: what somebody was told survives a power cut too.
        self._writing.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        self._writing.execute("BEGIN IMMEDIATE")
        try:
            for pending in batch:
                try:
                    changes = self._apply(jobs, pending) if pending.order is None else self._move(jobs, pending.order)
                except sqlite3.Error:
                    raise
                except Exception as error:  # refused, or nothing that can be written: the others go on
                    refused.append((pending, error))
                else:
                    jobs |= {change.job.id: change.job for change in changes}
                    if pending.order is None and changes:
                        stored.add(pending.job_id)
                    done.append((pending, changes))
            for job in (jobs[job_id] for job_id in stored):
                self._writing.execute(
                    "UPDATE jobs SET status = ?, state = ? WHERE number = ?",
                    (job.status, job.to_json(), job.number),
                )
            if not batch:  # a try: this writes what is there already
                self._writing.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            self._writing.execute("COMMIT")
        except BaseException:
            if self._writing.in_transaction:
                self._writing.execute("ROLLBACK")
            raise
        self._announce(jobs, done, refused)

    def _check_file(self) -> None:
        """What is written to a file that was deleted is lost, and SQLite does not say so."""
        try:
            inode = self._path.stat().st_ino
        except OSError as error:
            raise sqlite3.OperationalError(f"log.db is gone: {error.strerror}") from None
        if inode != self._inode:
            raise sqlite3.OperationalError("log.db was replaced while the service runs")

    def _move(self, jobs: dict[str, Job], order: Sequence[str]) -> list[Change]:
        """What the jobs are told whose place is another one than before."""
        changes = []
        for place, job_id in enumerate(order, 1):
            job = jobs.get(job_id) or self._live.get(job_id)
            if job is not None and job.status == "queued" and job.queue_position != place:
                told = {"event": "queue_position", "attempt": job.attempt, "queue_position": place}
                event = _stamp(told, job, None)
                changes.append(Change(job.apply(event), Record(None, "queue_position", encode(event))))
        return changes

    def _apply(self, jobs: dict[str, Job], pending: _Pending) -> list[Change]:
        """Write one change's event, and its job where that is new; raises before anything is written."""
        before = jobs.get(pending.job_id) or self._find(pending.job_id)
        changed = pending.change(None if before is None or before.deleted else before)
        if changed is None:
            return []
        job, event = changed
        if event is None:
            return [Change(replace(job, updated_at=time.time()), None)]
        seq = None if event["event"] in VOLATILE_TYPES else job.last_seq + 1
        data = encode(_stamp(event, job, seq))
        # The snapshot shows an event as it was sent: finite numbers only.
        after = job.apply(orjson.loads(data))
        after.to_json()
        if before is None:
            cursor = self._writing.execute("INSERT INTO jobs (id, status, state) VALUES (?, '', '')", (job.id,))
            after = replace(after, number=cursor.lastrowid or 0)
        if seq is not None:
            self._writing.execute("INSERT INTO events VALUES (?, ?, ?, ?)", (after.number, seq, event["event"], data))
        return [Change(after, Record(seq, event["event"], data))]

    def _find(self, job_id: str) -> Job | None:
        try:
            return self.job(job_id)
        except JobNotFound:
            return None

    def _announce(
        self,
        jobs: dict[str, Job],
        done: list[tuple[_Pending, list[Change]]],
        refused: list[tuple[_Pending, Exception]],
    ) -> None:
        for job in jobs.values():
            if job.is_final:
                self._live.pop(job.id, None)
            else:
                self._live[job.id] = job
        self.places = next((pending.order for pending, _ in reversed(done) if pending.order is not None), self.places)
        try:
            self._on_commit([change for _, changes in done for change in changes])
        except Exception:  # whoever listens must not stop the log
            log.exception("announcing a commit failed", extra={"action": "announce_failed"})
        for pending, changes in done:
            pending.done.set_result(changes[0].job if changes else None)
        for pending, error in refused:
            pending.done.set_exception(error)


def _stamp(event: Event, job: Job, seq: int | None) -> Event:
    """The event with what only the log may say of it, whatever the worker wrote there."""
    stamp = {"event": event["event"], "job_id": job.id, "attempt": event["attempt"]}
    stamp |= {} if seq is None else {"seq": seq}
    own = {name: value for name, value in event.items() if name not in ("event", "job_id", "attempt", "seq", "time")}
    return {**stamp, "time": event.get("time") or time.time(), **own}


def _job_of_key(connection: sqlite3.Connection, key: str, digest: str) -> str | None:
    """The job that was created with a key. Raises KeyReused: when its request was another one."""
    sql = "SELECT digest, job FROM keys JOIN jobs ON jobs.id = keys.job WHERE key = ? AND created_at > ?"
    row = connection.execute(sql, (key, time.time() - KEY_SECONDS)).fetchone()
    if row is None:
        return None
    if row[0] != digest:
        raise KeyReused(f"the Idempotency-Key {key!r} came with another request before")
    return str(row[1])
