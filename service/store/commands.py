"""What the log can be told to do: each command a frozen value, done by `apply` on the writer's transaction.

A command raises before it has written anything, and then the others of its batch go on; or it gives what its asker gets
once all of the batch is on the disk.
"""

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Generic, TypeVar, cast

from service import going_on
from service.errors import JobFinal, JobNotFinal, JobNotFound, JobNotRunning
from service.job import Job
from service.new_events import NewEvent, NewQueued
from service.snapshot import Status
from service.store.transaction import Transaction

T_co = TypeVar("T_co", covariant=True)


class Command(Generic[T_co]):
    """A change of the log, and the type of what its asker gets."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Key:
    """An Idempotency-Key, and the digest of the request that came with it."""

    key: str
    digest: str


@dataclass(frozen=True, slots=True)
class Create(Command[Job]):
    """A new job with its `queued` event; with a key that came before, the job of that time, and nothing happens."""

    job: Job
    key: Key | None


@dataclass(frozen=True, slots=True)
class Append(Command[Job]):
    """An event of an attempt, and when it was said (None: now)."""

    job_id: str
    attempt: int
    event: NewEvent
    said_at: float | None


@dataclass(frozen=True, slots=True)
class Resume(Command[Job]):
    """The next attempt of a job that has ended, to so many `epochs`; `kept` are the epochs of its checkpoints."""

    job_id: str
    epochs: int | None
    kept: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class RequestCancel(Command[Job]):
    """The job is to be cancelled."""

    job_id: str


@dataclass(frozen=True, slots=True)
class RequestStop(Command[Job]):
    """The job is to end after its epoch."""

    job_id: str


@dataclass(frozen=True, slots=True)
class Leave(Command[None]):
    """The service leaves these running jobs because it was told to."""

    job_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Place(Command[None]):
    """The order of the jobs that wait."""

    order: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Delete(Command[None]):
    """A job that has ended is gone; what is left of it is among the deletions."""

    job_id: str


@dataclass(frozen=True, slots=True)
class Purge(Command[None]):
    """The events of a deleted job, up to number `last`."""

    number: int
    last: int


@dataclass(frozen=True, slots=True)
class Forget(Command[None]):
    """Nothing is left of a deleted job."""

    number: int


def apply(command: Command[object], log: Transaction) -> Job | None:
    """Do it; gives what its type says."""
    match command:
        case Create(job, key):
            return _create(log, job, key)
        case Append(job_id, attempt, event, said_at):
            job = log.job(job_id)
            job.check(attempt, event["event"])
            return log.tell(job, attempt, job.as_logged(event), said_at)
        case Resume(job_id, epochs, kept):
            job = log.job(job_id)
            plan = going_on.resume(going_on.Asked(job.course, kept, epochs))
            return log.tell(job, job.attempt + 1, going_on.queued(plan, "resumed"))
        case RequestCancel(job_id):
            return _request_cancel(log, log.job(job_id))
        case RequestStop(job_id):
            return _request_stop(log, log.job(job_id))
        case Leave(job_ids):
            _leave(log, job_ids)
        case Place(order):
            log.place(order)
        case Delete(job_id):
            _delete(log, log.job(job_id))
        case Purge(number, last):
            log.purge(number, last)
        case Forget(number):
            log.forget(number)
        case _:
            raise TypeError(f"{command} is no command of the log")
    return None


def _create(log: Transaction, job: Job, key: Key | None) -> Job:
    if key is not None and (known := log.job_of_key(key.key, key.digest)):
        return log.job(known)
    created = log.tell(job, 1, cast(NewQueued, {"event": "queued", **job.request}))
    if key is not None:
        log.keep_key(key.key, key.digest, job.id)
    return created


def _request_cancel(log: Transaction, job: Job) -> Job:
    if job.is_final and job.status != Status.CANCELLED:
        raise JobFinal(f"job {job.id} is {job.status}")
    return log.note(replace(job, cancel_requested=True))


def _request_stop(log: Transaction, job: Job) -> Job:
    if job.status != Status.RUNNING:
        raise JobNotRunning(f"job {job.id} is {job.status}")
    return log.note(replace(job, stop_requested=True))


def _leave(log: Transaction, job_ids: tuple[str, ...]) -> None:
    for job_id in job_ids:
        with suppress(JobNotFound):  # it has just ended, and somebody has deleted it
            if not ((job := log.job(job_id)).left or job.is_final):
                log.note(replace(job, left=True))


def _delete(log: Transaction, job: Job) -> None:
    if not job.is_final:
        raise JobNotFinal(f"job {job.id} is {job.status}: cancel it first")
    log.delete(job)
