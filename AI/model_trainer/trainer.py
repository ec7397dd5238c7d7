"""Builds and trains a YOLO model: the library's front door.

Ultralytics does the training; `callbacks` makes events of what it says, `stopping` ends it early when asked to.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from AI.model_trainer.arguments import translate
from AI.model_trainer.callbacks import Progress, outcome
from AI.model_trainer.options import Options
from AI.model_trainer.stopping import GracefulStop
from AI.model_trainer.threads import ThreadCount

if TYPE_CHECKING:
    from ultralytics import YOLO

Arguments = Mapping[str, Any]


def train_from_payload(payload: Arguments) -> "tuple[YOLO, float]":
    """Build and train as `{"model": …, "hyperparameters": {…}, "fit_params": {…}}` says; `hyperparameters` is optional.

    Returns what `train_model` returns. Raises ValueError: when a part is missing, unknown or not understood.
    """
    if unknown := sorted(set(payload) - {"model", "hyperparameters", "fit_params"}):
        raise ValueError(f"a payload has model, hyperparameters and fit_params, not {', '.join(unknown)}")
    if missing := [part for part in ("model", "fit_params") if payload.get(part) is None]:
        raise ValueError(f"the payload lacks {' and '.join(missing)}")
    _check_data(payload["fit_params"])  # before a model is built, or downloaded
    model = build_model(payload["model"], payload.get("hyperparameters"))
    return train_model(model, fit_params=payload["fit_params"])


def build_model(model: str | os.PathLike[str], hyperparameters: Arguments | None = None) -> "YOLO":
    """A model ready for `train_model`, which will apply the hyperparameters.

    `model` is an official name ("yolov8n": looked for and downloaded as Ultralytics does), the path of a
    `.pt` file, or a `.yaml` (packaged name or path), which gives random weights. Hyperparameters are any
    training arguments: epochs, imgsz, batch, …

    Raises UnknownArgument: when a hyperparameter is none. Raises FileNotFoundError: when there is no such model.
    """
    if not str(model).strip():
        raise ValueError("model must be a name or a path, got an empty one")
    remembered = dict(hyperparameters or {})
    translate(Options.split(remembered)[1])
    from ultralytics import YOLO

    built = YOLO(os.fspath(model))
    built.hyperparameters = remembered
    return built


def train_model(
    model: "YOLO",
    X_train: object = None,
    y_train: object = None,
    *,
    fit_params: Arguments,
) -> "tuple[YOLO, float]":
    """Train and return the model with its best weights, and the score: Ultralytics' fitness of those weights.

    The dataset is `fit_params["data"]`; X_train and y_train are there for the sake of callers that train
    estimators of other libraries in the same way, and are ignored. `fit_params` takes every training argument
    of Ultralytics and those of `Options`; it wins over the model's hyperparameters. Afterwards the model has
    `final_metrics` (numbers by name) and `save_dir` (a Path).

    It works in any thread, and again and again on the same model. torch's thread count stays as the training left it.

    Raises ValueError: when `data` is missing or an option is out of range. Raises UnknownArgument: when an
    argument is none of Ultralytics'. Whatever Ultralytics raises passes through.
    """
    _check_data(fit_params)
    options, arguments = Options.split({**getattr(model, "hyperparameters", {}), **fit_params})
    arguments = translate(arguments)
    stop = GracefulStop(options.should_stop)
    progress = Progress(options.progress_callback, options.tick_interval, stop)
    hooks = [*ThreadCount(options.threads).hooks(), *stop.hooks(), *progress.hooks()]
    with closing(progress), _registered(model, hooks):
        model.train(**arguments)
    model.final_metrics, score = outcome(model.trainer)
    model.save_dir = Path(model.trainer.save_dir)
    return model, score


def _check_data(fit_params: Arguments) -> None:
    data = fit_params.get("data") if isinstance(fit_params, Mapping) else None
    if not isinstance(data, str | os.PathLike) or not str(data):
        raise ValueError(f"fit_params needs data, the path of a dataset (for example data.yaml), got {data!r}")


@contextmanager
def _registered(model: "YOLO", hooks: list[tuple[str, Callable[[Any], None]]]) -> Iterator[None]:
    """Have the model call the hooks for as long as this lasts; the next training of the model has its own."""
    for event, hook in hooks:
        model.add_callback(event, hook)
    try:
        yield
    finally:
        for event, hook in hooks:
            with suppress(ValueError):  # a callback of the caller's has cleared the list
                model.callbacks[event].remove(hook)
