import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from AI.model_trainer import build_model, train_model
from AI.model_trainer.ultralytics import previews
from AI.model_trainer.ultralytics.previews import Previews
from tests.tiny import TASKS, TINY, make_dataset, tiny_model

pytestmark = pytest.mark.timeout(60)  # it trains


def fit(folder: Path, task: str = "detect", run: Path = "run", model: Any = None, **fit_params: Any) -> Path:
    """Train for two epochs; returns the run's folder."""
    data = folder / "data" / task
    if not data.exists():
        make_dataset(data, task, train=16, val=5)
    data = data if task == "classify" else data / "data.yaml"
    model = model or build_model(tiny_model(folder, task), TINY)
    train_model(model, fit_params={"data": data, "save_dir": folder / run, "epochs": 2, **fit_params})
    return folder / run


def rows(run: Path) -> list[list[str]]:
    """results.csv without the column of times."""
    return [
        [cell for i, cell in enumerate(line.split(",")) if i != 1]
        for line in (run / "results.csv").read_text().splitlines()
    ]


def weights(run: Path) -> dict[str, Any]:
    import torch

    return torch.load(run / "weights" / "last.pt", weights_only=False)["model"].state_dict()


def pixels(path: Path) -> np.ndarray[Any, Any]:
    with Image.open(path) as image:
        return np.asarray(image)


def ours(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.name.startswith("AI.")]


@pytest.mark.parametrize("task", ["detect", "classify"])
@pytest.mark.parametrize("val", [True, False])
def test_training_is_the_same_with_and_without(
    task: str, val: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    options = {"epochs": 3, "mosaic": 1.0, "close_mosaic": 0, "degrees": 10.0, "erasing": 0.9, "lr0": 0.1, "val": val}
    plain = fit(tmp_path, task, "plain", optimizer="SGD", **options)
    watched = fit(tmp_path, task, "watched", optimizer="SGD", preview=5, **options)
    assert rows(plain) == rows(watched)
    first, second = weights(plain), weights(watched)
    assert all((first[name] == second[name]).all() for name in first)
    assert len(list((watched / "previews").iterdir())) == 3
    assert not ours(caplog)


def test_random_numbers_go_on_as_if_nothing_had_happened() -> None:
    import random

    import torch

    def draw() -> tuple[float, ...]:
        return random.random(), np.random.random(), torch.rand(1).item()

    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    expected = [draw(), draw()]
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    drawn = [draw()]
    with previews._undisturbed(torch.device("cpu")):
        draw()
        np.random.seed(7)
    assert [*drawn, draw()] == expected


def test_one_file_for_each_epoch_and_nothing_beside_it(tmp_path: Path) -> None:
    run = fit(tmp_path, preview=2)
    assert sorted(path.name for path in (run / "previews").iterdir()) == ["epoch_0001.jpg", "epoch_0002.jpg"]


def test_none_are_drawn_unless_asked_for(tmp_path: Path) -> None:
    assert Previews(0).hooks() == []
    assert not (fit(tmp_path) / "previews").exists()


def test_more_images_than_there_are_gives_all_there_are(tmp_path: Path) -> None:
    picture = pixels(fit(tmp_path, preview=32) / "previews" / "epoch_0001.jpg")
    # Five images of 32 pixels, enlarged to 256, three by three with some places empty, twice.
    assert picture.shape == (768, 2 * 768 + 8, 3)


def test_large_pictures_are_bounded(tmp_path: Path) -> None:
    picture = pixels(fit(tmp_path, imgsz=640, epochs=1, preview=4) / "previews" / "epoch_0001.jpg")
    assert picture.shape == (960, 2 * 960 + 8, 3)


def test_images_of_any_shape_are_drawn(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = make_dataset(tmp_path / "data" / "detect").parent
    for number, size in enumerate([(96, 32), (32, 64), (50, 20)]):
        path = data / "images" / "val" / f"{number}.png"
        Image.fromarray(pixels(path)).resize(size).save(path)
    fit(tmp_path, preview=4)
    assert not ours(caplog)


@pytest.mark.parametrize("task", TASKS)
def test_labels_lie_left_and_predictions_right(
    task: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def draw_both(trainer: Any) -> None:
        for confidence in (0.0, 1.0):
            monkeypatch.setattr(previews, "_CONFIDENCE", confidence)
            images = previews._Images(trainer, 3)
            drawn.append((images.labels, images.predictions(trainer.ema.ema)))

    drawn = []
    model = build_model(tiny_model(tmp_path, task), TINY)
    model.add_callback("on_train_epoch_end", draw_both)
    run = fit(tmp_path, task, model=model, epochs=1, preview=3)
    (labels, everything), (same_labels, nothing) = drawn
    assert (labels == same_labels).all()
    assert labels.shape == everything.shape == nothing.shape
    assert (labels != everything).any()
    if task == "classify":  # has a prediction for every image, however unsure
        assert (everything == nothing).all()
    else:
        assert (everything != nothing).any()
    # JPEG loses a little, but not so much.
    left = pixels(run / "previews" / "epoch_0001.jpg")[:, : labels.shape[1]].astype(int)
    assert np.abs(left - labels).mean() < 10
    assert not ours(caplog)


def test_mistake_is_logged_once_and_the_training_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def mistaken(*_: object) -> None:
        raise AttributeError("no such attribute in this version")

    monkeypatch.setattr(previews, "_to_draw", mistaken)
    run = fit(tmp_path, preview=2)
    assert len(rows(run)) == 3
    assert [(record.levelno, record.action) for record in ours(caplog)] == [(logging.ERROR, "preview")]


def test_broken_validation_image_is_no_end_of_a_training(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = make_dataset(tmp_path / "data" / "detect").parent
    model = build_model(tiny_model(tmp_path), TINY)
    # After the epoch's validation has read it for the last time.
    model.add_callback("on_val_end", lambda _: [path.unlink() for path in (data / "images" / "val").glob("*.png")])
    fit(tmp_path, model=model, epochs=1, cache="ram", preview=2)  # held in memory: nothing is read again
    assert not ours(caplog)


def test_task_that_cannot_be_drawn_is_said_so(caplog: pytest.LogCaptureFixture) -> None:
    hooks = dict(Previews(4).hooks())
    added = []
    trainer = SimpleNamespace(args=SimpleNamespace(task="depth"), add_callback=lambda *hook: added.append(hook))
    hooks["on_pretrain_routine_start"](trainer)
    assert added == []
    assert [record.getMessage() for record in ours(caplog)] == ["no previews for depth"]


def test_previews_of_a_resumed_training_go_on_counting(tmp_path: Path) -> None:
    def fail(trainer: Any) -> None:
        if trainer.epoch == 1:
            raise KeyboardInterrupt

    model = build_model(tiny_model(tmp_path), TINY)
    model.add_callback("on_train_batch_end", fail)
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path, model=model, preview=1)
    run = fit(tmp_path, model=build_model(tmp_path / "run" / "weights" / "last.pt"), resume=True, preview=1)
    assert sorted(Path(path).stem for path in (run / "previews").iterdir()) == ["epoch_0001", "epoch_0002"]
