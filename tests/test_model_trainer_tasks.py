"""One real training of each task, with everything it tells."""

import json
from pathlib import Path
from typing import Any

import pytest

from AI.model_trainer import build_model, train_model
from tests.tiny import TASKS, TINY, make_dataset, tiny_model

pytestmark = pytest.mark.timeout(60)  # it trains

BOX = {"box_loss", "cls_loss", "dfl_loss"}
LOSSES = {
    "detect": BOX,
    "segment": BOX | {"seg_loss", "sem_loss"},
    "classify": {"loss"},
    "pose": BOX | {"pose_loss", "kobj_loss"},
    "obb": BOX | {"angle_loss"},
}
METRICS = {
    "detect": "metrics/mAP50(B)",
    "segment": "metrics/mAP50(M)",
    "classify": "metrics/accuracy_top1",
    "pose": "metrics/mAP50(P)",
    "obb": "metrics/mAP50(B)",
}


def train(task: str, folder: Path, model: Path | None = None) -> list[Any]:
    """All events of one epoch."""
    events = []
    fit_params = {
        "data": make_dataset(folder / "data", task),
        "save_dir": folder / "run",
        "progress_callback": events.append,
        "events": "all",
        "preview": 3,
    }
    train_model(build_model(model or tiny_model(folder, task), TINY), fit_params=fit_params)
    return events


def of(events: list[Any], kind: str) -> list[Any]:
    return [event for event in events if event["event"] == kind]


@pytest.mark.parametrize("task", TASKS)
def test_task_is_trained_with_losses_metrics_and_previews_of_its_own(
    task: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    events = train(task, tmp_path)
    (epoch,) = of(events, "epoch_end")
    assert epoch["train_losses"].keys() == epoch["val_losses"].keys() == LOSSES[task]
    assert METRICS[task] in epoch["metrics"]
    (read,) = of(events, "dataset")
    assert [(split["images"], split["labelled"]) for split in read["splits"].values()] == [(8, 8), (4, 4)]
    assert {each["name"]: each["instances"] for each in read["classes"]} == {
        "red": {"train": 4, "val": 2},
        "green": {"train": 4, "val": 2},
    }
    end = events[-1]
    assert (end["event"], end["reason"]) == ("train_end", "finished")
    assert end["metrics"].keys() == epoch["metrics"].keys()
    (preview,) = of(events, "image")
    assert (preview["kind"], preview["epoch"]) == ("preview", 1)
    assert Path(preview["path"]) == tmp_path / "run" / "previews" / "epoch_0001.jpg"
    for event in events:
        assert json.loads(json.dumps(event, allow_nan=False)) == event
    assert not [record for record in caplog.records if record.name.startswith("AI.")]


def test_losses_of_a_model_without_nms_are_its_own(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = tiny_model(tmp_path)
    model.write_text(f"end2end: True\nreg_max: 1\n{model.read_text()}")
    (epoch,) = of(train("detect", tmp_path, model), "epoch_end")
    assert epoch["train_losses"].keys() == {"box_loss", "cls_loss", "l1_loss"}
    assert not [record for record in caplog.records if record.name.startswith("AI.")]
