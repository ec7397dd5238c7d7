"""The machine of one attempt, in a world of its own: no process, no clock; Hypothesis decides what happens when."""

import math
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.events import FINAL_TYPES
from service.new_events import NewEvent, WorkerEvent
from service.workers import actions as do
from service.workers import inputs as on
from service.workers import steps
from service.workers.actions import Action
from service.workers.attempt import Attempt, Stage
from service.workers.inputs import Input
from service.workers.spec import BEGIN, CANCEL, Bounds
from service.workers.transitions import step
from service.workers.verdict import Exit
from tests import said

COMPLETED: WorkerEvent = {"event": "completed", "reason": "finished"}
FAILED: WorkerEvent = {"event": "failed", "reason": "error", "error": "no such luck"}
EVENTS: list[WorkerEvent] = [
    COMPLETED,
    FAILED,
    said.log("a line"),
    *(said.tick(epoch, batch=1) for epoch in (1, 2)),
    *(said.epoch_end(epoch) for epoch in (1, 2)),
]
EXITS = [Exit(code=0), Exit(code=-9), Exit(code=3), Exit(code=None)]
ANYTHING: list[Input] = [
    *(on.StopAsked(), on.CancelAsked(), on.Abandoned(), on.Rang(), on.NotStarted(), on.Recorded(), on.Printed()),
    *(on.Started(7, "boot:1"), on.QueueEnded(), on.PipesEnded(), on.ForkserverGone(), on.WorkerGone()),
    *(on.Broke("a fault"), on.TimePassed(True), on.TimePassed(False), on.Drained(True), on.Drained(False)),
    *(on.Said(event, 1.0) for event in EVENTS),
    *(on.Cleared(gone, how) for gone in (True, False) for how in EXITS),
]
BOUNDS = [Bounds(), Bounds(stalled_seconds=3.0), Bounds(runtime_seconds=20.0), Bounds(grace_seconds=0.0)]
RANK = {stage: rank for rank, stage in enumerate(Stage)}


class Watched:
    """An attempt, the time, and all that it wanted done; each step is checked."""

    def __init__(self, bounds: Bounds = Bounds()) -> None:  # noqa: B008 (immutable)
        self.attempt = Attempt(bounds=bounds)
        self.now = 1_000.0
        self.published: list[NewEvent] = []
        self.finals: list[NewEvent | None] = []
        self.requests: list[bytes] = []
        self.kill_by = math.inf
        self.steps = 0

    def tell(self, told: Input) -> tuple[Action, ...]:
        before = self.attempt
        self.attempt, actions = step(before, told, self.now)
        self.steps += 1
        assert RANK[self.attempt.stage] >= RANK[before.stage], "no way leads back"
        for name in ("stop", "cancelled", "abandoned", "terminated", "orphaned"):
            assert getattr(self.attempt, name) >= getattr(before, name), f"{name} is not taken back"
        for action in actions:
            self._check(action, before)
        late = isinstance(told, on.Rang) and self.now >= self.kill_by and before.stage is not Stage.OVER
        assert not late or do.Kill() in actions, "SIGTERM is followed by SIGKILL"
        self.kill_by = math.inf if do.Kill() in actions else self.kill_by
        return actions

    def _check(self, action: Action, before: Attempt) -> None:
        match action:
            case do.Publish(event):
                assert not self.finals, "nothing follows the final event"
                assert event["event"] not in FINAL_TYPES, "only Finish ends an attempt"
                self.published.append(event)
            case do.Finish(event):
                assert not self.finals, "there is one final event"
                assert self.attempt.stage is Stage.OVER
                told = event is None or event["event"] == "completed"
                assert told or not self.attempt.abandoned, "the next service decides about an abandoned attempt"
                self.finals.append(event)
            case do.Request(word):
                assert word not in self.requests, "each word is sent once: a pipe that nobody reads is full some day"
                assert word == BEGIN or BEGIN in self.requests, "a worker that has not begun takes the word for its own"
                self.requests.append(word)
            case do.Terminate():
                assert before.cancelled
                self.kill_by = self.now + steps.TERMINATE_SECONDS
                assert self.attempt.signal_at == self.kill_by
            case do.RingAt(time):
                assert self.now <= time == self.attempt.signal_at


def check_end(watched: Watched) -> None:
    assert (watched.attempt.stage is Stage.OVER) == (len(watched.finals) == 1)


@settings(deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(BOUNDS), st.lists(st.tuples(st.sampled_from(ANYTHING), st.sampled_from([0.0, 0.1, 2.0, 11.0]))))
def test_whatever_is_told_there_is_one_end_at_most(bounds: Bounds, told: list[tuple[Input, float]]) -> None:
    """Also what cannot happen: a worker that starts twice, speaks after its death, or never was."""
    watched = Watched(bounds)
    for each, seconds in told:
        watched.now += seconds
        watched.tell(each)
    check_end(watched)


RUNNING = [on.Started(7, "boot:1"), on.Recorded()]


@pytest.mark.parametrize(
    ("told", "event", "reason"),
    [
        ([on.NotStarted()], "failed", "killed"),
        ([on.Broke("no thread"), on.Cleared(True, Exit())], "failed", "internal"),
        ([*RUNNING, on.Broke("no disk"), on.Broke("no end"), on.Broke("no end")], "failed", "internal"),
        (
            [*RUNNING, on.Said(COMPLETED, 1.0), on.PipesEnded(), on.Broke("no end"), on.Broke("no end")],
            "completed",
            "finished",
        ),
        ([*RUNNING, on.Said(FAILED, 1.0), on.PipesEnded(), on.Cleared(True, Exit(code=0))], "failed", "error"),
        ([*RUNNING, on.WorkerGone(), on.PipesEnded(), on.Cleared(True, Exit(code=3))], "failed", "exited"),
        ([*RUNNING, on.WorkerGone(), on.PipesEnded(), on.Cleared(True, Exit(code=-11))], "failed", "crashed"),
        ([*RUNNING, on.WorkerGone(), on.PipesEnded(), on.Cleared(True, Exit(code=-9))], "failed", "killed"),
        ([*RUNNING, on.ForkserverGone(), on.PipesEnded(), on.Cleared(True, Exit(code=0))], "failed", "worker_lost"),
    ],
)
def test_an_end_has_its_reason(told: list[Input], event: str, reason: str) -> None:
    watched = Watched()
    for each in told:
        watched.tell(each)
    (final,) = watched.finals
    assert final is not None
    assert (final["event"], final["reason"]) == (event, reason)


def test_a_slot_is_kept_until_the_processes_are_gone() -> None:
    watched = Watched()
    for each in (*RUNNING, on.WorkerGone(), on.PipesEnded(), on.Cleared(False, Exit(code=-9))):
        last = watched.tell(each)
    assert do.Clear() in last
    assert not watched.finals
    watched.tell(on.Cleared(True, Exit(code=-9)))
    assert len(watched.finals) == 1


class World(Watched):
    """A service, a worker, its forkserver and a disk; each `choice`, a small number, decides what happens next."""

    def __init__(self, bounds: Bounds, habits: int) -> None:
        super().__init__(bounds)
        self.deaf, self.swallows, self.is_stuck, self.has_stranger = (bool(habits & 1 << bit) for bit in range(4))
        self.wanted, self.alive, self.forkserver_alive, self.known_dead = True, False, True, False
        self.words, self.epoch, self.queue_ended, self.told_outcome = 3, 0, False, False
        self.tries = 0
        self.last_outcome: WorkerEvent | None = None
        self.due: list[float] = []
        self.asked_at = math.inf

    def turn(self, choice: int) -> None:
        """One thing that can happen now."""
        moves = self._moves()
        moves[choice % len(moves)](choice // len(moves))

    def _moves(self) -> list[Callable[[int], object]]:
        stage = self.attempt.stage
        always: list[Callable[[int], object]] = [self._wait, self._wait, self._ask]
        if stage is Stage.STARTING:
            return [*always, self._start]
        if stage is Stage.HELD:
            return [*always, lambda choice: self._act(on.Recorded())]
        if stage is Stage.CLEARING or stage is Stage.OVER:
            return always
        reads = [self._speak] * (6 if self.alive else min(self.words, 1))
        ends = [self._die, self._lose_forkserver, self._close_queue] if self.alive else [self._end_pipes]
        return [*always, *reads, *ends, self._notice, lambda choice: self._act(on.Drained(bool(choice & 1)))]

    def _act(self, told: Input) -> None:
        """Tell the machine, and let the world do as it says."""
        for action in self.tell(told):
            match action:
                case do.GiveUp():
                    self.wanted = False
                case do.Request(word) if word == CANCEL:
                    self.alive = self.alive and self.deaf
                case do.Terminate():
                    self.alive = self.alive and self.swallows
                case do.Kill():
                    self.alive = False
                case do.RingAt(time):
                    self.due.append(time)
                case do.Look() if not self.alive:
                    self._act(on.WorkerGone())
                case do.Clear():
                    self.tries, self.alive = self.tries + 1, False
                    gone = not self.is_stuck or self.tries > 3
                    self._act(on.Cleared(gone, Exit(code=-9 if self.forkserver_alive else None)))

    def _wait(self, choice: int) -> None:
        """Time passes; what is due is told."""
        self.now += (0.0, 0.05, 0.3, 1.5, 6.0)[choice % 5]
        for time in [time for time in self.due if time <= self.now]:
            self.due.remove(time)
            self._act(on.Rang())
        self._act(on.TimePassed(heard=bool(choice & 8)))

    def _ask(self, choice: int) -> None:
        asked = [*[on.StopAsked()] * 6, *[on.CancelAsked()] * 3, on.Abandoned(), *[None] * 20][choice % 30]
        if asked is not None:
            self.asked_at = min(self.asked_at, math.inf if isinstance(asked, on.StopAsked) else self.now)
            self._act(asked)

    def _start(self, choice: int) -> None:
        if not self.wanted and choice & 1:
            self._act(on.NotStarted())
        else:
            self.alive = True
            self._act(on.Started(7, "boot:1"))

    def _speak(self, choice: int) -> None:
        self.words -= not self.alive
        if choice % 7 == 6:
            self._act(on.Printed())
        elif not self.queue_ended:
            self.epoch += 1
            event = {**EVENTS[choice % 7], "epoch": self.epoch}
            self.last_outcome = event if event["event"] in FINAL_TYPES else self.last_outcome
            self._act(on.Said(event, 1.0))

    def _die(self, choice: int) -> None:
        self.alive = choice % 4 > 0

    def _notice(self, choice: int) -> None:
        """The sentinel is the forkserver's."""
        if self.forkserver_alive and not self.alive and not self.known_dead:
            self.known_dead = True
            self._act(on.WorkerGone())

    def _lose_forkserver(self, choice: int) -> None:
        if choice % 4 == 0 and self.forkserver_alive:
            self.forkserver_alive = False
            self._act(on.ForkserverGone())

    def _close_queue(self, choice: int) -> None:
        if choice % 4 == 0 and not self.queue_ended:
            self.queue_ended = True
            self._act(on.QueueEnded())

    def _end_pipes(self, choice: int) -> None:
        if not self.has_stranger and self.words == 0:
            self._act(on.PipesEnded())

    def settle(self) -> None:
        """Nobody does anything more, but time passes and the system tells of a death."""
        end_by = self.now + self.attempt.bounds.grace_seconds + steps.TERMINATE_SECONDS + steps.LEAVE_SECONDS + 2
        while self.attempt.stage is not Stage.OVER:
            assert self.now < end_by, "a cancel always ends"
            if self.attempt.stage is Stage.STARTING:
                self._start(1)
            elif self.attempt.stage is Stage.HELD:
                self._act(on.Recorded())
            self._notice(0)
            self.now = max(self.now, min(self.attempt.wake_at, *self.due, self.now + 1))
            self._wait(0)


def check_world(world: World) -> None:
    """Once all is said: what the log has is what the worker said, each once and in order, and one end."""
    epochs = [event["epoch"] for event in world.published if event["event"] in ("tick", "epoch_end")]
    assert epochs == sorted(set(epochs))
    assert [event["event"] for event in world.published].count("started") <= 1
    check_end(world)


def live(bounds: Bounds, habits: int, choices: bytes) -> World:
    world = World(bounds, habits)
    for choice in choices:
        world.turn(choice)
    if not (world.attempt.cancelled or world.attempt.abandoned):
        world.asked_at = world.now
        world._act(on.CancelAsked())
    world.settle()
    check_world(world)
    return world


WORLDS = (st.sampled_from(BOUNDS), st.integers(0, 15), st.binary(max_size=400))
QUICK = settings(deadline=None, max_examples=150, suppress_health_check=list(HealthCheck))


@QUICK
@given(*WORLDS)
def test_a_cancelled_attempt_ends_whatever_its_worker_does(bounds: Bounds, habits: int, choices: bytes) -> None:
    world = live(bounds, habits, choices)
    (final,) = world.finals
    if world.last_outcome is not None and world.last_outcome["event"] == "completed":
        assert final is not None
        assert final["event"] == "completed", "a result that was told is kept"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_million_steps_of_many_attempts() -> None:
    counts: Counter[str] = Counter()

    @settings(QUICK, max_examples=4_000)
    @given(st.sampled_from(BOUNDS), st.integers(0, 15), st.binary(min_size=300, max_size=400))
    def many(bounds: Bounds, habits: int, choices: bytes) -> None:
        counts["steps"] += live(bounds, habits, choices).steps

    many()
    assert counts["steps"] >= 1_000_000
