import logging
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from AI.model_trainer import UnknownArgument, build_model, train_from_payload, train_model
from tests.tiny import TINY, make_dataset, tiny_model

pytestmark = pytest.mark.timeout(60)  # the first start of a worker imports torch


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def trained(data: Path, tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, float | None]:
    """A model after one epoch, and its score."""
    fit_params = {"data": data, "save_dir": tmp_path_factory.mktemp("trained")}
    return train_model(build_model(tiny, TINY), fit_params=fit_params)


def fit(model: Any, data: Path, save_dir: Path, **fit_params: Any) -> list[Any]:
    """Train, and return all events."""
    events = []
    train_model(
        model, fit_params={"data": data, "save_dir": save_dir, "progress_callback": events.append, **fit_params}
    )
    return events


def of(events: list[Any], kind: str) -> list[Any]:
    return [event for event in events if event["event"] == kind]


# The front door


def test_payload_is_trained(data: Path, tiny: Path, tmp_path: Path) -> None:
    events = []
    payload = {
        "model": str(tiny),
        "hyperparameters": TINY,
        "fit_params": {"data": str(data), "save_dir": str(tmp_path / "run"), "progress_callback": events.append},
    }
    model, score = train_from_payload(payload)
    assert isinstance(score, float)
    assert model.save_dir == tmp_path / "run"
    assert set(model.final_metrics) == {f"metrics/{name}(B)" for name in ("precision", "recall", "mAP50", "mAP50-95")}
    end = events[-1]
    assert (end["event"], end["score"], end["metrics"]) == ("train_end", score, model.final_metrics)
    assert Path(end["weights"]["best"]).is_file()


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"model": "yolov8n.yaml"},
        {"fit_params": {"data": "data.yaml"}},
        {"model": "yolov8n.yaml", "fit_params": {"data": "data.yaml"}, "hyperparameter": {"epochs": 3}},
    ],
)
def test_payload_with_wrong_parts_is_refused(payload: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="payload"):
        train_from_payload(payload)


@pytest.mark.parametrize("fit_params", [{}, {"data": None}, {"data": ""}, {"data": ["a.yaml", "b.yaml"]}, "data.yaml"])
def test_data_is_required_before_a_model_is_built(fit_params: Any) -> None:
    with pytest.raises(ValueError, match="data"):
        train_from_payload({"model": "no-such-model", "fit_params": fit_params})


def test_data_among_the_hyperparameters_is_not_enough(trained: tuple[Any, float | None]) -> None:
    with pytest.raises(ValueError, match="fit_params needs data"):
        train_model(trained[0], fit_params={})


def test_fit_params_win_over_hyperparameters(data: Path, tiny: Path, tmp_path: Path) -> None:
    model = build_model(tiny, {**TINY, "epochs": 5, "seed": 3})
    events = fit(model, data, tmp_path, epochs=2)
    assert len(of(events, "epoch_end")) == 2
    assert model.trainer.args.seed == 3


def test_estimator_arguments_are_ignored(data: Path, tiny: Path, tmp_path: Path) -> None:
    model = build_model(tiny, TINY)
    assert train_model(model, object(), object(), fit_params={"data": data, "save_dir": tmp_path})[0] is model


def test_unknown_argument_names_the_nearest_one(
    data: Path, trained: tuple[Any, float | None], caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(UnknownArgument, match="'epoch' is not a training argument; did you mean 'epochs'") as caught:
        train_model(trained[0], fit_params={"data": data, "epoch": 3})
    assert (caught.value.name, caught.value.suggestion) == ("epoch", "epochs")
    assert "Arguments received" not in caplog.text  # the help of Ultralytics' command line


def test_unknown_hyperparameter_is_refused_before_a_model_is_built() -> None:
    with pytest.raises(UnknownArgument) as caught:
        build_model("no-such-model", {"zzzz": 1})
    assert caught.value.suggestion is None


def test_model_is_not_for_fit_params_to_choose(data: Path, trained: tuple[Any, float | None]) -> None:
    with pytest.raises(ValueError, match="build_model"):
        train_model(trained[0], fit_params={"data": data, "model": "yolov8x.yaml"})


def test_old_names_of_arguments_still_work(data: Path, tiny: Path, tmp_path: Path) -> None:
    fit(build_model(tiny, {**TINY, "label_smoothing": 0.0}), data, tmp_path, half=False)


@pytest.mark.parametrize(
    "option",
    [
        {"tick_interval": 0},
        {"tick_interval": float("nan")},
        {"tick_interval": float("inf")},
        {"tick_interval": 10**400},
        {"tick_interval": "1"},
        {"tick_interval": True},
        {"threads": 0},
        {"threads": "many"},
        {"threads": True},
        {"progress_callback": "print"},
        {"should_stop": 1},
        {"events": "everything"},
        {"events": ["all"]},
        {"preview": -1},
        {"preview": 33},
        {"preview": True},
        {"preview": 1.0},
        {"weights_dir": ""},
        {"weights_dir": 3},
        {"offline": 1},
    ],
)
def test_option_out_of_range_is_refused(option: Any, data: Path, trained: tuple[Any, float | None]) -> None:
    with pytest.raises(ValueError, match=next(iter(option))):
        train_model(trained[0], fit_params={"data": data, **option})


def test_what_ultralytics_refuses_is_raised_and_leaves_nothing_behind(
    trained: tuple[Any, float | None], tmp_path: Path
) -> None:
    model, _ = trained
    before = {event: list(hooks) for event, hooks in model.callbacks.items()}
    with pytest.raises(RuntimeError, match=r"missing\.yaml"):
        fit(model, tmp_path / "missing.yaml", tmp_path / "run")
    assert {event: list(hooks) for event, hooks in model.callbacks.items()} == before
    assert "progress-ticks" not in {thread.name for thread in threading.enumerate()}


# Models


def test_weights_are_loaded_from_a_path(trained: tuple[Any, float | None]) -> None:
    model = build_model(trained[0].save_dir / "weights" / "best.pt")
    assert model.names == {0: "red", 1: "green"}


def test_packaged_model_file_gives_random_weights() -> None:
    assert build_model("yolov8n.yaml").task == "detect"


def test_packaged_model_file_of_rt_detr_is_one_of_detection() -> None:
    assert build_model("rtdetr-resnet50.yaml").task == "detect"


@pytest.mark.slow
def test_rt_detr_is_trained(data: Path, tmp_path: Path) -> None:
    events = fit(build_model("rtdetr-resnet50.yaml", TINY), data, tmp_path, imgsz=64, preview=2, deterministic=False)
    assert of(events, "epoch_end")[0]["train_losses"].keys() == {"giou_loss", "cls_loss", "l1_loss"}
    assert (tmp_path / "previews" / "epoch_0001.jpg").is_file()


@pytest.mark.parametrize(("name", "error"), [("", ValueError), (" ", ValueError), ("nonsense", FileNotFoundError)])
def test_no_such_model(name: str, error: str) -> None:
    with pytest.raises(error):
        build_model(name)


# Again and elsewhere


def test_model_can_be_trained_twice(data: Path, tiny: Path, tmp_path: Path) -> None:
    model = build_model(tiny, TINY)
    before = {event: list(hooks) for event, hooks in model.callbacks.items()}
    first = fit(model, data, tmp_path / "1", epochs=2)
    second = fit(model, data, tmp_path / "2", epochs=3)
    assert [event["epoch"] for event in of(first, "epoch_end")] == [1, 2]
    assert [event["epoch"] for event in of(second, "epoch_end")] == [1, 2, 3]
    assert {event["save_dir"] for event in second} == {str(tmp_path / "2")}
    assert {event: list(hooks) for event, hooks in model.callbacks.items()} == before


def test_callers_own_callbacks_are_kept(data: Path, tiny: Path, tmp_path: Path) -> None:
    model = build_model(tiny, TINY)
    ends = []
    model.add_callback("on_train_end", ends.append)
    fit(model, data, tmp_path)
    assert len(ends) == 1
    assert ends.append in model.callbacks["on_train_end"]


def test_training_works_in_a_thread(data: Path, tiny: Path, tmp_path: Path) -> None:
    events = []
    thread = threading.Thread(target=lambda: events.extend(fit(build_model(tiny, TINY), data, tmp_path)))
    thread.start()
    thread.join()
    assert events[-1]["reason"] == "finished"


def test_import_is_cheap() -> None:
    program = "import sys, AI.model_trainer; print(sorted({'numpy', 'torch', 'ultralytics'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "[]\n"


# Stopping


def test_stop_asked_for_during_setup_ends_after_the_first_batch(data: Path, tiny: Path, tmp_path: Path) -> None:
    model = build_model(tiny, TINY)
    batches = []
    model.add_callback("on_train_batch_end", lambda _: batches.append(1))
    events = fit(model, data, tmp_path, epochs=1000, should_stop=lambda: True)
    end = events[-1]
    assert len(batches) == 1
    assert (end["event"], end["reason"], end["epoch"], end["total_epochs"]) == ("train_end", "stopped", 1, 1000)
    assert len(of(events, "epoch_end")) == 1
    assert Path(end["weights"]["last"]).is_file()


def test_stop_asked_for_during_validation_starts_no_other_epoch(data: Path, tiny: Path, tmp_path: Path) -> None:
    model = build_model(tiny, TINY)
    asked = threading.Event()
    model.add_callback("on_val_start", lambda _: asked.set())
    events = fit(model, data, tmp_path, epochs=1000, should_stop=asked.is_set)
    assert events[-1]["reason"] == "stopped"
    assert [event["epoch"] for event in of(events, "epoch_end")] == [1]


def test_stop_keeps_weights_even_if_only_the_last_epoch_is_saved(data: Path, tiny: Path, tmp_path: Path) -> None:
    events = fit(build_model(tiny, TINY), data, tmp_path, epochs=9, save=False, should_stop=lambda: True)
    assert Path(events[-1]["weights"]["best"]).is_file()


def test_stop_after_the_last_batch_of_all_changes_nothing(data: Path, tiny: Path, tmp_path: Path) -> None:
    model = build_model(tiny, TINY)
    batches = []
    model.add_callback("on_train_batch_end", lambda _: batches.append(1))
    events = fit(model, data, tmp_path, epochs=2, should_stop=lambda: len(batches) == 4)
    assert events[-1]["reason"] == "finished"


def test_should_stop_that_raises_counts_as_no_and_is_logged_once(
    data: Path, tiny: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> None:
        raise OSError("pipe closed")

    events = fit(build_model(tiny, TINY), data, tmp_path, epochs=2, should_stop=broken)
    assert events[-1]["reason"] == "finished"
    ours = [record for record in caplog.records if record.name.startswith("AI.")]
    assert [(record.levelno, record.action) for record in ours] == [(logging.ERROR, "should_stop")]
