"""What Ultralytics calls back with, as facts."""

import logging
import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from AI.model_trainer.complaint import Complaint
from AI.model_trainer.ultralytics import hooks
from AI.model_trainer.ultralytics.hooks import Hooks, Saved

TRAINER: dict[str, Any] = {"epoch": 4, "last": Path("last.pt"), "best": Path("best.pt"), "metrics": {}}


def fire(wanted: Hooks, *events: str, **trainer: Any) -> None:
    for event in events:
        for name, hook in wanted:
            if name == event:
                hook(SimpleNamespace(**TRAINER | trainer))


@pytest.mark.parametrize(
    ("fitness", "best", "improved"), [(0.5, 0.5, True), (0.4, 0.5, False), (0.0, 0.0, True), (None, None, True)]
)
def test_a_checkpoint_is_the_best_one_as_ultralytics_sees_it(
    fitness: float | None, best: float | None, improved: bool
) -> None:
    told: list[Saved] = []
    fire(hooks.saved(told.append), "on_model_save", fitness=fitness, best_fitness=best)
    assert told == [Saved(5, improved, Path("last.pt"), Path("best.pt"), fitness, {})]


def test_ultralytics_writes_the_best_one_under_that_condition(tmp_path: Path) -> None:
    """Its own `save_model`, with and without a better epoch."""
    import torch
    from ultralytics.engine.trainer import BaseTrainer

    for fitness, improved in ((0.5, True), (0.4, False)):
        best = tmp_path / f"{fitness}.pt"
        trainer = SimpleNamespace(
            **TRAINER | {"last": tmp_path / "last.pt", "best": best},
            fitness=fitness,
            best_fitness=0.5,
            stopper=SimpleNamespace(best_fitness=0.5, best_epoch=1),
            save_period=-1,
            wdir=tmp_path,
            ema=SimpleNamespace(ema=torch.nn.Linear(1, 1), updates=0),
            optimizer=torch.optim.SGD([torch.zeros(1)]),
            scaler=SimpleNamespace(state_dict=dict),
            args=SimpleNamespace(),
            read_results_csv=dict,
        )
        BaseTrainer.save_model(trainer)
        assert best.exists() is improved


def test_an_epoch_ends_once_and_the_final_evaluation_is_none() -> None:
    epochs: list[int] = []
    wanted = hooks.epoch_ended(lambda trainer: epochs.append(trainer.epoch))
    fire(wanted, "on_train_epoch_start", "on_train_epoch_start", "on_fit_epoch_end", epoch=0)  # a pass was repeated
    fire(wanted, "on_train_epoch_start", "on_fit_epoch_end", epoch=1)
    fire(wanted, "on_fit_epoch_end", epoch=2)
    assert epochs == [0, 1]


def test_hooks_can_be_sent_to_another_process() -> None:
    ((_, hook),) = hooks.saved(print)
    assert pickle.loads(pickle.dumps(hook)) == hook


def test_parts_are_called_in_their_order() -> None:
    first, second = (SimpleNamespace(hooks=lambda name=name: [(name, print)]) for name in ("first", "second"))
    assert [event for event, _ in hooks.of([first, second])] == ["first", "second"]


def test_what_fails_again_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    complaint = Complaint(logging.getLogger("parts"), "it failed", "part")
    for _ in range(3):
        try:
            raise ValueError("broken")
        except ValueError:
            complaint.make()
    (record,) = caplog.records
    assert (record.message, record.action, record.exc_info is not None) == ("it failed", "part", True)
