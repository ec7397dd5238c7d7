"""One commit of the log in the making, and the jobs as of the last one.

`writer` runs commands on a transaction; what they change is seen by others once it is on the disk.
"""

import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple, cast

import orjson

from service.encoding import encode
from service.errors import JobNotFound
from service.events import VOLATILE_TYPES, Event
from service.frames import Record
from service.job import Job
from service.new_events import NewEvent, NewQueuePosition
from service.store import keys, listing
from service.store.log_file import LogFile


class Change(NamedTuple):
    """One committed change: the job as it became, and the event that changed it, if any."""

    job: Job
    record: Record | None


class Current:
    """The jobs that have not ended, and how many there are of each status, as of the last commit. Any thread.

    It is in memory: who asks waits for no disk.
    """

    def __init__(self, unfinished: Iterable[Job], counts: dict[str, int]) -> None:
        self._lock = threading.Lock()
        self._jobs = {job.id: job for job in unfinished}
        self._counts = Counter(counts)
        self._queued = max((job.queue_number for job in self._jobs.values()), default=0)
        #: The jobs that wait, first one first, as they were told last.
        self.places: tuple[str, ...] = ()

    def job(self, job_id: str) -> Job | None:
        """The job; None when it has ended, or never was."""
        with self._lock:
            return self._jobs.get(job_id)

    def jobs(self) -> list[Job]:
        """All of them, oldest first."""
        with self._lock:
            jobs = list(self._jobs.values())
        return sorted(jobs, key=lambda job: job.number)

    def counts(self) -> dict[str, int]:
        with self._lock:
            return {status: count for status, count in self._counts.items() if count}

    def next_queue_number(self) -> int:
        """Above that of every job that waits. The writer's thread only."""
        self._queued += 1
        return self._queued

    def take(self, before: Job | None, after: Job) -> None:
        """A commit made one job into another."""
        with self._lock:
            if before is not None:
                self._counts[before.status] -= 1
            if not after.deleted:
                self._counts[after.status] += 1
            if after.is_final:
                self._jobs.pop(after.id, None)
            else:
                self._jobs[after.id] = after


class Transaction:
    """What the commands of one batch see and change. The writer's thread only, until the commit."""

    def __init__(self, connection: sqlite3.Connection, file: LogFile, current: Current) -> None:
        self._connection = connection
        self._file = file
        self._current = current
        #: Jobs as they were when they were first asked for, and as they are now.
        self._before: dict[str, Job | None] = {}
        self._after: dict[str, Job] = {}
        self._stored: set[str] = set()  # whose row is to be written
        self._places: tuple[str, ...] | None = None
        self.changes: list[Change] = []

    def _execute(self, sql: str, *arguments: str | bytes | int) -> sqlite3.Cursor:
        return self._connection.execute(sql, arguments)

    def job(self, job_id: str) -> Job:
        """The job as the commands before have left it. Raises JobNotFound."""
        if job_id not in self._before:
            self._before[job_id] = self._current.job(job_id) or self._read(job_id)
        job = self._after.get(job_id) or self._before[job_id]
        if job is None or job.deleted:
            raise JobNotFound(job_id)
        return job

    def _read(self, job_id: str) -> Job | None:
        row = self._execute("SELECT state FROM jobs WHERE id = ?", job_id).fetchone()
        return self._file.job(row[0]) if row else None

    def tell(self, job: Job, attempt: int, event: NewEvent, said_at: float | None = None) -> Job:
        """Write an event of the job, and the job where it is new; returns what the event made of it."""
        seq = None if event["event"] in VOLATILE_TYPES else job.last_seq + 1
        data = _stamped(event, job.id, attempt, seq, said_at)
        after = job.apply(_read_back(data))
        after.to_json()  # raises, if it does, before anything is written
        if event["event"] == "queued":
            after = replace(after, queue_number=self._current.next_queue_number())
        if not job.number:
            insert = "INSERT INTO jobs (id, status, state, search) VALUES (?, '', '', ?)"
            row = self._execute(insert, job.id, listing.text(job))
            after = replace(after, number=row.lastrowid or 0)
            self._before[job.id] = None
        if seq is not None:
            self._execute("INSERT INTO events VALUES (?, ?, ?, ?)", after.number, seq, event["event"], data)
        return self._change(after, Record(seq, event["event"], data))

    def note(self, job: Job) -> Job:
        """Change a job without an event."""
        return self._change(replace(job, updated_at=time.time()), None)

    def delete(self, job: Job) -> None:
        """Forget the job; that something of it is left to be deleted is kept."""
        self._execute("INSERT INTO deletions VALUES (?, ?)", job.number, job.id)
        self._execute("DELETE FROM jobs WHERE number = ?", job.number)
        self.note(replace(job, deleted=True))

    def purge(self, number: int, last: int) -> None:
        """Delete the events of a deleted job, up to number `last`."""
        self._execute("DELETE FROM events WHERE job = ? AND seq <= ?", number, last)

    def forget(self, number: int) -> None:
        """Nothing is left of a deleted job."""
        self._execute("DELETE FROM deletions WHERE number = ?", number)

    def job_of_key(self, key: str, digest: str) -> str | None:
        """The job that was created with an Idempotency-Key. Raises KeyReused."""
        return keys.job_of(self._connection, key, digest)

    def keep_key(self, key: str, digest: str, job_id: str) -> None:
        """The job was created with this key."""
        keys.keep(self._connection, key, digest, job_id)

    def place(self, order: tuple[str, ...]) -> None:
        """Tell the jobs whose place in the queue is another one than before. Nothing of it is written."""
        for place, job_id in enumerate(order, 1):
            job = self._after.get(job_id) or self._current.job(job_id)
            if job is not None and job.status == "queued" and job.queue_position != place:
                self._before.setdefault(job_id, job)
                event: NewQueuePosition = {"event": "queue_position", "queue_position": place}
                data = _stamped(event, job.id, job.attempt, None)
                self._change(job.apply(_read_back(data)), Record(None, "queue_position", data), stored=False)
        self._places = order

    def _change(self, job: Job, record: Record | None, *, stored: bool = True) -> Job:
        self._after[job.id] = job
        if stored:
            self._stored.add(job.id)
        self.changes.append(Change(job, record))
        return job

    def write_jobs(self) -> None:
        """Write the rows of the jobs that were changed: once each, however many events they had."""
        for job in (self._after[job_id] for job_id in self._stored):
            self._execute(
                "UPDATE jobs SET status = ?, state = ? WHERE number = ?", job.status, job.to_json(), job.number
            )

    def publish(self) -> None:
        """After the commit: what it changed is what there is."""
        for job_id, job in self._after.items():
            self._current.take(self._before[job_id], job)
        if self._places is not None:
            self._current.places = self._places


def _stamped(event: NewEvent, job_id: str, attempt: int, seq: int | None, said_at: float | None = None) -> bytes:
    """The event as the log has it, and as everybody is shown it."""
    number = {} if seq is None else {"seq": seq}
    head = {"event": event["event"], "job_id": job_id, "attempt": attempt, **number, "time": said_at or time.time()}
    return encode({**head, **event, **head})  # in this order, and whatever the event says of them


def _read_back(data: bytes) -> Event:
    """The event as it was sent, with finite numbers only. Its fields were checked when it was made."""
    return cast(Event, orjson.loads(data))
