"""Deleting jobs: on request, and those that are too old or too many. What a crash interrupts is finished later."""

import logging
import shutil
import threading
import time
from pathlib import Path

from service.errors import JobNotFinal, JobNotFound, StoreUnavailable
from service.store import Store

log = logging.getLogger(__name__)

#: Seconds between two looks for jobs that are too old or too many, and until what could not be deleted is tried again.
ROUND_SECONDS = 3_600.0
RETRY_SECONDS = 60.0
DAY_SECONDS = 86_400.0


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
        self._wake = threading.Event()
        self._closed = False

    def delete(self, job_id: str) -> None:
        """Forget a job; returns once a restart would finish that.

        Raises JobNotFound, StoreUnavailable. Raises JobNotFinal: when the job has not ended.
        """
        self._store.delete(job_id)
        self._wake.set()

    def close(self) -> None:
        """Leave off after the file or the transaction at hand."""
        self._closed = True
        self._wake.set()
        if self.is_alive():
            self.join()

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
        if self._keep_days is None and self._keep_jobs is None:
            return
        before = 0.0 if self._keep_days is None else time.time() - self._keep_days * DAY_SECONDS
        for job_id in self._store.expired(ended_before=before, keep=self._keep_jobs):
            try:
                self._store.delete(job_id)
            except (JobNotFound, JobNotFinal):  # deleted, or resumed, meanwhile
                continue
            log.info("expired", extra={"action": "expired", "job_id": job_id})

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
