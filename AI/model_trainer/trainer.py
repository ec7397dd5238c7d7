"""Builds and trains a YOLO model: the library's front door.

Ultralytics does the training; `downloads` finds the model, `progress_events` makes events of what the trainer says,
`stopping` ends it early when asked to, `previews` draws what it sees.
"""

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager, closing, nullcontext
from pathlib import Path
from typing import Any

from AI.model_trainer.checkpoints import discard, restore
from AI.model_trainer.errors import InvalidArgument
from AI.model_trainer.listener import Listener
from AI.model_trainer.own_options import Options
from AI.model_trainer.ultralytics import hooks, models
from AI.model_trainer.ultralytics.amp_check import AmpCheck
from AI.model_trainer.ultralytics.arguments import translate
from AI.model_trainer.ultralytics.checkpoint_keeper import Keeper
from AI.model_trainer.ultralytics.dataset_report import DatasetReport
from AI.model_trainer.ultralytics.downloads import WeightsFolder
from AI.model_trainer.ultralytics.exact_resume import ExactResume
from AI.model_trainer.ultralytics.hooks import Part
from AI.model_trainer.ultralytics.objects import YOLO
from AI.model_trainer.ultralytics.previews import Previews
from AI.model_trainer.ultralytics.progress_events import Progress, outcome
from AI.model_trainer.ultralytics.resuming import Continuation, Finished, take_over
from AI.model_trainer.ultralytics.safe_load import restricted
from AI.model_trainer.ultralytics.stopping import GracefulStop
from AI.model_trainer.ultralytics.thread_count import ThreadCount

Arguments = Mapping[str, Any]

#: Training arguments that may name weights.
_WEIGHTS = {"pretrained", "distill_model"}


def train_from_payload(payload: Arguments) -> tuple[YOLO, float]:
    """Build and train as `{"model": …, "hyperparameters": {…}, "fit_params": {…}}` says; `hyperparameters` is optional.

    Returns what `train_model` returns. Raises InvalidArgument: when a part is missing, unknown or not understood; and
    what `build_model` and `train_model` raise.
    """
    if unknown := sorted(set(payload) - {"model", "hyperparameters", "fit_params"}):
        raise InvalidArgument(
            f"a payload may have only model, hyperparameters and fit_params, got also {', '.join(unknown)}"
        )
    if missing := [part for part in ("model", "fit_params") if payload.get(part) is None]:
        raise InvalidArgument(f"the payload lacks {' and '.join(missing)}")
    hyperparameters, fit_params = payload.get("hyperparameters") or {}, payload["fit_params"]
    _check_data(fit_params)  # before a model is built, or downloaded
    options, _ = Options.split({**hyperparameters, **fit_params})
    model = _build(payload["model"], hyperparameters, options)
    return train_model(model, fit_params=fit_params)


def build_model(
    model: str | os.PathLike[str],
    hyperparameters: Arguments | None = None,
    *,
    weights_dir: str | os.PathLike[str] | None = None,
    offline: bool | None = None,
    safe: bool | None = None,
) -> YOLO:
    """A model ready for `train_model`, which will apply the hyperparameters.

    `model` is an official name ("yolov8n"), the path of a `.pt` file, or a `.yaml` (packaged name or path), which
    gives random weights. Hyperparameters are any training arguments: epochs, imgsz, batch, …

    Official weights are looked for in `weights_dir` (default: a folder in the user's cache), the current directory and
    Ultralytics' own weights folder, then downloaded into `weights_dir`, unless `offline`. With `safe` no code runs that
    weights or a model file hold, nor in the training that follows. All three may be among the hyperparameters as well.

    Raises UnknownArgument: when a hyperparameter is none. Raises WeightsUnavailable: when official weights are not
    there and cannot be downloaded. Raises FileNotFoundError: when there is no such model. Raises TypeError: when `safe`
    refuses what the weights or the model file name.
    """
    chosen = {"weights_dir": weights_dir, "offline": offline, "safe": safe}
    remembered = {**(hyperparameters or {}), **{name: value for name, value in chosen.items() if value is not None}}
    return _build(model, remembered, Options.split(remembered)[0])


def _build(model: str | os.PathLike[str], hyperparameters: Arguments, options: Options) -> YOLO:
    if not str(model).strip():
        raise InvalidArgument("model must be the name or the path of a model, got an empty text")
    translate(Options.split(hyperparameters)[1])
    path = _weights_folder(options).resolve(os.fspath(model))
    with _restriction(options):
        built = models.build(path)
    built.hyperparameters = dict(hyperparameters)
    return built


def _restriction(options: Options) -> AbstractContextManager[None]:
    return restricted() if options.safe else nullcontext()


def _weights_folder(options: Options) -> WeightsFolder:
    callback = options.progress_callback if options.events == "all" else None
    return WeightsFolder(options.weights_dir, options.offline, Listener(callback) if callback else None)


def train_model(
    model: YOLO,
    X_train: object = None,
    y_train: object = None,
    *,
    fit_params: Arguments,
) -> tuple[YOLO, float]:
    """Train and return the model with its best weights, and the score: Ultralytics' fitness of those weights.

    The dataset is `fit_params["data"]`; X_train and y_train are there for the sake of callers that train
    estimators of other libraries in the same way, and are ignored. `fit_params` takes every training argument
    of Ultralytics and those of `Options`; it wins over the model's hyperparameters. Afterwards the model has
    `final_metrics` (numbers by name) and `save_dir` (a Path).

    It works in any thread, and again and again on the same model. torch's thread count stays as the training left it.

    Raises InvalidArgument: when `data` is missing or an option is out of range. Raises UnknownArgument: when an
    argument is none of Ultralytics'. Raises WeightsUnavailable or FileNotFoundError: when `pretrained` or
    `distill_model` names weights that cannot be had. Whatever Ultralytics raises passes through.
    """
    _check_data(fit_params)
    options, arguments = Options.split({**getattr(model, "hyperparameters", {}), **fit_params})
    arguments = translate(arguments)
    weights = _weights_folder(options)
    for name in _WEIGHTS & arguments.keys():
        if isinstance(arguments[name], str):
            arguments[name] = weights.resolve(arguments[name])
    stop = GracefulStop(options.should_stop, options.stop_after_epoch)
    return _train(model, options, arguments, stop, ExactResume())


def resume_training(
    checkpoint: str | os.PathLike[str], *, fit_params: Arguments | None = None, finish: bool = False
) -> tuple[YOLO, float]:
    """Go on with a training from one of its checkpoints, in its own folder; returns what `train_model` returns.

    `checkpoint` is a `last.pt` with its optimizer: a copy that was kept by `checkpoints_dir`, or what an interrupted
    run left behind. The run's folder (`save_dir`, by default where the checkpoint says) is put back to where the
    checkpoint was written: what came later is trained again, and results.csv has each epoch once. All arguments are
    the checkpoint's; `fit_params` may hold `epochs` (a new total: the learning rate then follows the curve of that
    many epochs from here on), `data` and `save_dir` (where they were moved), the few that Ultralytics lets be changed,
    and those of `Options`. With `finish` no epoch is trained: the best weights are evaluated, and that ends the run.

    Raises NothingToResume: when the checkpoint has no optimizer, or all epochs are done. Raises FileNotFoundError:
    when it is not there. Whatever Ultralytics raises passes through.
    """
    options, arguments = Options.split(fit_params or {})
    arguments = translate(arguments)
    epochs = arguments.pop("epochs", None)
    if not Path(checkpoint).is_file():
        raise FileNotFoundError(f"there is no checkpoint {os.fspath(checkpoint)!r}")
    with _restriction(options):
        model = models.build(os.fspath(checkpoint))
    stop = GracefulStop(options.should_stop, options.stop_after_epoch)
    continuation = Continuation(model, epochs, finish, stop)
    if epochs is not None:  # a run that had so much time is to have so many epochs now
        arguments.setdefault("time", None)
    run = Path(arguments.setdefault("save_dir", continuation.arguments["save_dir"]))
    if epochs is None and "patience" not in arguments and not finish:
        with _restriction(options):
            continuation.look_at(run)
    arguments["resume"] = str(restore(Path(checkpoint), continuation.done, run))
    if options.checkpoints_dir:
        discard(Path(options.checkpoints_dir), above=continuation.done)
    exact = ExactResume(Path(checkpoint), continuation.done, continuation.finish)
    return _train(model, options, arguments, stop, exact, continuation)


def _train(
    model: YOLO,
    options: Options,
    arguments: dict[str, Any],
    stop: GracefulStop,
    exact: ExactResume,
    continuation: Continuation | None = None,
) -> tuple[YOLO, float]:
    weights = _weights_folder(options)
    keeper = Keeper(Path(options.checkpoints_dir) if options.checkpoints_dir else None, exact.write)
    progress = Progress(options.progress_callback, options.tick_interval, stop, options.events == "all", keeper, exact)
    told = progress.listener if options.events == "all" else Listener(_unheard)
    # They are called in this order.
    parts: list[Part] = [
        ThreadCount(options.threads),
        AmpCheck(weights.path, weights.offline),
        stop,
        keeper,  # before `progress`, which tells where the copy is
        *([continuation] if continuation else []),  # before `progress`, which reads how many epochs there are to be
        DatasetReport(told, options.strict_data),  # before `progress`, which closes the listener when all is over
        progress,
        Previews(options.preview),
        *([exact] if continuation or options.checkpoints_dir else []),
    ]
    with closing(progress), hooks.registered(model, hooks.of(parts)), _restriction(options):
        try:
            model.train(**arguments)
        except Finished:
            take_over(model)
    model.final_metrics, score = outcome(model.trainer)
    model.save_dir = Path(model.trainer.save_dir)
    return model, score


def _unheard(_: object) -> None:
    """For what nobody has asked to hear of."""


def _check_data(fit_params: Arguments) -> None:
    data = fit_params.get("data") if isinstance(fit_params, Mapping) else None
    if not isinstance(data, str | os.PathLike) or not str(data):
        raise InvalidArgument(f"fit_params needs data, the path of a dataset (for example data.yaml), got {data!r}")
