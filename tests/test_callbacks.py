import json
import logging
import pickle
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from AI.model_trainer import build_model, train_model
from AI.model_trainer.events import numbers
from AI.model_trainer.progress_state import Moment
from AI.model_trainer.ultralytics.amp_check import AmpCheck
from AI.model_trainer.ultralytics.previews import Previews
from AI.model_trainer.ultralytics.progress_events import Progress
from AI.model_trainer.ultralytics.stopping import GracefulStop
from AI.model_trainer.ultralytics.thread_count import ThreadCount
from tests.tiny import TINY, make_dataset, tiny_model

pytestmark = pytest.mark.timeout(60)  # the first start of a worker imports torch

LOSSES = {"box_loss", "cls_loss", "dfl_loss"}
METRICS = {f"metrics/{name}(B)" for name in ("precision", "recall", "mAP50", "mAP50-95")}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("model"))


@pytest.fixture
def model(tiny: Path) -> Any:
    return build_model(tiny, TINY)


@pytest.fixture
def fit(data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Callable[..., Any]:
    """Train and return the events; nothing may have gone wrong in the reporting."""

    def fit(model: Any, **fit_params: Any) -> list[Any]:
        events = []
        own = {"data": data, "save_dir": tmp_path / "run", "progress_callback": events.append}
        train_model(model, fit_params={**own, **fit_params})
        assert not [record for record in caplog.records if record.name.startswith("AI.")]
        return events

    return fit


def of(events: list[Any], kind: str) -> list[Any]:
    return [event for event in events if event["event"] == kind]


def epochs(events: list[Any]) -> list[int]:
    return [event["epoch"] for event in of(events, "epoch_end")]


def once(action: str) -> Callable[[Any], Any]:
    """A callback that acts the first time only."""
    left = [action]
    return lambda source: left.pop()(source) if left else None


# What an event holds


def test_every_event_is_json_with_the_five_keys(model: Any, fit: Callable[..., Any], tmp_path: Path) -> None:
    events = fit(model, epochs=2)
    for event in events:
        assert json.loads(json.dumps(event, allow_nan=False)) == event
        assert event.keys() >= {"event", "epoch", "total_epochs", "metrics", "save_dir"}
        assert (event["total_epochs"], event["save_dir"]) == (2, str(tmp_path / "run"))
    kinds = [event["event"] for event in events]
    assert kinds[0] == "tick"
    assert [kind for kind in kinds if kind != "tick"] == ["epoch_end", "epoch_end", "train_end"]
    assert kinds[-1] == "train_end"


def test_epoch_end_tells_what_results_csv_has(model: Any, fit: Callable[..., Any], tmp_path: Path) -> None:
    import polars as pl

    events = of(fit(model, epochs=3), "epoch_end")
    rows = pl.read_csv(tmp_path / "run" / "results.csv").to_dicts()
    assert len(events) == len(rows) == 3
    for event, row in zip(events, rows, strict=True):
        told = {
            "epoch": event["epoch"],
            **{f"train/{name}": value for name, value in event["train_losses"].items()},
            **{f"val/{name}": value for name, value in event["val_losses"].items()},
            **event["metrics"],
            **event["lr"],
        }
        told = {name: float(f"{value:.6g}") for name, value in told.items()}
        assert told == {name: value for name, value in row.items() if name != "time"}
        assert event["epoch_seconds"] > 0
        assert event["images_per_second"] > 0


def test_train_end_tells_the_outcome(model: Any, fit: Callable[..., Any], tmp_path: Path) -> None:
    events = fit(model, epochs=2)
    end = events[-1]
    weights = tmp_path / "run" / "weights"
    assert end["weights"] == {"best": str(weights / "best.pt"), "last": str(weights / "last.pt")}
    assert end["metrics"].keys() == METRICS
    assert end["reason"] == "finished"
    assert end["score"] == model.metrics.fitness
    fitness = [event["fitness"] for event in of(events, "epoch_end")]
    assert fitness[end["best_epoch"] - 1] == max(fitness)
    assert end["elapsed_seconds"] >= sum(event["epoch_seconds"] for event in of(events, "epoch_end"))


def test_numbers_that_are_none_become_null(model: Any, fit: Callable[..., Any]) -> None:
    def spoil(trainer: Any) -> None:
        trainer.tloss = {name: value * float("nan") for name, value in trainer.tloss.items()}

    model.add_callback("on_train_epoch_end", spoil)
    assert of(fit(model), "epoch_end")[0]["train_losses"] == dict.fromkeys(LOSSES)


def test_numbers_of_any_library_become_floats() -> None:
    import numpy as np
    import torch

    values = {"a": np.float32(0.5), "b": torch.tensor(0.25), "c": 1, "d": float("-inf"), "e": None}
    assert numbers(values) == {"a": 0.5, "b": 0.25, "c": 1.0, "d": None, "e": None}


def test_epoch_that_was_not_validated_has_no_metrics(model: Any, fit: Callable[..., Any]) -> None:
    first, last = of(fit(model, epochs=2, val=False), "epoch_end")
    assert (first["metrics"], first["val_losses"], first["fitness"]) == ({}, {}, None)
    assert last["metrics"].keys() == METRICS  # Ultralytics validates the last one in any case


# Ticks


def test_ticks_come_while_a_batch_and_a_validation_are_slow(model: Any, fit: Callable[..., Any]) -> None:
    ticks = []
    fresh = threading.Event()

    def hear(event: Any) -> None:
        if event["event"] == "tick":
            ticks.append(event)
            fresh.set()

    def wait_for_ticks(_: object) -> None:
        for _ in range(2):  # the first one may have been on its way already
            fresh.clear()
            assert fresh.wait(30)
        marks.append(len(ticks) - 1)

    marks = []
    for event in ("on_pretrain_routine_end", "on_train_batch_start", "on_val_start"):
        model.add_callback(event, once(wait_for_ticks))
    fit(model, tick_interval=0.01, progress_callback=hear)
    setup, before_batch, validating = (ticks[mark] for mark in marks)
    assert (setup["epoch"], setup["batches"], setup["remaining_seconds"], setup["losses"]) == (0, None, None, {})
    assert (before_batch["epoch"], before_batch["batch"], before_batch["batches"]) == (1, 0, 2)
    assert (validating["epoch"], validating["batch"], validating["batches"]) == (1, 2, 2)
    assert validating["losses"].keys() == LOSSES
    assert "lr/pg0" in validating["lr"]
    assert validating["images_per_second"] > 0
    assert validating["remaining_seconds"] is not None
    assert validating["elapsed_seconds"] > setup["elapsed_seconds"]


def test_calls_come_from_two_threads_but_never_overlap(model: Any, fit: Callable[..., Any]) -> None:
    busy = threading.Lock()
    threads = {}

    def hear(event: Any) -> None:
        assert busy.acquire(blocking=False)
        threads.setdefault(event["event"], set()).add(threading.current_thread())
        busy.release()

    fit(model, epochs=3, tick_interval=0.001, progress_callback=hear)
    assert threads["epoch_end"] == threads["train_end"] == {threading.current_thread()}
    (ticker,) = threads["tick"]
    assert ticker.daemon
    assert not ticker.is_alive()


# Epochs that do not go to plan


def test_epoch_repeated_after_nan_is_reported_once(model: Any, fit: Callable[..., Any]) -> None:
    def spoil(trainer: Any) -> None:
        if trainer.epoch == 1:
            passes.append(trainer.epoch)
            if len(passes) == 1:
                trainer.loss = trainer.loss * float("nan")

    passes = []
    model.add_callback("on_train_epoch_end", spoil)
    assert epochs(fit(model, epochs=3)) == [1, 2, 3]
    assert len(passes) == 2


def test_epoch_repeated_with_a_smaller_batch_is_reported_once(model: Any, fit: Callable[..., Any]) -> None:
    def exhaust(trainer: Any) -> None:
        def fail(batch: Any) -> None:
            trainer.preprocess_batch = preprocess
            raise RuntimeError("CUDA out of memory")

        preprocess, trainer.preprocess_batch = trainer.preprocess_batch, fail

    batches = []
    model.add_callback("on_train_start", exhaust)
    model.add_callback("on_train_epoch_start", lambda trainer: batches.append(len(trainer.train_loader)))
    assert epochs(fit(model, epochs=2)) == [1, 2]
    assert batches == [2, 4, 4]


def test_time_limit_changes_the_number_of_epochs(model: Any, fit: Callable[..., Any]) -> None:
    events = fit(model, epochs=1000, time=0.4 / 3600)
    ends = of(events, "epoch_end")
    assert epochs(events) == list(range(1, len(ends) + 1))
    assert all(event["epoch"] <= event["total_epochs"] < 1000 for event in ends)
    assert events[-1]["reason"] == "time_limit"
    assert events[-1]["total_epochs"] == ends[-1]["total_epochs"]


def test_time_limit_that_was_not_needed(model: Any, fit: Callable[..., Any]) -> None:
    assert fit(model, epochs=1, time=1.0)[-1]["reason"] == "finished"


def test_early_stopping(model: Any, fit: Callable[..., Any]) -> None:
    def be_satisfied(trainer: Any) -> None:  # no later epoch can be better
        trainer.stopper.best_fitness, trainer.stopper.best_epoch = 2.0, 1

    model.add_callback("on_fit_epoch_end", once(be_satisfied))
    events = fit(model, epochs=10, patience=2)
    assert epochs(events) == [1, 2, 3]
    assert (events[-1]["reason"], events[-1]["epoch"], events[-1]["total_epochs"]) == ("early_stopped", 3, 10)


def test_stop_by_a_callback_of_the_callers_own(model: Any, fit: Callable[..., Any]) -> None:
    model.add_callback("on_fit_epoch_end", lambda trainer: setattr(trainer, "stop", True))
    events = fit(model, epochs=10)
    assert (epochs(events), events[-1]["reason"]) == ([1], "stopped")


def test_resumed_training_goes_on_counting(model: Any, fit: Callable[..., Any], tmp_path: Path) -> None:
    def fail(trainer: Any) -> None:
        if trainer.epoch == 1:
            raise KeyboardInterrupt

    model.add_callback("on_train_batch_end", fail)
    with pytest.raises(KeyboardInterrupt):
        fit(model, epochs=4)
    last = build_model(tmp_path / "run" / "weights" / "last.pt")
    events = fit(last, resume=True)
    assert epochs(events) == [2, 3, 4]
    assert (events[-1]["total_epochs"], events[-1]["reason"]) == (4, "finished")


def test_training_that_fails_has_no_train_end_and_no_more_ticks(model: Any, data: Path, tmp_path: Path) -> None:
    def fail(_: object) -> None:
        raise RuntimeError("boom")

    events = []
    model.add_callback("on_val_start", fail)
    with pytest.raises(RuntimeError, match="boom"):
        fit_params = {"data": data, "save_dir": tmp_path, "progress_callback": events.append}
        train_model(model, fit_params=fit_params)
    assert {event["event"] for event in events} == {"tick"}
    assert "progress-ticks" not in {thread.name for thread in threading.enumerate()}


# Reporting that does not go to plan


def test_callback_that_raises_is_logged_once_and_asked_again(
    model: Any, data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kinds = []

    def broken(event: Any) -> None:
        kinds.append(event["event"])
        raise OSError("pipe closed")

    fit_params = {"data": data, "save_dir": tmp_path, "progress_callback": broken, "tick_interval": 0.01, "epochs": 2}
    train_model(model, fit_params=fit_params)
    assert [kind for kind in kinds if kind != "tick"] == ["epoch_end", "epoch_end", "train_end"]
    ours = [record for record in caplog.records if record.name.startswith("AI.")]
    assert [(record.levelno, record.action) for record in ours] == [(logging.ERROR, "progress")]


def test_training_survives_a_mistake_in_the_reporting(
    model: Any, data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def mistaken(_: object) -> None:
        raise AttributeError("no such attribute in this version")

    events = []
    monkeypatch.setattr("AI.model_trainer.ultralytics.progress_events._losses", mistaken)
    train_model(model, fit_params={"data": data, "save_dir": tmp_path, "progress_callback": events.append})
    assert [event["event"] for event in events if event["event"] != "tick"] == ["epoch_end", "train_end"]
    assert len([record for record in caplog.records if record.name.startswith("AI.")]) == 1


def test_nothing_is_hooked_in_when_nobody_listens() -> None:
    assert Progress(None, 1.0, GracefulStop(None)).hooks() == []


def test_callback_may_change_what_it_gets(model: Any, fit: Callable[..., Any]) -> None:
    def clear(event: Any) -> None:
        metrics.append(event["metrics"].copy())
        event["metrics"].clear()

    metrics = []
    fit(model, epochs=1, tick_interval=0.001, progress_callback=clear)
    assert metrics[-1].keys() == METRICS


# With several GPUs


def test_hooks_can_be_sent_to_the_processes_of_a_multi_gpu_run(tmp_path: Path) -> None:
    stop = GracefulStop(bool)
    parts = (ThreadCount("all"), AmpCheck(tmp_path, False), stop, Progress(print, 1.0, stop, True), Previews(4))
    hooks = [hook for part in parts for hook in part.hooks()]
    assert len(hooks) == 8
    assert [event for event, _ in pickle.loads(pickle.dumps(hooks))] == [event for event, _ in hooks]


def test_stop_is_asked_for_after_epochs_only_with_several_gpus(tmp_path: Path) -> None:
    hooks = dict(GracefulStop(lambda: True).hooks())
    trainer = SimpleNamespace(
        world_size=2, stop=False, epoch=0, epochs=9, train_loader=[1, 2], last=tmp_path, args=SimpleNamespace(save=True)
    )
    hooks["on_train_epoch_start"](trainer)
    hooks["on_train_batch_end"](trainer)
    assert not trainer.stop  # one rank alone would leave the others waiting for it
    hooks["on_fit_epoch_end"](trainer)
    assert trainer.stop


# What is left to do

NOW = 1000.0


def test_remaining_time_is_unknown_before_the_first_batch() -> None:
    assert Moment(began=0, total_epochs=10).remaining_seconds(NOW) is None
    assert Moment(began=0, total_epochs=10, epoch=1, batches=8, pass_began=NOW).remaining_seconds(NOW) is None


def test_remaining_time_in_the_first_epoch_is_that_of_its_batches() -> None:
    moment = Moment(0, 3, epoch=1, batch=4, batches=8, pass_began=NOW - 8, batch_ended=NOW)
    assert moment.remaining_seconds(NOW) == 2.0 * (4 + 8 + 8)
    assert moment.remaining_seconds(NOW + 1) == 2.0 * (4 + 8 + 8) - 1


@pytest.mark.parametrize(
    ("seconds_since", "remaining"),
    [(0, 70.0), (4, 66.0), (10, 60.0), (50, 60.0)],  # an epoch that is late takes nothing from those after it
)
def test_remaining_time_later_is_that_of_whole_epochs(seconds_since: Any, remaining: float | None) -> None:
    moment = Moment(0, 10, epoch=4, completed=3, epoch_ended=NOW, first_epoch_began=NOW - 30)
    assert moment.remaining_seconds(NOW + seconds_since) == remaining


def test_remaining_time_of_a_resumed_training_goes_by_its_own_epochs() -> None:
    moment = Moment(0, 10, epoch=9, began_after=6, completed=8, epoch_ended=NOW, first_epoch_began=NOW - 10)
    assert moment.remaining_seconds(NOW) == 10.0


def test_nothing_remains_after_the_last_epoch() -> None:
    moment = Moment(0, 3, epoch=3, completed=3, epoch_ended=NOW, first_epoch_began=NOW - 30)
    assert moment.remaining_seconds(NOW + 5) == 0.0


def test_remaining_time_with_a_limit_is_the_rest_of_it() -> None:
    moment = Moment(0, 1000, epoch=1, deadline=NOW + 60)
    assert moment.remaining_seconds(NOW) == 60.0
    assert moment.remaining_seconds(NOW + 61) == 0.0
