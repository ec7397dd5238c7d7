"""`python -m service mend`: save what can be read of a damaged log into a new one.

Rows are read one by one, past those that cannot be. What is lost of a job's events is filled with lines that say so, so
that its numbers have no holes; a job whose own row is lost is what its events say.
"""

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import orjson

from service.encoding import encode
from service.errors import StoreUnavailable
from service.events import EVENT_TYPES, Completed, Event, Numbered
from service.failures import HINTS
from service.job import Job
from service.new_events import Request
from service.snapshot import Status
from service.store import listing
from service.store.data_folder import claim
from service.store.database import connect, prepare

LOST = "[an event was lost here with a damaged log.db]"
#: Of a `queued` event, what is not the request.
_OWN = ("event", "job_id", "attempt", "seq", "time")


@dataclass
class Saved:
    """What came out of it."""

    jobs: int = 0
    events: int = 0
    lost_jobs: int = 0
    lost_events: int = 0
    #: The damaged file.
    old: Path = Path()


def mend(folder: Path) -> Saved:
    """Put a log of what can be read in the place of a data folder's log; the old file stays beside it.

    Raises DataDirInUse, StoreUnavailable: when nothing of it can be read.
    """
    path, new, saved = folder / "log.db", folder / "log.mended.db", Saved()
    with claim(folder):
        if not path.exists() or not path.stat().st_size:
            raise StoreUnavailable(f"{path} is empty: put a backup in its place, or delete it to begin with no jobs")
        _remove(new)
        with closing(connect(path)) as source, closing(prepare(new)) as target:
            target.execute("BEGIN")
            for number in range(1, _highest(source, path) + 1):
                _save(source, target, number, saved)
            for table, values in (("keys", "?, ?, ?, ?"), ("deletions", "?, ?")):
                with contextlib.suppress(sqlite3.DatabaseError):
                    rows = source.execute(f"SELECT * FROM {table}").fetchall()  # noqa: S608 (literals)
                    target.executemany(f"INSERT INTO {table} VALUES ({values})", rows)  # noqa: S608
            target.execute("COMMIT")
        saved.old = path.with_name(f"log.damaged-{time.strftime('%Y%m%d-%H%M%S')}.db")
        for end in ("-wal", "-shm", ""):
            with contextlib.suppress(FileNotFoundError):
                path.with_name(path.name + end).rename(saved.old.with_name(saved.old.name + end))
        new.rename(path)
    return saved


def _remove(path: Path) -> None:
    for end in ("", "-wal", "-shm"):
        path.with_name(path.name + end).unlink(missing_ok=True)


def _highest(source: sqlite3.Connection, path: Path) -> int:
    """The number up to which jobs were given one: that of the newest row, else what the table remembers."""
    found, why = [], None
    for sql in ("SELECT seq FROM sqlite_sequence WHERE name = 'jobs'", "SELECT max(number) FROM jobs"):
        try:
            found += [number for (number,) in source.execute(sql) if number]
        except sqlite3.DatabaseError as error:
            why = error
    if why is not None and not found:
        raise StoreUnavailable(f"nothing of {path} can be read ({why}): put a backup in its place")
    return min(found, default=0)


def _save(source: sqlite3.Connection, target: sqlite3.Connection, number: int, saved: Saved) -> None:
    """Copy one job and its events, if there is one of this number."""
    job, is_lost = _job(source, number)
    if job is None and not is_lost:
        return  # it was deleted
    events = dict(_events(source, number, job.last_seq if job else None))
    job = job or _told_by(events)
    if job is None:
        saved.lost_jobs += 1
        return
    job = replace(job, number=number)
    row = (number, job.id, job.status, job.to_json(), listing.text(job))
    target.execute("INSERT INTO jobs (number, id, status, state, search) VALUES (?, ?, ?, ?, ?)", row)
    attempt = 1
    for seq in range(1, job.last_seq + 1):
        event = events.get(seq) or _substitute(job, seq, attempt)
        attempt = event["attempt"]
        target.execute("INSERT INTO events VALUES (?, ?, ?, ?)", (number, seq, event["event"], encode(event)))
    saved.jobs += 1
    saved.events += len(events)
    saved.lost_events += job.last_seq - len(events)


def _job(source: sqlite3.Connection, number: int) -> tuple[Job | None, bool]:
    """The job of a row; and whether there is a row that cannot be read."""
    try:
        row = source.execute("SELECT state FROM jobs WHERE number = ?", (number,)).fetchone()
        return (Job.from_json(row[0]) if row else None), False
    except (sqlite3.DatabaseError, AttributeError, KeyError, TypeError, ValueError):
        return None, True


def _events(source: sqlite3.Connection, number: int, last: int | None) -> Iterator[tuple[int, Event]]:
    """The events that can be read, by number. `last` is the job's last one; None: as far as the first hole."""
    sql = "SELECT seq, data FROM events WHERE job = ? AND seq > ? ORDER BY seq"
    after = 0
    while last is None or after < last:
        try:
            for seq, data in source.execute(sql, (number, after)):
                if (event := _event(data)) is not None:
                    yield seq, event
                after = seq
            return
        except sqlite3.DatabaseError:
            if last is None:
                return
            after += 1


def _event(data: bytes) -> Event | None:
    """The event, of whatever version of the service: older ones have fewer fields."""
    try:
        event = orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
    known = isinstance(event, dict) and event.get("event") in EVENT_TYPES and isinstance(event.get("attempt"), int)
    return cast(Event, event) if known else None


def _told_by(events: dict[int, Event]) -> Job | None:
    """The job as its events made it, as far as they have no hole."""
    if 1 not in events:
        return None
    request = {name: value for name, value in events[1].items() if name not in _OWN}
    job = Job(id=events[1]["job_id"], request=cast(Request, request), created_at=events[1]["time"])
    for seq in range(1, len(events) + 1):
        if seq not in events:
            break
        try:
            job = job.apply(events[seq])
        except (KeyError, TypeError):  # of an older version: what it would tell is not known
            job = replace(job, last_seq=seq, updated_at=events[seq]["time"])
    return job


def _substitute(job: Job, seq: int, attempt: int) -> Event:
    """What stands for an event that is lost: a line of the log; the end of a job that has ended is in its row."""
    stamp: Numbered = {"job_id": job.id, "attempt": attempt, "seq": seq, "time": job.updated_at}
    if seq == job.last_seq and job.is_final:
        return _end(job, {**stamp, "attempt": job.attempt})
    return {**stamp, "event": "log", "stream": "service", "level": "error", "lines": [LOST]}


def _end(job: Job, stamp: Numbered) -> Event:
    match job.status:
        case Status.COMPLETED:
            told = {"reason": job.reason, "score": job.score, "save_dir": job.save_dir}
            known = {name: value for name, value in told.items() if value is not None}
            return cast(Completed, {**stamp, "event": "completed", **known})
        case Status.FAILED:
            reason, error = job.reason or "error", job.error or LOST
            failure = job.failure or {"reason": reason, "evidence": error, "hint": HINTS.get(reason, "")}
            return {**stamp, "event": "failed", "reason": reason, "error": error, "failure": failure}
        case _:
            return {**stamp, "event": "cancelled", "reason": "cancelled"}
