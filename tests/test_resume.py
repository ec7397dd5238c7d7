"""Going on with a training: kept checkpoints, more epochs, a final evaluation by itself. Real, tiny trainings."""

import csv
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from AI.model_trainer import NothingToResume, build_model, resume_training, train_model
from AI.model_trainer.checkpoints import generations, keep
from tests.tiny import TINY, make_dataset, tiny_model

pytestmark = pytest.mark.timeout(60)  # the first start of a worker imports torch


class Killed(BaseException):
    """Ends a training as a kill would: nothing after it is done."""


class Run:
    """One training that may take several calls, and what it told."""

    def __init__(self, tmp_path: Path) -> None:
        self.data = make_dataset(tmp_path / "set")
        self.model = tiny_model(tmp_path)
        self.folder = tmp_path / "run"
        self.kept = tmp_path / "kept"
        self.events: list[dict[str, Any]] = []
        self.kill_at: tuple[str, int] | None = None

    def fit_params(self, **more: Any) -> dict[str, Any]:
        own = {"events": "all", "checkpoints_dir": self.kept, "progress_callback": self._hear}
        return {"save_dir": str(self.folder), **own, **more}

    def _hear(self, event: dict[str, Any]) -> None:
        self.events.append(event)
        if self.kill_at == (event.get("phase", event["event"]), event["epoch"]):
            self.kill_at = None
            raise Killed

    def train(self, **more: Any) -> Any:
        settings = TINY | {"epochs": 3, "optimizer": "SGD", "seed": 1}
        return train_model(build_model(self.model), fit_params=self.fit_params(data=str(self.data), **settings | more))

    def resume(self, epoch: int | None = None, **more: Any) -> Any:
        finish = more.pop("finish", False)
        chosen = next(g for g in generations(self.kept) if epoch in (None, g.epoch))
        return resume_training(chosen.last, fit_params=self.fit_params(**more), finish=finish)

    def told(self, event: str) -> list[int]:
        return [told["epoch"] for told in self.events if told["event"] == event]

    def rows(self) -> list[int]:
        with (self.folder / "results.csv").open() as table:
            return [int(row["epoch"]) for row in csv.DictReader(table)]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


def load(path: Path) -> dict[str, Any]:
    from ultralytics.nn.tasks import torch_safe_load

    return torch_safe_load(path, safe_only=True)[0]


def test_the_newest_two_checkpoints_are_kept_whole(run: Run) -> None:
    run.kill_at = ("finishing", 3)
    with pytest.raises(Killed):
        run.train()
    assert [generation.epoch for generation in generations(run.kept)] == [3, 2]
    kept = [Path(event["kept"]) for event in run.events if event["event"] == "checkpoint"]
    assert kept[-1] == generations(run.kept)[0].last
    for generation in generations(run.kept):
        state = load(generation.last)
        assert state["epoch"] == generation.epoch - 1
        assert state["optimizer"] is not None
        assert load(generation.folder / "best.pt")["epoch"] < generation.epoch


def test_an_ended_run_keeps_what_more_epochs_need(run: Run) -> None:
    run.train()
    [generation] = generations(run.kept)
    assert generation.epoch == 3
    assert load(generation.last)["optimizer"] is not None, "the end of the run has stripped its own files only"
    assert load(run.folder / "weights" / "last.pt")["optimizer"] is None


@pytest.mark.parametrize("at", [("epoch_end", 2), ("checkpoint", 2), ("validating", 2)])
def test_an_interrupted_run_goes_on_with_each_epoch_once(run: Run, at: tuple[str, int]) -> None:
    run.kill_at = at
    with pytest.raises(Killed):
        run.train()
    done = max(run.told("epoch_end"), default=0)
    (run.folder / "results.csv").write_text((run.folder / "results.csv").read_text() + "3,half a r")
    (run.folder / "weights" / "last.pt").write_bytes(b"half a file")
    _, score = run.resume(done)
    assert run.told("epoch_end") == [1, 2, 3] == run.rows()
    end = run.events[-1]
    assert (end["event"], end["reason"], end["score"]) == ("train_end", "finished", pytest.approx(score))
    assert load(generations(run.kept)[0].last)["train_args"]["optimizer"] == "SGD"


def test_the_optimizer_and_the_learning_rate_go_on(run: Run, tmp_path: Path) -> None:
    run.kill_at = ("epoch_end", 2)
    with pytest.raises(Killed):
        run.train(lr0=0.01, lrf=0.1, warmup_epochs=0)
    before = load(generations(run.kept)[0].last)
    run.resume()
    whole = Run(tmp_path / "whole")
    whole.train(lr0=0.01, lrf=0.1, warmup_epochs=0)
    rates = [[event["lr"] for event in each.events if event["event"] == "epoch_end"] for each in (run, whole)]
    assert rates[0] == rates[1]
    assert load(generations(run.kept)[0].last)["updates"] > before["updates"]


def test_a_finished_run_goes_on_for_more_epochs_only(run: Run) -> None:
    run.train()
    with pytest.raises(NothingToResume, match="3 epochs are done"):
        run.resume()
    with pytest.raises(NothingToResume, match="more than 3"):
        run.resume(epochs=3)
    run.events.clear()
    model, _ = run.resume(epochs=5)
    assert run.told("epoch_end") == [4, 5]
    assert run.rows() == [1, 2, 3, 4, 5]
    assert {event["total_epochs"] for event in run.events} == {5}
    assert "epochs: 5" in (run.folder / "args.yaml").read_text()
    assert model.save_dir == run.folder
    assert load(run.folder / "weights" / "best.pt")["train_args"]["epochs"] in (3, 5)


def test_what_a_run_left_at_its_end_cannot_be_gone_on_from(run: Run) -> None:
    run.train(epochs=1)
    with pytest.raises(NothingToResume, match="optimizer"):
        resume_training(run.folder / "weights" / "last.pt", fit_params={"epochs": 9})
    with pytest.raises(FileNotFoundError):
        resume_training(run.folder / "nothing.pt")


@pytest.mark.parametrize(("stopped", "reason"), [(False, "finished"), (True, "stopped")])
def test_a_final_evaluation_that_was_cut_off_is_done_by_itself(run: Run, stopped: bool, reason: str) -> None:
    run.kill_at = ("finishing", 3)
    with pytest.raises(Killed):
        run.train(plots=True)
    os.truncate(run.folder / "weights" / "best.pt", 100)  # killed while it was written
    told = len(run.events)
    model, score = run.resume(finish=True, should_stop=lambda: stopped)
    assert not [event for event in run.events[told:] if event["event"] in ("epoch_end", "checkpoint")]
    assert {event["total_epochs"] for event in run.events[told:]} == {3}
    end = run.events[-1]
    assert (end["event"], end["reason"], end["score"]) == ("train_end", reason, pytest.approx(score))
    assert run.rows() == [1, 2, 3]
    assert load(run.folder / "weights" / "last.pt")["optimizer"] is None
    assert (run.folder / "results.png").exists()
    assert model.final_metrics == end["metrics"]
    assert model.ckpt["train_args"]["epochs"] == 3


@pytest.fixture
def _worse_and_worse(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first epoch is the best one."""
    from ultralytics.utils.torch_utils import EarlyStopping

    stock = EarlyStopping.__call__
    monkeypatch.setattr(EarlyStopping, "__call__", lambda stopper, epoch, _: stock(stopper, epoch, 1 / epoch))


@pytest.mark.usefixtures("_worse_and_worse")
def test_a_run_that_was_stopped_early_gets_its_patience_anew(run: Run) -> None:
    run.train(epochs=9, patience=2)
    assert run.told("epoch_end") == [1, 2, 3]
    run.resume()
    assert run.told("epoch_end") == [1, 2, 3, 4, 5], "without the renewal it would have ended after epoch 4"
    assert run.events[-1]["reason"] == "early_stopped"
    [resumed] = [event for event in run.events if event["event"] == "resumed"]
    assert "gets its patience anew" in resumed["reason"]


@pytest.mark.usefixtures("_worse_and_worse")
def test_a_run_that_was_killed_as_it_was_about_to_stop_early_stops(run: Run) -> None:
    run.kill_at = ("epoch_end", 3)
    with pytest.raises(Killed):
        run.train(epochs=9, patience=2)
    run.resume()
    assert run.told("epoch_end") == [1, 2, 3] == run.rows()
    assert run.events[-1]["reason"] == "early_stopped"
    [resumed] = [event for event in run.events if event["event"] == "resumed"]
    assert resumed["exact"]


def test_a_stop_after_the_epoch_trains_it_to_its_end_and_can_be_gone_on_from(run: Run) -> None:
    run.train(should_stop=lambda: True, stop_after_epoch=True, batch=2)
    assert (run.told("epoch_end"), run.events[-1]["reason"]) == ([1], "stopped")
    run.resume()
    assert (run.told("epoch_end"), run.events[-1]["reason"]) == ([1, 2, 3], "finished")


def test_a_copy_that_cannot_be_written_is_not_told_of_and_does_not_end_the_training(
    run: Run, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfileobj", full)
    run.train()
    assert (run.told("epoch_end"), run.told("checkpoint"), generations(run.kept)) == ([1, 2, 3], [], [])
    assert "No space left" in caplog.text


@pytest.mark.parametrize("left", ["", "epoch", "epoch,time,rest\n1,0.1,0.2\n2,0.1,0.2\n1"])
def test_a_table_that_a_power_cut_or_a_full_disk_left_does_not_end_a_run(run: Run, left: str) -> None:
    run.kill_at = ("epoch_end", 2)
    with pytest.raises(Killed):
        run.train()
    (run.folder / "results.csv").write_text(left)
    run.resume()
    assert run.told("epoch_end") == [1, 2, 3]
    assert run.rows() == ([1, 2, 3] if "," in left else [3])
    assert "1,0.1,0.2" in (run.folder / "results.csv").read_text() or "," not in left


def test_more_epochs_are_not_cut_short_by_the_time_that_the_run_once_had(run: Run) -> None:
    run.train(epochs=100, time=0.0002)
    assert run.events[-1]["reason"] == "time_limit"
    done = run.told("epoch_end")[-1]
    run.resume(epochs=done + 3)
    assert run.told("epoch_end") == list(range(1, done + 4))
    assert run.events[-1]["reason"] == "finished"


def test_the_best_weights_survive_that_their_own_copy_failed(tmp_path: Path) -> None:
    last, best, kept = (tmp_path / name for name in ("last.pt", "best.pt", "kept"))
    for epoch in (1, 2):
        last.write_text(f"epoch {epoch}")
        if epoch == 1:
            keep(kept, epoch, last, None)
    best.write_text("epoch 2")  # improved, and the disk was full
    last.write_text("epoch 3")
    assert (keep(kept, 3, last, best).folder / "best.pt").read_text() == "epoch 2"
    best.unlink()
    assert (keep(kept, 4, last, best).folder / "best.pt").read_text() == "epoch 2", "the one before is the same file"
