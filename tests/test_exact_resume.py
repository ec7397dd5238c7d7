"""A training that was killed ends as one that was not, bit for bit. Real, tiny trainings, killed after their epochs."""

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ultralytics.engine.trainer import BaseTrainer
from ultralytics.utils.torch_utils import EarlyStopping

from AI.model_trainer import build_model, resume_training, train_model
from AI.model_trainer.checkpoints import EXACT, generations
from AI.model_trainer.ultralytics import exact_state, random_numbers
from tests.exact_cases import CASES
from tests.results import Result, result
from tests.tiny import TINY, make_dataset, tiny_model

pytestmark = pytest.mark.timeout(120)  # several trainings each

EPOCHS = 5
#: Those of any user of the library, and what the service decides on by itself.
ALL = {
    **CASES,
    "all threads": {"optimizer": "SGD", "threads": "all"},
    "previews": {"optimizer": "SGD", "plots": True, "preview": 2, "tick_interval": 0.01, "close_mosaic": 1},
}
#: They stand for the others in `make test`.
FIRST = ("sgd", "adamw", "workers", "classify")


class Killed(BaseException):
    """Ends a training as a kill would: nothing after it is done."""


class Training:
    """One training in a folder of its own, in as many attempts as it takes."""

    def __init__(self, folder: Path, task: str = "detect", **arguments: Any) -> None:
        folder.mkdir()
        self.folder, self.run, self.kept = folder, folder / "run", folder / "kept"
        self.data = make_dataset(folder / "set", task, train=10)
        self._model = tiny_model(folder, task)
        self.told: list[dict[str, Any]] = []
        self._kills: list[int] = []
        places = {"data": str(self.data), "save_dir": str(self.run), "checkpoints_dir": self.kept}
        ours = {name: arguments.pop(name) for name in ("threads", "preview", "tick_interval") if name in arguments}
        self._own = {"events": "all", "progress_callback": self._hear, **places, **ours}
        self._arguments = {**TINY, "epochs": EPOCHS, "seed": 1, **arguments}

    def _hear(self, event: dict[str, Any]) -> None:
        self.told.append(event)
        if event["event"] == "epoch_end" and self._kills and event["epoch"] == self._kills[0]:
            del self._kills[0]
            raise Killed

    def train(self, kills: Sequence[int] = (), **more: Any) -> "Training":
        """Kill it after these epochs; it goes on each time but the last."""
        self._kills = list(kills)
        try:
            train_model(build_model(self._model), fit_params={**self._arguments, **self._own, **more})
        except Killed:
            if self._kills:
                self.resume()
        return self

    def resume(self, **more: Any) -> "Training":
        random.seed(99)  # a new process has other random numbers
        np.random.seed(99)
        torch.manual_seed(99)
        try:
            newest = generations(self.kept)[0]
            finish = newest.epoch == EPOCHS and "epochs" not in more
            resume_training(newest.last, fit_params={**self._own, **more}, finish=finish)
        except Killed:
            if self._kills:
                self.resume()
        return self

    def result(self) -> Result:
        return result(self.run)

    @property
    def verdicts(self) -> list[tuple[int, bool, str | None]]:
        return [(event["after_epoch"], event["exact"], event["reason"]) for event in self.told if "exact" in event]


Obey = Callable[[int], None]


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> Obey:
    """Have so many processes load the data. Ultralytics uses none on a CPU, whatever it is asked for."""

    def obey(number: int) -> None:
        def get_dataset(trainer: Any) -> Any:
            trainer.args.workers = number
            return stock(trainer)

        monkeypatch.setattr(BaseTrainer, "get_dataset", get_dataset)

    stock = BaseTrainer.get_dataset
    return obey


def killed_is_whole(tmp_path: Path, case: str, workers: Obey, places: Sequence[Sequence[int]]) -> None:
    arguments = dict(ALL[case])
    workers(arguments.pop("workers", 0))
    whole = Training(tmp_path / "whole", **arguments).train().result()
    for kills in places:
        folder = tmp_path / "-".join(map(str, kills))
        training = Training(folder, **arguments).train(kills).resume()
        assert training.result() == whole, f"killed after {kills}"
        assert training.verdicts == [(epoch, True, None) for epoch in kills]


@pytest.mark.parametrize("case", FIRST)
def test_a_killed_training_ends_as_one_that_was_not(case: str, tmp_path: Path, workers: Obey) -> None:
    killed_is_whole(tmp_path, case, workers, [(1, 3)])


@pytest.mark.slow
@pytest.mark.parametrize("case", ALL)
def test_a_training_may_be_killed_after_any_epoch(
    case: str, tmp_path: Path, workers: Obey, monkeypatch: pytest.MonkeyPatch
) -> None:
    if case == "patience":  # the second epoch is the best one
        stock = EarlyStopping.__call__
        worse = {1: 0.1, 2: 0.9}
        monkeypatch.setattr(EarlyStopping, "__call__", lambda own, epoch, _: stock(own, epoch, worse.get(epoch, 0.2)))
    last = 4 if case == "patience" else EPOCHS
    killed_is_whole(tmp_path, case, workers, [*((epoch,) for epoch in range(1, last + 1)), tuple(range(1, last))])


def test_keeping_the_state_changes_nothing(tmp_path: Path) -> None:
    watched = Training(tmp_path / "watched", optimizer="AdamW", nbs=16).train()
    stock = Training(tmp_path / "stock", optimizer="AdamW", nbs=16)
    stock.train(checkpoints_dir=None, events="progress")
    assert watched.result() == stock.result()
    assert not stock.kept.exists()


# What cannot be exact says so, and goes on all the same


@pytest.fixture
def killed(tmp_path: Path) -> Training:
    return Training(tmp_path / "killed", optimizer="SGD").train([2])


def goes_on(training: Training, reason: str, **more: Any) -> None:
    training.resume(**more)
    [(after, exact, why)] = training.verdicts
    assert (after, exact) == (2, False)
    assert why is not None
    assert reason in why
    assert [event["epoch"] for event in training.told if event["event"] == "epoch_end"][:3] == [1, 2, 3]


def test_without_the_state(killed: Training) -> None:
    (generations(killed.kept)[0].folder / EXACT).unlink()
    goes_on(killed, "there is no exact.pt beside the checkpoint")


@pytest.mark.parametrize("damage", [b"", b"half a file", b"PK\x03\x04"])
def test_with_a_damaged_state(killed: Training, damage: bytes) -> None:
    (generations(killed.kept)[0].folder / EXACT).write_bytes(damage)
    goes_on(killed, "exact.pt beside the checkpoint cannot be used: it is damaged")


def test_with_code_in_the_state(killed: Training, tmp_path: Path) -> None:
    class Hostile:
        def __reduce__(self) -> Any:
            return (tmp_path / "ran").touch, ()

    torch.save({"version": Hostile()}, generations(killed.kept)[0].folder / EXACT)
    goes_on(killed, "holds more than plain data")
    assert not (tmp_path / "ran").exists()


def test_with_the_state_of_another_epoch(killed: Training) -> None:
    newest, older = generations(killed.kept)
    (newest.folder / EXACT).write_bytes((older.folder / EXACT).read_bytes())
    goes_on(killed, "it is of epoch 1")


def test_with_more_threads(killed: Training) -> None:
    goes_on(killed, "torch's threads: 1 before, 3 now", threads=3)


def test_with_more_epochs(killed: Training) -> None:
    goes_on(killed, "epochs: 5 before, 6 now", epochs=6)


def test_with_other_images(killed: Training) -> None:
    next(iter(sorted((killed.folder / "set").rglob("train/*.txt")))).unlink()
    for cache in (killed.folder / "set").rglob("*.cache*"):
        cache.unlink()
    goes_on(killed, "the dataset's images and labels")


def test_with_another_number_of_workers(killed: Training, workers: Obey) -> None:
    workers(2)
    goes_on(killed, "dataloader workers: 0 before, 2 now")


def test_with_another_version(killed: Training) -> None:
    path = generations(killed.kept)[0].folder / EXACT
    state: Any = exact_state.load(path)
    state["conditions"]["machine"]["Ultralytics"] = "8.4.1"
    torch.save(state, path)
    goes_on(killed, "Ultralytics: 8.4.1 before")


def test_with_a_limit_of_time(tmp_path: Path) -> None:
    training = Training(tmp_path / "timed", optimizer="SGD", time=1.0).train([2])
    goes_on(training, "with `time` the clock decides", time=0.0001)


def test_data_may_have_been_moved(killed: Training, tmp_path: Path) -> None:
    whole = Training(tmp_path / "whole", optimizer="SGD").train()
    moved = (killed.folder / "set").rename(tmp_path / "moved")
    yaml = moved / "data.yaml"
    yaml.write_text(yaml.read_text().replace(str(killed.folder / "set"), str(moved)))
    killed.resume(data=str(yaml))
    assert killed.verdicts == [(2, True, None)]
    assert killed.result() == whole.result()


def test_a_state_that_cannot_be_read_from_a_training_is_no_reason_to_end_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no such thing")

    monkeypatch.setattr(exact_state, "read", fail)
    training = Training(tmp_path / "run", optimizer="SGD").train()
    assert [generation.epoch for generation in generations(training.kept)] == [5]
    assert not list(training.kept.rglob(EXACT))
    assert "a resume from this epoch will not be exact" in caplog.text


def test_a_state_for_which_there_is_no_room_is_no_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(exact_state, "write", full)
    training = Training(tmp_path / "run", optimizer="SGD").train()
    assert not generations(training.kept)
    assert "checkpoint" not in {event["event"] for event in training.told}


def test_random_numbers_go_on() -> None:
    def draw() -> list[float]:
        return [random.random(), random.gauss(), float(np.random.normal()), float(torch.rand(1))]

    draw()
    state = random_numbers.read()
    expected = [draw(), draw()]
    draw()
    random_numbers.put_back(state)
    assert [draw(), draw()] == expected
