"""All that a training holds at an epoch's end, beside what is in Ultralytics' own checkpoint, as plain data.

Ultralytics' `last.pt` has the averaged weights and the optimizer's momentum in half precision, and neither the weights
that are trained, nor gradients that wait for their step, nor where the random numbers and the data stand. What was
read in `ultralytics/engine/trainer.py` of 8.4.190.
"""

import hashlib
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import ultralytics
from typing_extensions import TypedDict
from ultralytics.utils.torch_utils import unwrap_model

from AI.model_trainer.ultralytics import random_numbers
from AI.model_trainer.ultralytics.objects import Trainer
from AI.model_trainer.ultralytics.random_numbers import RandomNumbers
from AI.model_trainer.ultralytics.train_loader import Place

#: Of this file's form.
VERSION = 1
#: Arguments that name places, or what is shown; they bear on no weight.
_IRRELEVANT = {
    *("data", "device", "exist_ok", "mode", "model", "name", "plots", "project", "resume"),
    *("save", "save_dir", "save_period", "session", "show", "verbose", "workers"),
}


class Conditions(TypedDict):
    """What must be the same for a training to go on exactly; the values are only compared, and shown."""

    #: By what they are called in a sentence.
    machine: dict[str, str]
    arguments: dict[str, str]


class State(TypedDict):
    """A training after an epoch."""

    version: int
    #: Epochs that are done.
    epoch: int
    conditions: Conditions
    model: dict[str, Any]
    ema: dict[str, Any]
    updates: int
    optimizer: dict[str, Any]
    #: Of batches that wait for the optimizer's step, by parameter.
    gradients: dict[str, Any]
    #: Number of the batch after which the optimizer's last step was, counted from the training's first.
    last_step: int
    scaler: dict[str, Any]
    stopper: dict[str, Any]
    #: Numbers that the trainer carries from epoch to epoch.
    trainer: dict[str, Any]
    #: Numbers of a loss that changes during the training; none for most.
    criterion: dict[str, float]
    random_numbers: RandomNumbers
    place: Place


def read(trainer: Trainer, last_step: int, place: Place, conditions: Conditions) -> State:
    """What the training holds now, at an epoch's end. Tensors are the training's own: write them before it goes on."""
    model = unwrap_model(trainer.model)
    return {
        "version": VERSION,
        "epoch": trainer.epoch + 1,
        "conditions": conditions,
        "model": model.state_dict(),
        "ema": trainer.ema.ema.state_dict(),
        "updates": trainer.ema.updates,
        "optimizer": trainer.optimizer.state_dict(),
        "gradients": {name: each.grad for name, each in model.named_parameters() if each.grad is not None},
        "last_step": last_step,
        "scaler": trainer.scaler.state_dict(),
        "stopper": _plain({name: getattr(trainer.stopper, name) for name in _STOPPER}),
        "trainer": _plain({name: getattr(trainer, name) for name in _TRAINER}),
        "criterion": _numbers_of_loss(model),
        "random_numbers": random_numbers.read(),
        "place": place,
    }


_STOPPER = ("best_fitness", "best_epoch", "possible_stop")
_TRAINER = ("best_fitness", "fitness", "metrics", "loss_names")


def put_back(trainer: Trainer, state: State) -> None:
    """Have a trainer that is set up hold it again, all but the gradients, the data and the random numbers."""
    for saved, group in zip(state["optimizer"]["param_groups"], trainer.optimizer.param_groups, strict=True):
        saved["fused"] = group.get("fused")  # the device that it runs on picks the kernel
    trainer.optimizer.load_state_dict(state["optimizer"])
    model = unwrap_model(trainer.model)
    model.load_state_dict(state["model"])
    trainer.ema.ema.load_state_dict(state["ema"])
    trainer.ema.updates = state["updates"]
    trainer.scaler.load_state_dict(state["scaler"])
    vars(trainer.stopper).update(state["stopper"])
    vars(trainer).update(state["trainer"])
    if state["criterion"]:
        vars(model.criterion).update(state["criterion"])


def put_back_gradients(trainer: Trainer, state: State) -> None:
    """The trainer drops them when it begins, so they come with its first epoch."""
    for name, parameter in unwrap_model(trainer.model).named_parameters():
        if name in state["gradients"]:
            parameter.grad = state["gradients"][name].to(parameter.device)


def _numbers_of_loss(model: Any) -> dict[str, float]:
    criterion = getattr(model, "criterion", None)
    if not hasattr(criterion, "update"):
        return {}
    return {name: value for name, value in vars(criterion).items() if isinstance(value, int | float)}


def _plain(value: Any) -> Any:
    """The same without NumPy's numbers, which `weights_only` does not read."""
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    return value.item() if isinstance(value, np.generic) else value


# Files


def write(state: State, path: Path) -> None:
    """Write a new file; the caller sees to it that it is on the disk. Raises OSError."""
    with path.open("xb") as file:
        torch.save(state, file)


def load(path: Path) -> State:
    """Raises OSError: when it cannot be read. Raises ValueError: when it is damaged, or of another form."""
    try:
        state: State = torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # the reader of old forms stumbles over anything
        raise ValueError("it is damaged, or holds more than plain data") from error
    if state["version"] != VERSION:
        raise ValueError(f"it is of form {state['version']}, this version reads form {VERSION}")
    return state


# Whether it is the same


def conditions(trainer: Trainer) -> Conditions:
    """Of a trainer that is set up."""
    loader: Any = trainer.train_loader
    return {
        "machine": {
            "Ultralytics": ultralytics.__version__,
            "torch": str(torch.__version__),
            "NumPy": np.__version__,
            "Python": platform.python_version(),
            "the device": _device(trainer.device),
            "torch's threads": str(torch.get_num_threads()),
            "dataloader workers": str(loader.num_workers),
            "images in a batch": str(trainer.batch_size),
            "the dataset's images and labels": _digest(loader.dataset),
        },
        "arguments": {name: repr(value) for name, value in vars(trainer.args).items() if name not in _IRRELEVANT},
    }


#: Where one of these differs, a state does not fit, or means something else.
_FIT = ("Ultralytics", "torch", "dataloader workers", "images in a batch", "the dataset's images and labels")


def fits(before: Conditions, now: Conditions) -> bool:
    """Whether a state can be put back at all."""
    return all(before["machine"].get(name) == now["machine"].get(name) for name in _FIT)


def difference(before: Conditions, now: Conditions) -> str | None:
    """What differs, in a sentence; None: nothing."""
    return _changes(before["machine"], now["machine"]) or _changes(before["arguments"], now["arguments"])


def _changes(before: Mapping[str, str], now: Mapping[str, str]) -> str | None:
    names = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    return "; ".join(f"{name}: {before.get(name)} before, {now.get(name)} now" for name in names) or None


def _device(device: Any) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device.type)


def _digest(dataset: Any) -> str:
    """Of the images' names and their labels, wherever they lie."""
    digest = hashlib.sha256()
    labels = getattr(dataset, "labels", None)
    if labels is None:  # of a classification: file, class, …
        for sample in dataset.samples:
            digest.update(f"{Path(sample[0]).name} {sample[1]}\n".encode())
    else:
        for label in labels:
            digest.update(f"{Path(label['im_file']).name}\n".encode())
            for name in ("cls", "bboxes"):
                digest.update(np.ascontiguousarray(label[name]).tobytes())
    return digest.hexdigest()[:12]
