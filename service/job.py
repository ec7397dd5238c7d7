"""A job as a projection of its events: what `GET /jobs/<id>` shows is `apply` over the whole log."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields, replace
from enum import StrEnum
from itertools import islice
from typing import Any, Self

import orjson

from service.errors import LogClosed, NothingToResume, StaleAttempt
from service.events import FINAL_TYPES, Event, encode

#: What can be asked of a job, by POST.
ACTIONS = ("cancel", "stop", "resume")
#: What of a dataset's census a snapshot has: these counts, so many splits and warnings of so many characters.
COUNTS = ("images", "labelled", "background", "missing", "dropped", "corrupt", "duplicates", "instances")
MAX_SPLITS, MAX_SPLIT_NAME = 4, 20
MAX_WARNINGS, MAX_WARNING = 6, 500
#: Attempts in a row that may be lost with the service without a new checkpoint; the last of them ends the job.
MAX_FRUITLESS_ATTEMPTS = 3


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
    #: The best epoch so far: `epoch`, `fitness`, `metrics`; after the end, what the final evaluation found.
    best: dict[str, Any] | None = None
    #: What is in the dataset, in short: counts by split, and warnings; event `seq` has classes and bad files too.
    dataset: dict[str, Any] | None = None
    save_dir: str | None = None
    #: A cancel, or a stop, was acknowledged; a restart of the service honours it.
    cancel_requested: bool = False
    stop_requested: bool = False
    #: `epoch` and `total_epochs` of the newest checkpoint to go on from: whole on the disk, its `epoch_end` in the log.
    checkpoint: dict[str, Any] | None = None
    #: The newest `checkpoint` event's epoch and total, before its `epoch_end`.
    saved: dict[str, Any] | None = None
    #: Length of the log's text so far, in bytes, over all attempts.
    log_bytes: int = 0
    #: Total epochs that a resume asked for; None: what the request says.
    epochs: int | None = None
    #: Nothing is left but the final evaluation: the attempt has come to it, or is to do it and nothing else.
    finishing: bool = False
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
    def total_epochs(self) -> int | None:
        """Epochs that the job is to have in the end; None while no checkpoint has told."""
        return self.epochs or (self.checkpoint["total_epochs"] if self.checkpoint else None)

    def going_on_after(self, epoch: int | None) -> Self:
        """The job with the checkpoint of that epoch for its newest: what is on the disk. None: there is none."""
        if epoch is None or self.checkpoint is None:
            return replace(self, checkpoint=None)
        return replace(self, checkpoint={**self.checkpoint, "epoch": epoch})

    def next_attempt(self, *, reason: str, epochs: int | None = None) -> Event:
        """The `queued` event with which the job goes on, from its newest checkpoint if it has one.

        Where no epoch is left, the attempt is to `finish`: to do the final evaluation, and nothing else.
        """
        resume = None
        if self.checkpoint is not None:
            all_done = self.checkpoint["epoch"] >= (self.total_epochs or 0)
            cut_off = self.finishing and self.status != Status.COMPLETED
            stopping = (self.stop_requested or self.finish) and self.interrupted
            finish = epochs is None and (all_done or cut_off or stopping)
            resume = {"epoch": self.checkpoint["epoch"], "finish": finish}
        return {"event": "queued", "reason": reason, "epochs": epochs or self.epochs, "resume": resume}

    def resume(self, epochs: int | None) -> Event:
        """The `queued` event for a resume that was asked for. Raises NothingToResume."""
        if not self.is_final:
            raise NothingToResume(f"job {self.id} is {self.status}")
        if self.checkpoint is None:
            raise NothingToResume(f"job {self.id} ended before its first checkpoint; start a new training")
        done, total = self.checkpoint["epoch"], epochs or self.total_epochs or 0
        if done >= total and (epochs is not None or self.status == Status.COMPLETED):
            raise NothingToResume(f'{done} epochs are done already; ask for more: {{"epochs": {done + 1}}} or above')
        return self.next_attempt(reason="resumed", epochs=epochs)

    def settle(self, event: Event) -> Event:
        """The event as the log takes it: whatever end comes after an acknowledged cancel is `cancelled`."""
        if self.cancel_requested and event["event"] in FINAL_TYPES:
            return {"event": "cancelled", "reason": "cancelled"}
        return event

    def apply(self, event: Event) -> Self:
        """The job after this event, which must carry `attempt` and `time`."""
        changes: dict[str, Any] = {"updated_at": event["time"], "last_seq": event.get("seq", self.last_seq)}
        if change := _CHANGES.get(event["event"]):
            changes |= change(self, event)
        return replace(self, **changes)

    def snapshot(self) -> dict[str, Any]:
        """What `GET /jobs/<id>` answers."""
        return {
            "job_id": self.id,
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
            "created_at": self.created_at,
            "started_at": self.started_at,
            "ended_at": self.ended_at,
            "updated_at": self.updated_at,
            "last_seq": self.last_seq,
            "links": links(self.id),
        }

    def _resumable(self) -> dict[str, Any] | None:
        """From which epoch a resume goes on, to which, and whether it needs a new total; None: there is no resuming."""
        if not self.is_final or self.checkpoint is None:
            return None
        done, total = self.checkpoint["epoch"], self.total_epochs or 0
        return {"epoch": done, "epochs": total, "needs_epochs": self.status == Status.COMPLETED and done >= total}

    def to_json(self) -> bytes:
        return encode(asdict(self))

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Fields of other versions of the service are left out."""
        state = {name: value for name, value in orjson.loads(data).items() if name in _FIELDS}
        return cls(**{**state, "status": Status(state["status"])})


_FIELDS = frozenset(field.name for field in fields(Job))


def links(job_id: str) -> dict[str, str]:
    """Where the service answers for this job."""
    base = f"/jobs/{job_id}"
    return {"self": base, **{name: f"{base}/{name}" for name in ("events", "logs", "artifacts", *ACTIONS)}}


def _queued(job: Job, event: Event) -> dict[str, Any]:
    cleared = ("phase", "reason", "error", "failure", "score", "started_at", "ended_at", "pid", "pid_started", "saved")
    flags = ("finishing", "interrupted", "cancel_requested", "left")
    changes = dict.fromkeys(cleared) | dict.fromkeys(flags, False)
    if event.get("reason") != "interrupted":  # somebody wants it to go on
        changes |= {"stop_requested": False, "fruitless_attempts": 0}
    own = {"reason": event.get("reason"), "epochs": event.get("epochs")}
    resume = event.get("resume")
    changes |= {"finish": bool(resume and resume["finish"]), "checkpoint": _going_on(job, resume)}
    return {**changes, "status": Status.QUEUED, "attempt": event["attempt"], **own}


def _going_on(job: Job, resume: dict[str, Any] | None) -> dict[str, Any] | None:
    """The checkpoint that an attempt goes on from."""
    return {**(job.checkpoint or {}), "epoch": resume["epoch"]} if resume else None


def _started(job: Job, event: Event) -> dict[str, Any]:
    return {
        "status": Status.RUNNING,
        "phase": "starting",
        "reason": None,
        "queue_position": None,
        "started_at": event["time"],
        "pid": event.get("pid"),
        "pid_started": event.get("pid_started"),
    }


def _progress(job: Job, event: Event) -> dict[str, Any]:
    return {"progress": event, "save_dir": event.get("save_dir")}


def _train_end(job: Job, event: Event) -> dict[str, Any]:
    score = event.get("score")
    best = {"epoch": event.get("best_epoch"), "fitness": score, "metrics": event.get("metrics")}
    return {**_progress(job, event), "score": score, "best": best}


def _phase(job: Job, event: Event) -> dict[str, Any]:
    phase = event.get("phase")
    return {"phase": phase, **({"finishing": True} if phase == "finishing" else {})}


def _dataset(job: Job, event: Event) -> dict[str, Any]:
    """The counts only, and not more of them than there can be: this is in each list of jobs."""
    splits, told = event.get("splits"), event.get("warnings")
    splits = splits if isinstance(splits, dict) else {}
    counts = {
        name[:MAX_SPLIT_NAME]: {count: split[count] for count in COUNTS if isinstance(split.get(count), int)}
        for name, split in islice(splits.items(), MAX_SPLITS)
        if isinstance(split, dict)
    }
    warnings = [str(text)[:MAX_WARNING] for text in told[:MAX_WARNINGS]] if isinstance(told, list) else []
    return {"dataset": {"seq": event.get("seq"), "splits": counts, "warnings": warnings}}


def _log(job: Job, event: Event) -> dict[str, Any]:
    return {"log_bytes": job.log_bytes + sum(len(str(line).encode()) + 1 for line in event.get("lines") or ())}


def _checkpoint(job: Job, event: Event) -> dict[str, Any]:
    told = {name: event.get(name) for name in ("epoch", "total_epochs")}
    return {"saved": told} if all(isinstance(value, int) for value in told.values()) else {}


def _epoch_end(job: Job, event: Event) -> dict[str, Any]:
    known = job.saved is not None and job.saved["epoch"] == event.get("epoch")
    fitness = event.get("fitness")
    # The condition under which best.pt is written.
    is_best = fitness is not None and fitness == event.get("best_fitness")
    best = {"epoch": event.get("epoch"), "fitness": fitness, "metrics": event.get("metrics")} if is_best else job.best
    return {**_progress(job, event), "best": best, **({"checkpoint": job.saved} if known else {})}


def _interrupted(job: Job, event: Event) -> dict[str, Any]:
    got_on = job.saved is not None and job.saved == job.checkpoint
    fruitless = 0 if got_on else job.fruitless_attempts + (not event.get("planned"))
    return {"interrupted": True, "fruitless_attempts": fruitless}


def _ended(job: Job, event: Event) -> dict[str, Any]:
    return {
        "status": Status(event["event"]),
        "phase": None,
        "queue_position": None,
        "ended_at": event["time"],
        **{name: event[name] for name in ("reason", "error", "failure", "score", "save_dir") if name in event},
    }


#: Event type → the fields that it changes.
_CHANGES: dict[str, Callable[[Job, Event], dict[str, Any]]] = {
    "queued": _queued,
    "started": _started,
    "phase": _phase,
    "dataset": _dataset,
    "log": _log,
    "checkpoint": _checkpoint,
    "queue_position": lambda job, event: {"queue_position": event.get("queue_position")},
    "tick": _progress,
    "epoch_end": _epoch_end,
    "interrupted": _interrupted,
    "train_end": _train_end,
    **dict.fromkeys(FINAL_TYPES, _ended),
}
