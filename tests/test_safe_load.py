"""Files that would run code if they were loaded as Ultralytics loads them; each says so by a file of its own."""

import os
import pickle
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from AI.model_trainer import build_model, resume_training, train_from_payload, train_model
from AI.model_trainer.checkpoints import generations
from AI.model_trainer.errors import ForeignWeights, UnsafeFile
from AI.model_trainer.ultralytics.safe_load import restricted
from tests.tiny import TINY, make_dataset, tiny_model

pytestmark = pytest.mark.timeout(60)  # the first start of a worker imports torch


class Bomb:
    """Unpickled, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.path,)


@pytest.fixture
def proof(tmp_path: Path) -> Path:
    """Where hostile code leaves its trace."""
    return tmp_path / "executed"


@pytest.fixture(params=["zip", "pickle"])
def weights(request: pytest.FixtureRequest, tmp_path: Path, proof: Path) -> Path:
    """Hostile weights, as `torch.save` writes them and as a plain pickle."""
    path = tmp_path / "hostile.pt"
    if request.param == "zip":
        torch.save({"model": Bomb(proof)}, path)
    else:
        path.write_bytes(pickle.dumps({"model": Bomb(proof)}, protocol=2))
    return path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return make_dataset(tmp_path / "data")


def edited(tmp_path: Path, **changes: str) -> Path:
    """The tiny model with lines changed."""
    path = tiny_model(tmp_path)
    text = path.read_text()
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new, 1)
    path.write_text(text)
    return path


# Weights


def test_hostile_weights_are_not_run(weights: Path, proof: Path) -> None:
    with pytest.raises(TypeError, match="outside the supported"):
        build_model(weights, safe=True)
    assert not proof.exists()


def test_they_would_be_run_otherwise(weights: Path, proof: Path) -> None:
    with pytest.raises(Exception):  # noqa: B017
        build_model(weights)
    assert proof.exists()


@pytest.mark.parametrize("name", ["pretrained", "distill_model"])
def test_hostile_weights_are_not_run_as_an_argument(
    name: str, weights: Path, proof: Path, data: Path, tmp_path: Path
) -> None:
    fit_params = {"data": data, "save_dir": tmp_path / "run", "safe": True, name: str(weights)}
    with pytest.raises(TypeError, match="outside the supported"):
        train_from_payload({"model": tiny_model(tmp_path), "hyperparameters": TINY, "fit_params": fit_params})
    assert not proof.exists()


def test_hostile_weights_are_not_run_in_a_resume(weights: Path, proof: Path, data: Path, tmp_path: Path) -> None:
    model = build_model(tiny_model(tmp_path), TINY, safe=True)
    with pytest.raises((TypeError, FileNotFoundError)):
        train_model(model, fit_params={"data": data, "save_dir": tmp_path / "run", "resume": str(weights)})
    assert not proof.exists()


def test_hostile_weights_are_not_run_when_a_training_goes_on(weights: Path, proof: Path) -> None:
    with pytest.raises(TypeError, match="outside the supported"):
        resume_training(weights, fit_params={"safe": True})
    assert not proof.exists()


def test_a_training_whose_checkpoint_is_data_goes_on(data: Path, tmp_path: Path) -> None:
    model = build_model(tiny_model(tmp_path), TINY | {"epochs": 2}, safe=True)
    fit_params = {"data": data, "save_dir": tmp_path / "run", "checkpoints_dir": tmp_path / "kept"}
    train_model(model, fit_params=fit_params)
    (kept, *_) = generations(tmp_path / "kept")
    again, _ = resume_training(kept.last, fit_params={"safe": True, "epochs": 3})
    assert again.trainer.epoch == 2


@pytest.mark.parametrize("file", ["last.pt", "best.pt"])
@pytest.mark.parametrize("safe", [True, False])
def test_hostile_weights_are_not_run_when_the_last_ones_are_stripped(
    file: str, safe: bool, weights: Path, proof: Path, data: Path, tmp_path: Path
) -> None:
    """They are put in the place of the training's own just before its end."""
    model = build_model(tiny_model(tmp_path), TINY, safe=safe)

    def replace(trainer: Any) -> None:
        os.replace(weights, trainer.wdir / file)

    model.add_callback("on_model_save", replace)
    error = None
    try:
        train_model(model, fit_params={"data": data, "save_dir": tmp_path / "run"})
    except Exception as caught:
        error = caught
    assert proof.exists() is not safe, error


def test_a_training_whose_weights_are_data_does_all_it_does_otherwise(data: Path, tmp_path: Path) -> None:
    _, score = train_from_payload(
        {
            "model": tiny_model(tmp_path),
            "hyperparameters": TINY | {"epochs": 2, "safe": True},
            "fit_params": {"data": data, "save_dir": tmp_path / "run"},
        }
    )
    best = tmp_path / "run" / "weights" / "best.pt"
    assert torch.load(best, weights_only=False)["optimizer"] is None, "stripped"
    assert not list(data.parent.rglob("*.cache"))
    again, same = train_from_payload(
        {
            "model": best,
            "hyperparameters": TINY | {"safe": True},
            "fit_params": {"data": data, "save_dir": tmp_path / "again"},
        }
    )
    assert again.save_dir == tmp_path / "again"
    assert isinstance(score, float)
    assert isinstance(same, float)


# Model files


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("nc: 2", "nc: 2\nactivation: __import__('os').mkdir({proof!r})"),
        ("nc: 2", "nc: 2\nactivation: torch.nn.SiLU(__import__('os').mkdir({proof!r}))"),
        ("Conv, [8, 3, 2]", "check_requirements, [[]]"),
        ("Conv, [8, 3, 2]", "nn.init.xavier_uniform_, [8]"),
    ],
)
def test_a_hostile_model_file_is_not_run(old: str, new: str, proof: Path, tmp_path: Path) -> None:
    path = edited(tmp_path, **{old: new.format(proof=str(proof))})
    with pytest.raises((TypeError, KeyError, AttributeError)):
        build_model(path, safe=True)
    assert not proof.exists()


def test_a_layer_gets_no_weights_from_the_net(tmp_path: Path) -> None:
    path = tmp_path / "model.yaml"
    layers = "backbone: [[-1, 1, TorchVision, [512, resnet18, {weights}, True, 2]]]\nhead: [[-1, 1, Classify, [nc]]]\n"
    path.write_text("nc: 2\n" + layers.format(weights="DEFAULT"))
    with pytest.raises(ForeignWeights, match=r"https://download\.pytorch\.org/.*: downloading is disabled"):
        build_model(path, safe=True)
    path.write_text("nc: 2\n" + layers.format(weights="null"))
    build_model(path, safe=True)


def test_it_would_be_run_otherwise(proof: Path, tmp_path: Path) -> None:
    from ultralytics.nn.modules import Conv

    activation = Conv.default_act
    path = edited(tmp_path, **{"nc: 2": f"nc: 2\nactivation: __import__('os').mkdir({str(proof)!r})"})
    try:
        build_model(path)
    except Exception:
        pass
    finally:
        Conv.default_act = activation
    assert proof.exists()


def test_an_activation_that_is_one_is_taken(tmp_path: Path) -> None:
    path = edited(tmp_path, **{"nc: 2": "nc: 2\nactivation: torch.nn.LeakyReLU(0.2)"})
    assert build_model(path, safe=True).model.model[0].act.negative_slope == 0.2


# Datasets


@pytest.mark.parametrize("command", ["bash {script}", "import os; os.mkdir({proof!r})"])
@pytest.mark.parametrize("safe", [True, False])
def test_a_dataset_s_download_is_not_run(command: str, safe: bool, proof: Path, data: Path, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text(f"mkdir {proof}\n")
    download = command.format(proof=str(proof), script=script)
    data.write_text(data.read_text().replace("images/val", "images/nothing") + f"download: {download!r}\n")
    model = build_model(tiny_model(tmp_path), TINY, safe=safe)
    with pytest.raises(Exception, match="nothing"):
        train_model(model, fit_params={"data": data, "save_dir": tmp_path / "run"})
    assert proof.exists() is not safe


def test_a_planted_label_cache_is_neither_run_nor_removed(proof: Path, data: Path, tmp_path: Path) -> None:
    planted = data.parent / "labels" / "train.cache"
    with open(planted, "wb") as file:
        np.save(file, np.array(Bomb(proof), dtype=object), allow_pickle=True)
    before = planted.read_bytes()
    model = build_model(tiny_model(tmp_path), TINY, safe=True)
    train_model(model, fit_params={"data": data, "save_dir": tmp_path / "run"})
    assert not proof.exists()
    assert planted.read_bytes() == before


def test_planted_text_embeddings_are_not_run(weights: Path, proof: Path) -> None:
    from ultralytics.models.yolo.world import train as world
    from ultralytics.models.yolo.yoloe import train as yoloe

    for module in (world, yoloe):
        with restricted(), pytest.raises(UnsafeFile, match=r"hostile\.pt holds more than data"):
            module.torch_load(weights, map_location="cpu")
    assert not proof.exists()


# The switch


def test_it_is_off_again_when_the_last_one_is_done() -> None:
    from ultralytics.nn import tasks
    from ultralytics.utils import torch_utils

    stock = (tasks.SAFE_LOAD, torch_utils.torch_load, os.environ.get("ULTRALYTICS_SAFE_LOAD"))
    first, second, done = threading.Event(), threading.Event(), []

    def other() -> None:
        with restricted():
            first.set()
            second.wait(10)
            done.append(tasks.SAFE_LOAD)

    thread = threading.Thread(target=other)
    with restricted():
        thread.start()
        first.wait(10)
    assert tasks.SAFE_LOAD is True, "the other one still needs it"
    second.set()
    thread.join()
    assert done == [True]
    assert (tasks.SAFE_LOAD, torch_utils.torch_load, os.environ.get("ULTRALYTICS_SAFE_LOAD")) == stock


def test_safe_is_yes_or_no(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="safe must be True or False"):
        build_model(tiny_model(tmp_path), safe="yes")
