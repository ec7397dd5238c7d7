"""The programs that a worker runs: one trains, one looks through a dataset.

A program is any function `(spec, emit, should_stop) -> result` named by `module:function`. It tells through `emit`, and
may print. What is around it, from the first line to the outcome, is in `worker`.
"""

import importlib
import os
import shutil
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

from AI.model_trainer import events as library
from AI.model_trainer.events import ProgressCallback
from AI.model_trainer.listener import Listener
from service.datasets import description
from service.errors import InvalidPayload, UnfitDataset
from service.new_events import NewCheckpoint, NewEpochEnd, NewImage, NewTick, Result
from service.workers.readings import Machine
from service.workers.spec import InspectSpec, ShouldStop, Spec, TrainSpec
from service.workers.streams import Emit, log_through, new_log
from service.workers.tasks import task_of

#: The library's own arguments of a payload that a checkpoint does not hold.
_ALSO_ON_RESUME = {"tick_interval", "preview", "strict_data"}


def train(spec: TrainSpec, emit: Emit, should_stop: ShouldStop) -> Result:
    """The program that trains: `AI.model_trainer` in the job's own folder."""
    if os.environ.get("ULTRALYTICS_SAFE_LOAD") != "1":
        # Another part of this process had started the forkserver already: its Ultralytics would unpickle anything.
        raise RuntimeError("the worker was started without the service's environment")
    from AI.model_trainer.ultralytics import label_cache

    if spec.device is not None:  # read when CUDA is first used, which is later
        os.environ["CUDA_VISIBLE_DEVICES"] = spec.device
    log_through(emit)
    label_cache.redirect(spec.cache_dir)
    folder = spec.folder
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)  # whatever a library writes to its current directory stays in the job's folder
    reasons: list[library.Reason] = []
    machine, addresses = Machine(spec.device), _Addresses(spec.id, folder / "run")
    # Ultralytics reads its results with polars when it first saves. The forkserver must not have it (it starts
    # threads), so it is loaded here beside the first epoch: 0.4 s less at that epoch's end.
    ahead = threading.Thread(target=importlib.import_module, args=("polars",), daemon=True)

    def progress(event: library.Event) -> None:
        match event["event"]:
            case "tick":  # ticks are not kept: an epoch's end tells those who come later
                tick: NewTick = {**event, "machine": machine.read()}
                emit(tick)
                if event["batch"] and not ahead.ident:
                    ahead.start()
            case "epoch_end":
                epoch_end: NewEpochEnd = {**event, "machine": machine.read()}
                emit(epoch_end)
            case "image":
                emit(addresses.of_image(event))
            case "checkpoint":
                emit(addresses.of_checkpoint(event))
            case "train_end":
                reasons.append(event["reason"])
                emit(event)
            case _:
                emit(event)

    model, score = _train(spec, folder, emit, progress, should_stop)
    return {
        "reason": reasons[-1] if reasons else "finished",
        "score": score,
        "metrics": model.final_metrics,
        "save_dir": str(model.save_dir),
    }


def _train(
    spec: TrainSpec, folder: Path, emit: Emit, progress: Callable[[library.Event], None], should_stop: ShouldStop
) -> tuple[Any, float]:
    """The model and its score, from the first epoch or from the checkpoint of `spec`."""
    from AI.model_trainer import resume_training, train_from_payload

    run, checkpoints, plan = folder / "run", folder / "checkpoints", spec.plan
    own: dict[str, object] = {
        "data": _data(spec, folder, emit, task_of(spec.model)),
        "save_dir": str(run),
        "threads": spec.threads if spec.threads in ("all", "stock") else int(spec.threads),
        "weights_dir": str(spec.weights_dir),
        "offline": spec.offline,
        "checkpoints_dir": str(checkpoints),
        "safe": True,
        "events": "all",
        "progress_callback": progress,
        "should_stop": should_stop,
        "stop_after_epoch": True,
    }
    own |= {} if plan.to_epoch is None else {"epochs": plan.to_epoch}
    if spec.checkpoint is not None:
        own |= {name: spec.fit_params[name] for name in _ALSO_ON_RESUME & spec.fit_params.keys()}
        return resume_training(spec.checkpoint, fit_params=own, finish=plan.only_evaluate)
    for path in (run, checkpoints):  # of an attempt that nothing is left of
        shutil.rmtree(path, ignore_errors=True)
    fit_params = {**spec.fit_params, **own}
    return train_from_payload({"model": spec.model, "hyperparameters": spec.hyperparameters, "fit_params": fit_params})


def _data(spec: Spec, folder: Path, emit: Emit, task: str | None) -> str:
    """What the training sees: the service's own copy or links in the job's folder, or a folder of classes as it is."""
    own, named = description.written(folder), str(spec.fit_params["data"])
    if own is None and (description.is_archive(named) or not os.path.isabs(named)):  # it could not be read at the POST
        source, home = _source(named, spec.datasets_dir, emit, spec.offline)
        arguments = {**spec.hyperparameters, **spec.fit_params}
        try:
            found = description.read(str(source), task, [home], arguments=arguments, is_unpacked=os.path.isabs(named))
        except InvalidPayload as error:
            raise UnfitDataset("; ".join(fault.detail for fault in error.faults)) from None
        own = source if found is None else description.write(found, folder)
    if own is None and os.path.isfile(named):
        raise FileNotFoundError(
            f"the job's checked copy of its dataset, {description.COPY}, is missing: start a new training"
        )
    return named if own is None else str(own)


def _source(named: str, folder: Path, emit: Emit, offline: bool) -> tuple[Path, Path]:
    """Where in `folder` a dataset is that is known by name or is a zip, and the folder that all of it lies in."""
    from AI.model_trainer import archives
    from AI.model_trainer.ultralytics import known_datasets

    if not os.path.isabs(named):
        return known_datasets.fetch(named, folder, Listener(cast(ProgressCallback, emit)), offline), folder
    emit(new_log("service", [f"unpacking {named}"]))
    place = archives.unpacked(Path(named), folder)
    return place, place


class _Addresses:
    """Where the service answers for the files that events name; Ultralytics names them with all links resolved."""

    def __init__(self, job_id: str, run: Path) -> None:
        self._job_id = job_id
        self._run = run.resolve()

    def _of(self, name: str) -> str | None:
        path = Path(name).resolve()
        if not path.is_relative_to(self._run):
            return None
        return f"/jobs/{self._job_id}/artifacts/{quote(path.relative_to(self._run).as_posix())}"

    def of_image(self, event: library.Picture) -> NewImage:
        told = cast(NewImage, dict(event))
        if url := self._of(event["path"]):
            told["url"] = url
        return told

    def of_checkpoint(self, event: library.Checkpoint) -> NewCheckpoint:
        told = cast(NewCheckpoint, dict(event))
        if last := self._of(event["last"]):
            told["last_url"] = last
        if event["best"] is not None and (best := self._of(event["best"])):
            told["best_url"] = best
        return told


def check(spec: InspectSpec, emit: Emit, should_stop: ShouldStop) -> Result:
    """The program that looks through a dataset: no training, no GPU, and trainings go first."""
    from AI.model_trainer import check_dataset
    from AI.model_trainer.ultralytics import label_cache

    if hasattr(os, "nice"):
        os.nice(10)
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    log_through(emit)
    label_cache.redirect(spec.cache_dir)
    folder = spec.folder
    os.chdir(folder)
    single_cls, classes = bool(spec.fit_params["single_cls"]), cast("Sequence[int] | None", spec.fit_params["classes"])
    data = _data(spec, folder, emit, spec.task)
    return {"checked": check_dataset(data, spec.task, single_cls=single_cls, classes=classes, safe=True)}
