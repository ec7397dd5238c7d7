"""The finer events: phases, checkpoints and plot_files."""

import threading
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from AI.model_trainer import build_model, train_model
from AI.model_trainer.listener import Listener
from AI.model_trainer.ultralytics import plot_files
from tests.tiny import TINY, make_dataset, tiny_model

pytestmark = pytest.mark.timeout(60)  # it trains


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("data"))


@pytest.fixture
def model(tmp_path: Path) -> Any:
    return build_model(tiny_model(tmp_path), {**TINY, "events": "all"})


def fit(model: Any, data: Path, save_dir: Path, **fit_params: Any) -> list[Any]:
    """Train and return the events."""
    events = []
    own = {"data": data, "save_dir": save_dir, "progress_callback": events.append}
    train_model(model, fit_params={**own, **fit_params})
    return events


def of(events: list[Any], kind: str) -> list[Any]:
    return [event for event in events if event["event"] == kind]


def kinds(events: list[Any]) -> list[str]:
    return [event["event"] for event in events if event["event"] != "tick"]


# Phases


def test_phases_come_as_they_change(model: Any, data: Path, tmp_path: Path) -> None:
    events = fit(model, data, tmp_path / "run", epochs=2)
    assert [(event["phase"], event["epoch"]) for event in of(events, "phase")] == [
        ("checking_data", 0),
        ("training", 0),
        ("validating", 1),
        ("training", 2),
        ("validating", 2),
        ("finishing", 2),
    ]
    assert events[0]["phase"] == "checking_data"
    for event in events:
        assert event.keys() >= {"event", "epoch", "total_epochs", "metrics", "save_dir"}


def test_training_goes_on_without_a_validation_between(model: Any, data: Path, tmp_path: Path) -> None:
    events = fit(model, data, tmp_path / "run", epochs=3, val=False)
    phases = [event["phase"] for event in of(events, "phase")]
    assert phases == ["checking_data", "training", "validating", "finishing"]  # the last epoch is always validated


# Checkpoints


def test_checkpoint_is_on_the_disk_when_it_is_told(model: Any, data: Path, tmp_path: Path) -> None:
    checkpoints = []

    def hear(event: Any) -> None:
        if event["event"] == "checkpoint":
            checkpoints.append(event)
            paths = filter(None, (event["last"], event["best"]))
            lengths.extend((Path(path).stat().st_size, event["size_bytes"]) for path in paths)

    lengths = []
    # Nothing will be better than the first epoch.
    model.add_callback("on_fit_epoch_end", lambda trainer: setattr(trainer, "best_fitness", 2.0))
    fit(model, data, tmp_path / "run", epochs=2, progress_callback=hear)
    weights = tmp_path / "run" / "weights"
    assert [(event["epoch"], event["last"], event["best"]) for event in checkpoints] == [
        (1, str(weights / "last.pt"), str(weights / "best.pt")),
        (2, str(weights / "last.pt"), None),
    ]
    assert all(real == told for real, told in lengths)
    assert len(lengths) == 3
    for event in checkpoints:
        assert isinstance(event["fitness"], float)
        assert "metrics/mAP50(B)" in event["metrics"]  # of the validation just before


def test_what_is_not_saved_has_no_checkpoint(model: Any, data: Path, tmp_path: Path) -> None:
    events = fit(model, data, tmp_path / "run", epochs=2, save=False)
    assert [event["epoch"] for event in of(events, "checkpoint")] == [2]  # the last epoch is always saved


# Pictures


def test_every_picture_is_told_once_and_is_whole_by_then(model: Any, data: Path, tmp_path: Path) -> None:
    told = []

    def hear(event: Any) -> None:
        assert told == [] or told[-1]["event"] != "train_end"
        told.append(event)
        if event["event"] == "image":
            with Image.open(event["path"]) as image:
                image.load()
                sizes.append((image.width, image.height) == (event["width"], event["height"]))
            sizes.append(Path(event["path"]).stat().st_size == event["size_bytes"])

    sizes = []
    fit(model, data, tmp_path / "run", epochs=2, plots=True, preview=2, progress_callback=hear)
    found = {path for path in (tmp_path / "run").rglob("*") if path.suffix in (".jpg", ".png")}
    images = of(told, "image")
    assert sorted(event["path"] for event in images) == sorted(map(str, found))
    assert all(sizes)
    assert len(sizes) == 2 * len(found)
    assert {event["kind"] for event in images} == {
        *("labels", "train_batch", "val_labels", "val_predictions"),
        *("curve", "confusion_matrix", "results", "preview"),
    }
    assert {event["name"]: event["epoch"] for event in images if event["kind"] in ("labels", "preview", "results")} == {
        "labels.jpg": 0,
        "epoch_0001.jpg": 1,
        "epoch_0002.jpg": 2,
        "results.png": 2,
    }
    assert kinds(told)[-1] == "train_end"


def test_picture_that_is_late_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ultralytics.utils import plotting

    class Late(plotting.Annotator):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            assert trained.wait(60)
            super().__init__(*args, **kwargs)

    trained = threading.Event()
    monkeypatch.setattr(plotting, "Annotator", Late)
    model = build_model(tiny_model(tmp_path, "classify"), {**TINY, "events": "all"})  # draws no curves: quick
    model.add_callback("on_train_end", lambda _: trained.set())
    events = fit(model, make_dataset(tmp_path / "data", "classify"), tmp_path / "run", plots=True)
    assert {event["name"] for event in of(events, "image")} >= {"train_batch0.jpg", "val_batch0_pred.jpg"}
    assert kinds(events)[-1] == "train_end"


def test_training_that_fails_tells_nothing_afterwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ultralytics.utils import plotting

    class Late(plotting.Annotator):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            assert over.wait(60)
            super().__init__(*args, **kwargs)

    def fail(_: object) -> None:
        raise RuntimeError("boom")

    over, events = threading.Event(), []
    monkeypatch.setattr(plotting, "Annotator", Late)
    model = build_model(tiny_model(tmp_path, "classify"), {**TINY, "events": "all"})
    model.add_callback("on_val_start", fail)
    with pytest.raises(RuntimeError, match="boom"):
        fit(
            model,
            make_dataset(tmp_path / "data", "classify"),
            tmp_path / "run",
            plots=True,
            progress_callback=events.append,
        )
    count = len(events)
    over.set()
    plot_files.wait_for_writers()
    assert (tmp_path / "run" / "train_batch0.jpg").exists()
    assert len(events) == count
    assert not of(events, "image")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("labels.jpg", "labels"),
        ("train_batch12.jpg", "train_batch"),
        ("val_batch2_labels.jpg", "val_labels"),
        ("val_batch2_pred.jpg", "val_predictions"),
        ("MaskPR_curve.png", "curve"),
        ("confusion_matrix_normalized.png", "confusion_matrix"),
        ("results.png", "results"),
        ("epoch_0001.jpg", "preview"),
        ("iou_bars.png", "other"),
    ],
)
def test_kind_of_a_picture_is_known_by_its_name(name: str, kind: str) -> None:
    assert plot_files.kind_of(name) == kind


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_half_a_picture_is_none(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"picture{suffix}"
    Image.effect_noise((64, 48), 50).convert("RGB").save(path)
    whole = path.read_bytes()
    size = plot_files.measure(path)
    assert size is not None
    assert (size.width, size.height, size.size_bytes) == (64, 48, len(whole))
    for length in (0, 1, 20, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        assert plot_files.measure(path) is None


def test_what_is_no_picture_is_none(tmp_path: Path) -> None:
    assert plot_files.measure(tmp_path / "missing.png") is None
    (tmp_path / "text.png").write_text("not one")
    assert plot_files.measure(tmp_path / "text.png") is None
    (tmp_path / "text.jpg").write_bytes(b"not one\xff\xd9")
    assert plot_files.measure(tmp_path / "text.jpg") is None
    (tmp_path / "data.csv").write_text("1,2")
    assert plot_files.measure(tmp_path / "data.csv") is None


# The listener


def test_listener_hears_nothing_once_it_is_closed() -> None:
    heard = []
    listener = Listener(heard.append)
    listener.tell({"event": "a"})
    listener.close()
    listener.close()
    listener.tell({"event": "b"})
    assert heard == [{"event": "a"}]


# Classes


def test_the_final_evaluation_is_told_class_by_class_before_the_end(model: Any, data: Path, tmp_path: Path) -> None:
    events = fit(model, data, tmp_path / "run")
    (results,) = of(events, "class_results")
    assert kinds(events)[-2:] == ["class_results", "train_end"]
    assert [(each["name"], each["images"], each["instances"]) for each in results["classes"]] == [
        ("red", 2, 2),
        ("green", 2, 2),
    ]
    for each in results["classes"]:
        assert all(0 <= each[name] <= 1 for name in ("precision", "recall", "map50", "map50_95"))


def test_a_classification_has_no_results_by_class(tmp_path: Path) -> None:
    model = build_model(tiny_model(tmp_path, "classify"), {**TINY, "events": "all"})
    events = fit(model, make_dataset(tmp_path / "set", "classify"), tmp_path / "run")
    assert of(events, "class_results") == []
