"""Deleting jobs: on request, and those that are too old or too many. What a crash interrupts is finished later."""

import logging
import math
import re
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

from service.errors import JobNotFinal, JobNotFound, StoreUnavailable
from service.events import FINAL_TYPES
from service.store.store import Store

log = logging.getLogger(__name__)

#: Seconds between two looks for jobs that are too old or too many, and until what could not be deleted is tried again.
ROUND_SECONDS = 3_600.0
RETRY_SECONDS = 60.0
DAY_SECONDS = 86_400.0
#: Seconds for which the end of the service waits for the file or the transaction at hand.
CLOSE_SECONDS = 10.0
#: What the clock may gain or lose against the machine's steady one between two looks before it counts as set, seconds.
STEP_SECONDS = 60.0
#: Of the jobs that have ended, one in so many (and at least one) is deleted for its age in a round.
ROUND_PART = 10


#: Folders that are named.
SHOWN = 5
JOB_ID = re.compile("[0-9a-f]{12}")
#: What a training makes in its job's folder.
MADE = ("run", "checkpoints")


class AgeClock:
    """The time by which jobs are too old, once a round and only after a round of a clock that went steadily.

    A clock that jumps ahead makes every job too old at once. Most are put right soon (by NTP, by somebody).
    """

    def __init__(self, clock: Callable[[], float] = time.time, steady: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._steady = steady  # it is never set, and begins anew with the machine
        self._offset = clock() - steady()
        self._due = steady() + ROUND_SECONDS

    def look(self) -> float | None:
        """The time, Unix seconds; None: it is not time to look."""
        steady = self._steady()
        before, self._offset = self._offset, self._clock() - steady
        if abs(self._offset - before) > STEP_SECONDS:
            text = "the clock was set by %+.0f seconds, or the machine slept: no job is deleted for its age for an hour"
            log.warning(text, self._offset - before, extra={"action": "clock_set"})
            self._due = steady + ROUND_SECONDS
        if steady < self._due:
            return None
        self._due = steady + ROUND_SECONDS
        return self._clock()


class Retention(threading.Thread):
    """Deletes in the background. A deleted job is gone from the log at once; then its files go, then its events.

    None keeps all. Jobs that have not ended are never deleted.
    """

    def __init__(self, store: Store, folder: Path, *, keep_days: float | None, keep_jobs: int | None) -> None:
        super().__init__(name="retention", daemon=True)
        self._store = store
        self._folder = folder  # of all jobs
        self._keep_days = keep_days
        self._keep_jobs = keep_jobs
        self._ages = AgeClock()
        self._wake = threading.Event()
        self._closed = False

    def delete(self, job_id: str) -> None:
        """Forget a job; returns once a restart would finish that.

        Raises JobNotFound, StoreUnavailable. Raises JobNotFinal: when the job has not ended.
        """
        self._store.delete(job_id)
        self._wake.set()

    def tell_strangers(self) -> None:
        """Say which folders no job of the log has: an older log.db, or a new one, was put beside them.

        Those of requests that were cut off before there was a job are deleted. To be called before there are requests.
        """
        if not self._folder.is_dir():
            return
        strangers = sorted({path.name for path in self._folder.iterdir()} - self._store.ids())
        kept = [name for name in strangers if not self._delete_if_unused(name)]
        if kept:
            text = "%d folders in %s belong to no job in the log: %s. Put back the log.db that has them, or delete them"
            shown = ", ".join(kept[:SHOWN]) + (", …" if len(kept) > SHOWN else "")
            log.warning(text, len(kept), self._folder, shown, extra={"action": "strange_folders"})

    def _delete_if_unused(self, name: str) -> bool:
        """Delete the folder of a request that had come no further than its dataset; whether that was so."""
        folder = self._folder / name
        if not (JOB_ID.fullmatch(name) and folder.is_dir()) or any((folder / made).exists() for made in MADE):
            return False
        shutil.rmtree(folder, ignore_errors=True)
        log.info("deleted the folder of a request that was cut off", extra={"action": "tidied", "job_id": name})
        return True

    def close(self) -> None:
        """Leave off after the file or the transaction at hand."""
        self._closed = True
        self._wake.set()
        if self.is_alive():
            self.join(CLOSE_SECONDS)  # a folder that hangs is left behind

    def run(self) -> None:
        while not self._closed:
            done = False
            try:
                self._expire()
                done = self._finish()
            except StoreUnavailable as error:
                log.warning("deleting waits: %s", error, extra={"action": "retention_waits"})
            except Exception:
                log.exception("deleting failed", extra={"action": "retention_failed"})
            self._store.keep_reserve()
            self._wake.wait(ROUND_SECONDS if done else RETRY_SECONDS)
            self._wake.clear()

    def _expire(self) -> None:
        for job_id in [*self._too_old(), *self._too_many()]:
            try:
                self._store.delete(job_id)
            except (JobNotFound, JobNotFinal):  # deleted, or resumed, meanwhile
                continue
            log.info("expired", extra={"action": "expired", "job_id": job_id})

    def _too_old(self) -> list[str]:
        if self._keep_days is None or (now := self._ages.look()) is None:
            return []
        found = self._store.ended_before(now - self._keep_days * DAY_SECONDS)
        ended = sum(count for status, count in self._store.counts().items() if status in FINAL_TYPES)
        taken = found[: math.ceil(ended / ROUND_PART)]
        if len(taken) < len(found):
            text = "%d of %d jobs are older than %g days: %d of them are deleted now, more in an hour"
            log.warning(text, len(found), ended, self._keep_days, len(taken), extra={"action": "many_expired"})
        return taken

    def _too_many(self) -> list[str]:
        return [] if self._keep_jobs is None else self._store.beyond(self._keep_jobs)

    def _finish(self) -> bool:
        """Delete what is left of deleted jobs, files first: as long as the note is there, a restart goes on.

        Whether nothing is left; one job's files that cannot be removed do not keep the others.
        """
        for number, job_id in self._store.deletions():
            if self._closed:
                break
            folder = self._folder / job_id
            try:
                if folder.exists():
                    shutil.rmtree(folder)
            except OSError as error:
                log.warning("deleting waits: %s", error, extra={"action": "retention_waits", "job_id": job_id})
            else:
                self._store.purge(number)
        return not self._store.deletions()
