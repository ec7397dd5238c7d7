"""A job as a projection of its events: what `GET /jobs/<id>` shows is `apply` over the whole log."""

import time
from dataclasses import dataclass, field, replace

from pydantic import SkipValidation, TypeAdapter

from service import events
from service.encoding import encode
from service.errors import LogClosed, StaleAttempt
from service.events import FINAL_TYPES, EpochEnd, Event, FinalEvent, Interrupted, Progress, Queued, Started, TrainEnd
from service.going_on import Checkpoint, Course, GoOn, needs_epochs
from service.new_events import Failure, NewEvent, Request, Resuming
from service.snapshot import Best, DatasetCounts, Kind, Links, Resumable, Resumed, Snapshot, Status, counts


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """A job's whole state. Values are frozen: `apply` makes the next one."""

    id: str
    #: As it was checked when it came: not again when a row is read, which may be of an older version.
    request: SkipValidation[Request]
    kind: Kind = "train"
    created_at: float = field(default_factory=time.time)
    #: Order of submission, given by the store.
    number: int = 0
    status: Status = Status.QUEUED
    #: 1 for the first run; a resume takes the next number.
    attempt: int = 1
    #: What a running job is at: starting, training, …
    phase: str | None = None
    #: Why it ended: finished, early_stopped, killed, …
    reason: str | None = None
    error: str | None = None
    failure: SkipValidation[Failure | None] = None
    #: Ultralytics' fitness of the best weights.
    score: float | None = None
    #: The newest tick, epoch_end or train_end, as it was sent.
    progress: SkipValidation[Progress | None] = None
    best: Best | None = None
    dataset: DatasetCounts | None = None
    save_dir: str | None = None
    #: A cancel, or a stop, was acknowledged; a restart of the service honours it.
    cancel_requested: bool = False
    stop_requested: bool = False
    #: The newest one to go on from: whole on the disk, its `epoch_end` in the log.
    checkpoint: Checkpoint | None = None
    #: The newest one that was told, before its `epoch_end`.
    saved: Checkpoint | None = None
    #: How it went on, if it did.
    resumed: Resumed | None = None
    #: Length of the log's text so far, in bytes, over all attempts.
    log_bytes: int = 0
    #: Total epochs that a resume asked for; None: what the request says.
    epochs: int | None = None
    #: The attempt has trained its last epoch and is at the final evaluation.
    finishing: bool = False
    #: The attempt is to do the final evaluation only.
    finish: bool = False
    #: The attempt was lost with the service or its host, and is not ended yet.
    interrupted: bool = False
    #: Interrupted attempts in a row that made no checkpoint, without those that the service left when told to go.
    fruitless_attempts: int = 0
    #: The service has left the attempt because it was told to go: its interruption says nothing about the job.
    left: bool = False
    #: The user has deleted it; never so in the log.
    deleted: bool = False
    #: Order in which jobs began to wait, given by the store, and the place among those that wait: 1 runs next.
    queue_number: int = 0
    queue_position: int | None = None
    #: The worker and when it started (see `processes`): together they name one process for ever.
    pid: int | None = None
    pid_started: str | None = None
    #: Number of the newest logged event.
    last_seq: int = 0
    updated_at: float = 0.0
    started_at: float | None = None
    ended_at: float | None = None

    @property
    def is_final(self) -> bool:
        return self.status in FINAL_TYPES

    def check(self, attempt: int, event_type: str) -> None:
        """Whether the log takes an event of this type now.

        Raises LogClosed: when the attempt has its final event, or a resume does not follow one.
        Raises StaleAttempt: when the event belongs to another attempt than the current one.
        """
        if event_type == "queued" and (self.is_final or self.interrupted or self.last_seq == 0):
            if attempt != self.attempt + (self.last_seq > 0):
                raise StaleAttempt(f"attempt {attempt} does not follow attempt {self.attempt}")
        elif event_type == "queued" or self.is_final:
            raise LogClosed(f"job {self.id} is {self.status}: {event_type} does not follow")
        elif attempt != self.attempt:
            raise StaleAttempt(f"event of attempt {attempt}, job {self.id} is at {self.attempt}")
        elif event_type == "queue_position" and self.status != Status.QUEUED:
            raise LogClosed(f"job {self.id} does not wait any more")
        elif self.interrupted and event_type not in FINAL_TYPES:
            raise LogClosed(f"attempt {attempt} of job {self.id} was interrupted: {event_type} does not follow")

    @property
    def plan(self) -> GoOn:
        """What the newest attempt is to do: while it waits, from which epoch; what its `queued` said."""
        return GoOn(self.checkpoint.epoch if self.checkpoint else 0, self.epochs, self.finish)

    @property
    def course(self) -> Course:
        """What bears on how the job goes on."""
        return Course(
            job_id=self.id,
            status=self.status,
            plan=self.plan,
            checkpoint=self.checkpoint,
            is_evaluating=self.finishing,
            cancel_requested=self.cancel_requested,
            stop_requested=self.stop_requested,
            interrupted=self.interrupted,
            left=self.left,
            fruitless_attempts=self.fruitless_attempts,
        )

    def as_logged(self, event: NewEvent) -> NewEvent:
        """The event as the log takes it: whatever end comes after an acknowledged cancel is `cancelled`."""
        if self.cancel_requested and event["event"] in FINAL_TYPES:
            return {"event": "cancelled", "reason": "cancelled"}
        return event

    def apply(self, event: Event) -> "Job":
        """The job after this event."""
        seq = event["seq"] if "seq" in event else self.last_seq  # noqa: SIM401 (mypy follows `in`)
        job = replace(self, updated_at=event["time"], last_seq=seq)
        match event["event"]:
            case "queued":
                return _queued(job, event)
            case "started":
                return _started(job, event)
            case "queue_position":
                return replace(job, queue_position=event["queue_position"])
            case "phase":
                return replace(job, phase=event["phase"], finishing=job.finishing or event["phase"] == "finishing")
            case "resumed":
                return replace(job, resumed=_resumed(job.resumed, event))
            case "dataset":
                return replace(job, dataset=counts(event))
            case "log":
                return replace(job, log_bytes=job.log_bytes + sum(len(line.encode()) + 1 for line in event["lines"]))
            case "tick":
                return replace(job, progress=event, save_dir=event["save_dir"])
            case "checkpoint":
                return replace(job, saved=Checkpoint(event["epoch"], event["total_epochs"]))
            case "epoch_end":
                return _epoch_end(job, event)
            case "train_end":
                return _train_end(job, event)
            case "interrupted":
                return _interrupted(job, event)
            case "completed" | "failed" | "cancelled":
                return _ended(job, event)
            case "image" | "class_results":
                return job

    def snapshot(self) -> Snapshot:
        """What `GET /jobs/<id>` answers."""
        return {
            "job_id": self.id,
            "kind": self.kind,
            "number": self.number,
            "status": self.status,
            "phase": self.phase,
            "reason": self.reason,
            "attempt": self.attempt,
            "progress": self.progress,
            "best": self.best,
            "dataset": self.dataset,
            "score": self.score,
            "error": self.error,
            "failure": self.failure,
            **self.request,
            "save_dir": self.save_dir,
            "cancel_requested": self.cancel_requested,
            "stop_requested": self.stop_requested,
            "queue_position": self.queue_position,
            "checkpoint": self.checkpoint,
            "resume": self._resumable(),
            "resumed": self.resumed,
            "created_at": self.created_at,
            "started_at": self.started_at,
            "ended_at": self.ended_at,
            "updated_at": self.updated_at,
            "last_seq": self.last_seq,
            "links": self.links,
        }

    @property
    def links(self) -> Links:
        """Where the service answers for this job."""
        base = f"/jobs/{self.id}"
        return {
            "self": base,
            "events": f"{base}/events",
            "logs": f"{base}/logs",
            "artifacts": f"{base}/artifacts",
            "cancel": f"{base}/cancel",
            "stop": f"{base}/stop",
            "resume": f"{base}/resume",
        }

    def _resumable(self) -> Resumable | None:
        """From which epoch a resume goes on, to which, and whether it needs a new total; None: there is no resuming."""
        if not self.is_final or self.checkpoint is None:
            return None
        course = self.course
        return Resumable(course.done, course.total, needs_epochs(course))

    def to_json(self) -> bytes:
        return encode(self)

    @classmethod
    def from_json(cls, data: bytes) -> "Job":
        """Fields of other versions of the service are left out. Raises ValueError."""
        return _JOB.validate_json(data)


_JOB = TypeAdapter(Job)


# What an event makes of a job


def _queued(job: Job, event: Queued) -> Job:
    reason, resume = event.get("reason"), event.get("resume")
    if reason != "interrupted":  # somebody wants it to go on
        job = replace(job, stop_requested=False, fruitless_attempts=0)
    return replace(
        job,
        status=Status.QUEUED,
        attempt=event["attempt"],
        reason=reason,
        epochs=event.get("epochs"),
        finish=resume is not None and resume["finish"],
        checkpoint=_going_on(job, resume),
        resumed=job.resumed if resume else None,
        phase=None,
        error=None,
        failure=None,
        score=None,
        started_at=None,
        ended_at=None,
        pid=None,
        pid_started=None,
        saved=None,
        finishing=False,
        interrupted=False,
        cancel_requested=False,
        left=False,
    )


def _going_on(job: Job, resume: Resuming | None) -> Checkpoint | None:
    """The checkpoint that an attempt goes on from."""
    return replace(job.checkpoint, epoch=resume["epoch"]) if resume and job.checkpoint else None


def _resumed(before: Resumed | None, event: events.Resumed) -> Resumed:
    """A job is exact as long as all its attempts are."""
    if before is not None and not before.exact:
        return replace(before, epoch=event["after_epoch"])
    return Resumed(event["after_epoch"], event["exact"], event["reason"])


def _started(job: Job, event: Started) -> Job:
    return replace(
        job,
        status=Status.RUNNING,
        phase="starting",
        reason=None,
        queue_position=None,
        started_at=event["time"],
        pid=event["pid"],
        pid_started=event["pid_started"],
    )


def _epoch_end(job: Job, event: EpochEnd) -> Job:
    epoch, fitness, best = event["epoch"], event["fitness"], job.best
    if fitness is not None and fitness == event["best_fitness"]:  # the condition under which best.pt is written
        best = Best(epoch, fitness, event["metrics"])
    checkpoint = job.saved if job.saved is not None and job.saved.epoch == epoch else job.checkpoint
    return replace(job, progress=event, save_dir=event["save_dir"], best=best, checkpoint=checkpoint)


def _train_end(job: Job, event: TrainEnd) -> Job:
    best = Best(event["best_epoch"], event["score"], event["metrics"])
    return replace(job, progress=event, save_dir=event["save_dir"], score=event["score"], best=best)


def _interrupted(job: Job, event: Interrupted) -> Job:
    got_on = job.saved is not None and job.saved == job.checkpoint
    fruitless = 0 if got_on else job.fruitless_attempts + (not event["planned"])
    return replace(job, interrupted=True, fruitless_attempts=fruitless)


def _ended(job: Job, event: FinalEvent) -> Job:
    job = replace(
        job,
        status=Status(event["event"]),
        phase=None,
        queue_position=None,
        ended_at=event["time"],
        reason=event["reason"],
    )
    match event["event"]:
        case "completed":
            return replace(job, score=event.get("score", job.score), save_dir=event.get("save_dir", job.save_dir))
        case "failed":
            return replace(job, error=event["error"], failure=event["failure"])
        case "cancelled":
            return job
