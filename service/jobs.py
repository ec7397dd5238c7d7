"""A job as a projection of its events: what `GET /jobs/<id>` shows is `apply` over the whole log."""

import time
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any, Self

import orjson

from service.errors import LogClosed, StaleAttempt
from service.events import FINAL_TYPES, Event, encode


class Status(StrEnum):
    """Where a job is. Everything finer is `phase` and `reason`."""

    #: Waits for a slot.
    QUEUED = "queued"
    #: Has a worker process.
    RUNNING = "running"
    #: Trained to its end, or was stopped with its best weights kept.
    COMPLETED = "completed"
    #: Its worker raised, died, or was lost.
    FAILED = "failed"
    #: Ended on request.
    CANCELLED = "cancelled"


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """A job's whole state. Values are frozen: `apply` makes the next one."""

    id: str
    #: The checked payload: `model`, `hyperparameters`, `fit_params`.
    request: dict[str, Any]
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
    #: `reason` and `evidence` of a failure, the last log lines, and exit code or signal where there was one.
    failure: dict[str, Any] | None = None
    #: Ultralytics' fitness of the best weights.
    score: float | None = None
    #: The newest tick, epoch_end or train_end, as it was sent.
    progress: dict[str, Any] | None = None
    save_dir: str | None = None
    #: A cancel was acknowledged; a restart of the service honours it.
    cancel_requested: bool = False
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
        if event_type == "queued" and (self.is_final or self.last_seq == 0):
            if attempt != self.attempt + self.is_final:
                raise StaleAttempt(f"attempt {attempt} does not follow attempt {self.attempt}")
        elif event_type == "queued" or self.is_final:
            raise LogClosed(f"job {self.id} is {self.status}: {event_type} does not follow")
        elif attempt != self.attempt:
            raise StaleAttempt(f"event of attempt {attempt}, job {self.id} is at {self.attempt}")

    def settle(self, event: Event) -> Event:
        """The event as the log takes it: whatever end comes after an acknowledged cancel is `cancelled`."""
        if self.cancel_requested and event["event"] in FINAL_TYPES:
            return {"event": "cancelled", "reason": "cancelled"}
        return event

    def apply(self, event: Event) -> Self:
        """The job after this event, which must carry `attempt` and `time`."""
        changes: dict[str, Any] = {"updated_at": event["time"], "last_seq": event.get("seq", self.last_seq)}
        changes |= _CHANGES.get(event["event"], lambda event: {})(event)
        return replace(self, **changes)

    def snapshot(self) -> dict[str, Any]:
        """What `GET /jobs/<id>` answers."""
        return {
            "job_id": self.id,
            "status": self.status,
            "phase": self.phase,
            "reason": self.reason,
            "attempt": self.attempt,
            "progress": self.progress,
            "score": self.score,
            "error": self.error,
            "failure": self.failure,
            **self.request,
            "save_dir": self.save_dir,
            "cancel_requested": self.cancel_requested,
            "created_at": self.created_at,
            "started_at": self.started_at,
            "ended_at": self.ended_at,
            "updated_at": self.updated_at,
            "last_seq": self.last_seq,
            "links": links(self.id),
        }

    def to_json(self) -> bytes:
        return encode(asdict(self))

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        fields = orjson.loads(data)
        return cls(**{**fields, "status": Status(fields["status"])})


def links(job_id: str) -> dict[str, str]:
    """Where the service answers for this job."""
    base = f"/jobs/{job_id}"
    return {"self": base, "events": f"{base}/events", "cancel": f"{base}/cancel"}


def _queued(event: Event) -> dict[str, Any]:
    cleared = dict.fromkeys(("phase", "reason", "error", "failure", "score", "started_at", "ended_at", "pid"))
    return {**cleared, "status": Status.QUEUED, "attempt": event["attempt"], "cancel_requested": False}


def _started(event: Event) -> dict[str, Any]:
    return {
        "status": Status.RUNNING,
        "phase": "starting",
        "started_at": event["time"],
        "pid": event.get("pid"),
        "pid_started": event.get("pid_started"),
    }


def _progress(event: Event) -> dict[str, Any]:
    return {"progress": event, "save_dir": event.get("save_dir")}


def _train_end(event: Event) -> dict[str, Any]:
    return {**_progress(event), "score": event.get("score")}


def _ended(event: Event) -> dict[str, Any]:
    return {
        "status": Status(event["event"]),
        "phase": None,
        "ended_at": event["time"],
        **{name: event[name] for name in ("reason", "error", "failure", "score", "save_dir") if name in event},
    }


#: Event type → the fields that it changes.
_CHANGES = {
    "queued": _queued,
    "started": _started,
    "phase": lambda event: {"phase": event.get("phase")},
    "tick": _progress,
    "epoch_end": _progress,
    "train_end": _train_end,
    **dict.fromkeys(FINAL_TYPES, _ended),
}
