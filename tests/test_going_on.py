"""Going on, in a world of its own: a job, its checkpoints, a worker; Hypothesis decides who dies where."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service import going_on
from service.errors import NothingToResume
from service.going_on import Asked, Cancel, Checkpoint, Course, Fail, Found, GoOn, Interrupt, Wait
from service.job import Job
from service.workers import programs
from service.workers.spec import TrainSpec
from tests import said

FAILURE = {"reason": "killed", "evidence": "killed", "hint": ""}


class World:
    """One job, as its log has it, and the checkpoints on its disk, newest first; a small number decides each turn."""

    def __init__(self, asked: int) -> None:
        self.asked = asked
        self.kept: list[int] = []
        self.told: list[int] = []
        self.evaluations = 0
        self.steps = 0
        self.log(said.queued(), Job(id="x", request={"model": "none", "fit_params": {}}))

    def log(self, event: dict[str, Any], job: Job | None = None) -> None:
        job = job or self.job
        job.check(event.get("attempt", job.attempt), event["event"])
        stamp = {"job_id": "x", "seq": job.last_seq + 1, "time": 1.0}
        self.job = job.apply({"attempt": job.attempt, **event, **stamp})  # type: ignore[arg-type,typeddict-item]
        self.steps += 1

    def turn(self, choice: int) -> None:
        if self.job.is_final:
            self._resume(choice)
        elif self.job.status == "queued":
            self._wait(choice)
        else:
            self._train(choice)

    # A waiting job

    def _wait(self, choice: int) -> None:
        [self._start, self._start, self._start, self._restart][choice % 4](choice)

    def _start(self, choice: int) -> None:
        plan = self.job.plan
        assert not plan.after_epoch or plan.after_epoch in self.kept, "it goes on from what is there"
        self.total = plan.to_epoch or self.asked
        self.at = plan.after_epoch
        if self.at == 0:
            self.kept = []  # of an attempt that nothing is left of
        self.log(said.started())
        self.evaluates = plan.only_evaluate
        self.stage = 0

    # A running one: a worker trains, the log is told, one after the other; between any two somebody may die

    def _train(self, choice: int) -> None:
        fates = {15: self._fail, 14: self._restart, 13: self._stop, 12: self._leave, 11: self._lose_patience}
        fates.get(choice % 16, self._get_on)(choice)

    def _get_on(self, choice: int) -> None:
        if self.evaluates or (self.at >= self.total and self.stage == 0):
            if self.job.phase != "finishing":
                self.log(said.phase("finishing", self.at, self.total))
            else:
                self.log({"event": "completed", "reason": "finished"})
                self.evaluations += 1
        elif self.stage == 0:
            self.at += 1
            assert self.at <= self.total, "no epoch beyond the last"
            self.kept = [self.at, *[epoch for epoch in self.kept if epoch < self.at]][:2]
            self.stage = 1
        elif self.stage == 1:
            self.log(said.checkpoint(self.at, self.total))
            self.stage = 2
        else:
            self.log(said.epoch_end(self.at, self.total))
            self.told.append(self.at)
            self.stage = 0
            self.evaluates = self.job.stop_requested

    def _fail(self, choice: int) -> None:
        failed = {"event": "failed", "reason": "killed", "error": "killed", "failure": FAILURE}
        self.log(failed if choice & 16 else {"event": "cancelled", "reason": "cancelled"})

    def _lose_patience(self, choice: int) -> None:
        """Ultralytics ends a training before its last epoch."""
        self.evaluates = self.evaluates or self.stage == 0 < self.at

    def _stop(self, choice: int) -> None:
        self.job = going_on_with(self.job, stop_requested=True)

    def _leave(self, choice: int) -> None:
        self.job = going_on_with(self.job, left=True)

    # A service that starts, and somebody who asks for a resume

    def _restart(self, choice: int) -> None:
        ended = self.job.phase == "finishing" or self.job.stop_requested or self.job.plan.only_evaluate
        for _ in range(3):
            match going_on.decide(Found(self.job.course, self.kept, True, True)):
                case Wait():
                    assert self.job.status == "queued"
                    return
                case Interrupt(planned):
                    self.log({"event": "interrupted", "reason": "interrupted", "planned": planned})
                case GoOn() as plan:
                    course = self.job.course
                    assert plan.only_evaluate == (course.done > 0 and (ended or course.done >= course.total))
                    self.log({**going_on.queued(plan, "interrupted"), "attempt": self.job.attempt + 1})
                    return
                case Fail(why):
                    assert self.job.fruitless_attempts == going_on.MAX_FRUITLESS_ATTEMPTS, why
                    self.log({"event": "failed", "reason": "interrupted", "error": why, "failure": FAILURE})
                    return
                case decision:
                    raise AssertionError(f"{decision}, though nobody cancelled it")
        raise AssertionError("a start decides at once")

    def _resume(self, choice: int) -> None:
        epochs = [None, None, self.job.course.done + 1 + choice % 3, 1][choice % 4]
        try:
            plan = going_on.resume(Asked(self.job.course, self.kept, epochs))
        except NothingToResume:
            assert not self.kept or self.job.checkpoint is None or (epochs or 0) <= self.job.course.done
        else:
            self.log({**going_on.queued(plan, "resumed"), "attempt": self.job.attempt + 1})


def going_on_with(job: Job, **notes: bool) -> Job:
    return replace(job, **notes)  # type: ignore[arg-type]


COURSE = Course(
    job_id="x",
    status="failed",
    plan=GoOn(),
    checkpoint=Checkpoint(3, 9),
    is_evaluating=False,
    cancel_requested=False,
    stop_requested=False,
    interrupted=False,
    left=False,
    fruitless_attempts=0,
)


@pytest.mark.parametrize(
    ("changes", "kept", "epochs", "why"),
    [
        ({"status": "running"}, [3], None, "job x is running"),
        ({"checkpoint": None}, [], None, "before its first checkpoint; start a new training"),
        ({}, [], None, "the checkpoints of job x are gone"),
        ({}, [3, 2], 3, '3 epochs are done already; ask for more: {"epochs": 4} or above'),
        ({"status": "completed", "plan": GoOn(to_epoch=3)}, [3, 2], None, "3 epochs are done already"),
    ],
)
def test_what_cannot_be_resumed_says_why(
    changes: dict[str, Any], kept: list[int], epochs: int | None, why: str
) -> None:
    with pytest.raises(NothingToResume) as refused:
        going_on.resume(Asked(replace(COURSE, **changes), kept, epochs))
    assert why in str(refused.value)


@pytest.mark.parametrize(
    ("changes", "kept", "epochs", "plan"),
    [
        ({}, [3, 2], None, GoOn(3)),
        ({}, [2, 1], 12, GoOn(2, 12)),
        ({}, [5, 4], None, GoOn(4)),
        ({"plan": GoOn(to_epoch=3)}, [3], None, GoOn(3, 3, only_evaluate=True)),
        ({"is_evaluating": True}, [3], None, GoOn(3, only_evaluate=True)),
        ({"is_evaluating": True, "status": "completed"}, [3], None, GoOn(3)),
        ({"is_evaluating": True}, [3], 12, GoOn(3, 12)),
    ],
)
def test_a_resume_goes_on_from_what_is_there(
    changes: dict[str, Any], kept: list[int], epochs: int | None, plan: GoOn
) -> None:
    assert going_on.resume(Asked(replace(COURSE, **changes), kept, epochs)) == plan


WAITING = replace(COURSE, status="queued")
RUNNING = replace(COURSE, status="running")
LOST = replace(COURSE, status="running", interrupted=True)


@pytest.mark.parametrize(
    ("found", "decision"),
    [
        (Found(WAITING, [3, 2], True, True), Wait()),
        (Found(replace(WAITING, checkpoint=None), [], True, True), Wait()),
        (Found(WAITING, [5, 4], True, True), Interrupt(planned=True)),
        (Found(replace(WAITING, cancel_requested=True), [3], True, True), Cancel()),
        (Found(replace(RUNNING, cancel_requested=True), [3], False, True), Cancel()),
        (Found(RUNNING, [3], True, True), Interrupt(planned=False)),
        (Found(replace(RUNNING, left=True), [3], True, True), Interrupt(planned=True)),
        (Found(LOST, [3], True, True), GoOn(3)),
        (Found(LOST, [], True, True), GoOn(0)),
        (Found(replace(LOST, plan=GoOn(to_epoch=12)), [], True, True), GoOn(0, 12)),
        (Found(LOST, [3], True, False), Fail("the service ended while the job ran")),
        (
            Found(LOST, [3], False, True),
            Fail("the service ended while the job ran, and a process of it cannot be ended"),
        ),
        (
            Found(replace(LOST, fruitless_attempts=3), [3], True, True),
            Fail("the service ended while the job ran, 3 times without a new checkpoint"),
        ),
    ],
)
def test_a_start_of_the_service_decides_on_each_job_that_was_left(found: Found, decision: going_on.Decision) -> None:
    assert going_on.decide(found) == decision


def live(asked: int, choices: bytes) -> World:
    world = World(asked)
    for choice in choices:
        world.turn(choice)
    assert world.told == list(range(1, len(world.told) + 1)), "each epoch once, in order"
    assert world.job.course.done == len(world.told), "the newest checkpoint is of the last epoch that was told"
    return world


QUICK = settings(deadline=None, max_examples=150, suppress_health_check=list(HealthCheck))


@QUICK
@given(st.integers(1, 5), st.binary(max_size=200))
def test_each_epoch_is_told_once_whoever_dies_where(asked: int, choices: bytes) -> None:
    live(asked, choices)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_million_steps_of_many_jobs() -> None:
    counts: Counter[str] = Counter()

    @settings(QUICK, max_examples=2_500)
    @given(st.integers(1, 5), st.binary(min_size=500, max_size=600))
    def many(asked: int, choices: bytes) -> None:
        world = live(asked, choices)
        counts["steps"] += len(choices)
        counts["evaluations"] += world.evaluations

    many()
    assert counts["steps"] >= 1_000_000
    assert counts["evaluations"] > 1_000


def test_a_training_that_begins_anew_goes_to_the_total_that_a_resume_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any] = {}

    class Begun(Exception):
        pass

    def begin(payload: dict[str, Any]) -> None:
        given.update(payload["fit_params"])
        raise Begun

    monkeypatch.setattr("AI.model_trainer.train_from_payload", begin)
    places = dict.fromkeys(("folder", "cache_dir", "datasets_dir", "weights_dir"), tmp_path)
    asked = {"model": "yolo26n.pt", "fit_params": {"data": str(tmp_path), "epochs": 3}, "plan": GoOn(0, 12)}
    spec = TrainSpec(program="", id="x", attempt=3, **asked, **places)  # type: ignore[arg-type]
    with pytest.raises(Begun):
        programs._train(spec, tmp_path, given.update, given.update, bool)  # type: ignore[arg-type]
    assert given["epochs"] == 12
