"""Going on: from which epoch, to which, or nothing but the final evaluation; and whether a job that was lost does.

All of it is computed here, from what the log knows of the job (`Course`) and what is on the disk: no file, no clock.
docs/architecture.md shows the two tables.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from service.errors import NothingToResume
from service.new_events import NewQueued, Resuming

#: Attempts in a row that may be lost with the service without a new checkpoint; the last of them ends the job.
MAX_FRUITLESS_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint by its epoch, and how many epochs its attempt was to have."""

    epoch: int
    total_epochs: int


@dataclass(frozen=True, slots=True)
class GoOn:
    """What an attempt is to do."""

    #: The epoch whose checkpoint it goes on from; 0: it begins with the first.
    after_epoch: int = 0
    #: Total epochs that a resume asked for; None: as many as the request says.
    to_epoch: int | None = None
    #: Train nothing: only the final evaluation is left.
    only_evaluate: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """How far a job has come, as the log knows it."""

    job_id: str
    status: str
    #: What the newest attempt is to do.
    plan: GoOn
    #: The newest checkpoint whose epoch's end is in the log.
    checkpoint: Checkpoint | None
    #: The newest attempt has come to its final evaluation.
    is_evaluating: bool
    cancel_requested: bool
    stop_requested: bool
    #: That the newest attempt was lost is in the log.
    interrupted: bool
    #: The service has left it because it was told to go.
    left: bool
    #: Interrupted attempts in a row that made no checkpoint, without those that the service left.
    fruitless_attempts: int

    @property
    def has_ended(self) -> bool:
        return self.status not in ("queued", "running")

    @property
    def done(self) -> int:
        """Epochs that need not be trained again."""
        return self.checkpoint.epoch if self.checkpoint else 0

    @property
    def total(self) -> int:
        """Epochs that it is to have in the end; 0 while nothing has told."""
        return self.plan.to_epoch or (self.checkpoint.total_epochs if self.checkpoint else 0)

    def on_disk(self, kept: Sequence[int]) -> "Course":
        """The same, going by the checkpoints that are there: the newest whose epoch's end the log has.

        So no epoch is told twice. Where the log is further behind than the copies that are kept, the oldest of them;
        where somebody has deleted them all, none.
        """
        known = [epoch for epoch in kept if epoch <= self.done] or sorted(kept)[:1]
        if not known or self.checkpoint is None:
            return replace(self, checkpoint=None)
        return replace(self, checkpoint=replace(self.checkpoint, epoch=max(known)))


def next_attempt(course: Course, epochs: int | None = None) -> GoOn:
    """What the next attempt is to do, to a new total of `epochs` if given."""
    only_evaluate = course.checkpoint is not None and epochs is None and any(holds(course) for _, holds in EVALUATIONS)
    return GoOn(course.done, epochs or course.plan.to_epoch, only_evaluate)


#: When nothing but the final evaluation is left, unless a resume asks for more epochs.
EVALUATIONS: tuple[tuple[str, Callable[[Course], bool]], ...] = (
    ("all epochs are done", lambda course: course.done >= course.total),
    ("it ended in its final evaluation", lambda course: course.is_evaluating and course.status != "completed"),
    (
        "it was interrupted when it was to stop, or to evaluate only",
        lambda course: course.interrupted and (course.stop_requested or course.plan.only_evaluate),
    ),
)


# A resume that somebody asks for


@dataclass(frozen=True, slots=True)
class Asked:
    """Somebody asks for a resume."""

    course: Course
    #: The epochs of the checkpoints that are on the disk.
    kept: Sequence[int]
    #: A new total, if there is to be one.
    epochs: int | None

    @property
    def there(self) -> Course:
        return self.course.on_disk(self.kept)


def resume(asked: Asked) -> GoOn:
    """What a resume is to do. Raises NothingToResume."""
    for _, holds, why in REFUSALS:
        if holds(asked):
            done = asked.there.done
            raise NothingToResume(
                why.format(job=asked.course.job_id, status=asked.course.status, done=done, more=done + 1)
            )
    return next_attempt(asked.there, asked.epochs)


def needs_epochs(course: Course) -> bool:
    """Whether a resume must ask for more epochs than there are."""
    return course.status == "completed" and course.done >= course.total


def _asks_for_nothing(asked: Asked) -> bool:
    return needs_epochs(asked.there) if asked.epochs is None else asked.there.done >= asked.epochs


#: When there is nothing to resume, and what is answered.
REFUSALS: tuple[tuple[str, Callable[[Asked], bool], str], ...] = (
    ("it has not ended", lambda asked: not asked.course.has_ended, "job {job} is {status}"),
    (
        "it has no checkpoint",
        lambda asked: asked.course.checkpoint is None,
        "job {job} ended before its first checkpoint; start a new training",
    ),
    (
        "none of its checkpoints is on the disk",
        lambda asked: asked.there.checkpoint is None,
        "the checkpoints of job {job} are gone",
    ),
    (
        "as many epochs as it asks for are done; or the job has completed with all, and it asks for no more",
        _asks_for_nothing,
        '{done} epochs are done already; ask for more: {{"epochs": {more}}} or above',
    ),
)


# A job that the service left, found at its next start


@dataclass(frozen=True, slots=True)
class Wait:
    """It waits on as it did."""


@dataclass(frozen=True, slots=True)
class Cancel:
    """It is cancelled."""


@dataclass(frozen=True, slots=True)
class Interrupt:
    """Its interruption is logged; then it is asked again what becomes of it."""

    #: It says nothing about the job: nothing ran, or the service was told to go.
    planned: bool


@dataclass(frozen=True, slots=True)
class Fail:
    """It has failed."""

    why: str


Decision = Wait | Cancel | Interrupt | GoOn | Fail


@dataclass(frozen=True, slots=True)
class Found:
    """What a start of the service finds."""

    course: Course
    #: The epochs of the checkpoints that are on the disk.
    kept: Sequence[int]
    #: No process of its worker is left.
    is_free: bool
    #: Interrupted jobs go on by themselves.
    auto_resume: bool


def decide(found: Found) -> Decision:
    """What becomes of a job that the service left: the first row that holds."""
    return next(decision(found) for _, holds, _, decision in DECISIONS if holds(found))


def _can_wait(found: Found) -> bool:
    course = found.course
    nothing_ran = course.status == "queued" and not course.interrupted and not course.cancel_requested
    return nothing_ran and (course.checkpoint is None or course.on_disk(found.kept).checkpoint == course.checkpoint)


def _may_go_on(found: Found) -> bool:
    return found.is_free and found.auto_resume and found.course.fruitless_attempts < MAX_FRUITLESS_ATTEMPTS


def _lost(found: Found) -> Fail:
    why = "the service ended while the job ran"
    if not found.is_free:
        why += ", and a process of it cannot be ended"
    elif found.auto_resume:
        why += f", {found.course.fruitless_attempts} times without a new checkpoint"
    return Fail(why)


#: When it holds, what is decided: in words and in code.
DECISIONS: tuple[tuple[str, Callable[[Found], bool], str, Callable[[Found], Decision]], ...] = (
    ("it waits, and what it is to go on from is there", _can_wait, "it waits on", lambda found: Wait()),
    (
        "a cancel was acknowledged",
        lambda found: found.course.cancel_requested,
        "`cancelled`",
        lambda found: Cancel(),
    ),
    (
        "its interruption is not in the log",
        lambda found: not found.course.interrupted,
        "`interrupted`, then this table again",
        lambda found: Interrupt(planned=found.course.left or found.course.status == "queued"),
    ),
    (
        f"no process is left, --auto-resume is on, fewer than {MAX_FRUITLESS_ATTEMPTS} losses in a row were fruitless",
        _may_go_on,
        "`queued`: the next attempt",
        lambda found: next_attempt(found.course.on_disk(found.kept)),
    ),
    ("otherwise", lambda found: True, "`failed`, `interrupted`", _lost),
)


# In the log


def queued(plan: GoOn, reason: Literal["resumed", "interrupted"]) -> NewQueued:
    """The event that tells of a next attempt."""
    going_on: Resuming = {"epoch": plan.after_epoch, "finish": plan.only_evaluate}
    return {
        "event": "queued",
        "reason": reason,
        "epochs": plan.to_epoch,
        "resume": going_on if plan.after_epoch else None,
    }
