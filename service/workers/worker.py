"""What runs in the worker process: one training, from its first line to its outcome.

A program is any function `(job, emit) -> result` named by `module:function`; `train` below is the one that trains.
Everything it says leaves by two ways: events through the queue, text through the pipes that stand in for stdout and
stderr. The supervisor reads both and survives whatever happens here.
"""

import contextlib
import faulthandler
import importlib
import io
import logging
import os
import shutil
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType
from typing import Any, cast
from urllib.parse import quote

from AI.model_trainer import events as library
from AI.model_trainer.errors import TrainerError
from AI.model_trainer.events import ProgressCallback
from AI.model_trainer.listener import Listener
from service.datasets import description
from service.encoding import encode
from service.errors import InvalidPayload, ServiceError, UnfitDataset
from service.failures import reason_of
from service.new_events import (
    NewCheckpoint,
    NewCompleted,
    NewEpochEnd,
    NewImage,
    NewLog,
    NewTick,
    Raised,
    Result,
    WorkerEvent,
)
from service.workers import limits
from service.workers.bars import Bars
from service.workers.launcher import EventQueue
from service.workers.readings import Machine
from service.workers.spec import BEGIN, CANCEL, STOP, InspectSpec, Spec, TrainSpec
from service.workers.tasks import task_of

#: Length of an error's text in its event; the whole of it is in the log.
ERROR_CHARACTERS = 2_000

#: The library's own arguments of a payload that a checkpoint does not hold.
_ALSO_ON_RESUME = {"tick_interval", "preview", "strict_data"}

Emit = Callable[[WorkerEvent], None]
ShouldStop = Callable[[], bool]
#: Each program has its own type of spec.
Program = Callable[[Any, Emit, ShouldStop], Result]


#: The progress bars of this process.
_BARS = Bars()


class Cancelled(BaseException):
    """Comes up wherever the main thread is when the job is cancelled: no `except Exception` keeps it."""


def main(queue: EventQueue, stdout: Connection, stderr: Connection, control: Connection, spec: Spec) -> None:
    """Run the program of `spec`; the last message is its outcome, `completed` or `failed`. A cancelled one has none.

    The process leads its own session, so that it and its dataloader workers can be ended together, and ends itself
    when the service is gone. SIGTERM cancels, as a request through `control` does.

    Nothing is done before the service says so: it may have started another worker for this attempt, and not know of
    this one, whose pipes have ended then.
    """
    if not _is_told_to_begin(control):
        return
    if hasattr(os, "setsid"):
        os.setsid()
    limits.enter(spec.limits)
    _redirect(stdout, stderr)
    faulthandler.enable()
    stop = threading.Event()
    if spec.stop:
        stop.set()

    def emit(event: WorkerEvent) -> None:
        if rows := _BARS.take():
            queue.put(encode((time.time(), _lines("ultralytics", rows))))
        queue.put(encode((time.time(), event)))

    try:
        signal.signal(signal.SIGTERM, _cancel)
        threading.Thread(target=_obey, args=(control, stop), name="control", daemon=True).start()
        emit(_run(spec, emit, stop.is_set))
        _leave()
    except Cancelled:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        sys.stdout.flush()
        sys.stderr.flush()
        os.kill(os.getpid(), signal.SIGTERM)  # the rest of the interpreter's end has no say in it


def _run(spec: Spec, emit: Emit, should_stop: ShouldStop) -> NewCompleted | Raised:
    try:
        return {"event": "completed", "reason": "finished", **_load(spec.program)(spec, emit, should_stop)}
    except Exception as error:
        traceback.print_exc()
        return _failure(error)


def _lines(stream: str, lines: list[str], level: str = "info") -> NewLog:
    return {"event": "log", "stream": stream, "level": level, "lines": lines}


def _is_told_to_begin(control: Connection) -> bool:
    try:
        return control.recv_bytes() == BEGIN
    except (EOFError, OSError):
        return False


def _obey(control: Connection, stop: threading.Event) -> None:
    """Do what the service asks; end this session when the service is gone, also while the main thread is busy."""
    while True:
        try:
            request = control.recv_bytes()
        except (EOFError, OSError):
            os.killpg(0, signal.SIGKILL)
        if request == STOP:
            stop.set()
        elif request == CANCEL:  # to the main thread itself: a system call that it waits in ends then
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)


def _cancel(number: int, at: FrameType | None) -> None:
    if os.getpid() == _leader():  # dataloader workers inherit this handler; they end with their group
        raise Cancelled


def _leader() -> int:
    return os.getpgrp() if hasattr(os, "getpgrp") else os.getpid()


def _failure(error: Exception) -> Raised:
    # What is raised on purpose is a sentence already.
    text = (
        str(error)
        if isinstance(error, TrainerError | ServiceError | UnfitDataset)
        else "".join(traceback.format_exception_only(error)).strip()
    )
    return {"event": "failed", "reason": reason_of(error), "error": text[:ERROR_CHARACTERS]}


def _load(program: str) -> Program:
    module, _, name = program.partition(":")
    loaded: Program = getattr(importlib.import_module(module), name)
    return loaded


def train(spec: TrainSpec, emit: Emit, should_stop: ShouldStop) -> Result:
    """The program that trains: `AI.model_trainer` in the job's own folder."""
    if os.environ.get("ULTRALYTICS_SAFE_LOAD") != "1":
        # Another part of this process had started the forkserver already: its Ultralytics would unpickle anything.
        raise RuntimeError("the worker was started without the service's environment")
    from AI.model_trainer.ultralytics import label_cache

    if spec.device is not None:  # read when CUDA is first used, which is later
        os.environ["CUDA_VISIBLE_DEVICES"] = spec.device
    _log_through(emit)
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
    emit(_lines("service", [f"unpacking {named}"]))
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
    _log_through(emit)
    label_cache.redirect(spec.cache_dir)
    folder = spec.folder
    os.chdir(folder)
    single_cls, classes = bool(spec.fit_params["single_cls"]), cast("Sequence[int] | None", spec.fit_params["classes"])
    data = _data(spec, folder, emit, spec.task)
    return {"checked": check_dataset(data, spec.task, single_cls=single_cls, classes=classes, safe=True)}


def describe(queue: EventQueue) -> None:
    """What the installed Ultralytics knows, as one message."""

    def table() -> dict[str, Any]:
        from AI.model_trainer.ultralytics import arguments

        return arguments.describe()

    _answer(queue, table)


def greet(queue: EventQueue, needed: Sequence[str]) -> None:
    """An empty message: workers can start, with the modules that are needed."""

    def load() -> dict[str, Any]:
        for name in needed:  # a forkserver has them already, or has left out what cannot be imported
            importlib.import_module(name)
        return {}

    _answer(queue, load)


def _answer(queue: EventQueue, ask: Callable[[], dict[str, Any]]) -> None:
    try:
        answer = ask()
    except Exception as error:
        traceback.print_exc()
        answer = {"error": "".join(traceback.format_exception_only(error)).strip()}
    with contextlib.suppress(BrokenPipeError):  # nobody waits for it any more
        queue.put(encode(answer))


# What the worker writes


class _Stream(io.TextIOWrapper):
    """A text stream without progress bars: Ultralytics hands their frames to `progress` where there is one."""

    def progress(self, bar: int, frame: str) -> None:
        _BARS.show(bar, frame)


def _redirect(stdout: Connection, stderr: Connection) -> None:
    """Put the pipes under file descriptors 1 and 2 (native code writes there) and under sys.stdout and sys.stderr."""
    for number, pipe in ((1, stdout), (2, stderr)):
        os.dup2(pipe.fileno(), number)
        pipe.close()
    sys.stdout, sys.stderr = (
        _Stream(open(number, "wb", closefd=False), "utf-8", "backslashreplace", line_buffering=True)  # noqa: SIM115
        for number in (1, 2)
    )


class _EventHandler(logging.Handler):
    """Turns log records into `log` events that keep their level."""

    def __init__(self, emit: Emit) -> None:
        super().__init__()
        self._emit = emit

    def emit(self, record: logging.LogRecord) -> None:
        try:
            lines = self.format(record).splitlines()
            self._emit(_lines(record.name, lines, record.levelname.lower()))
        except Exception:
            self.handleError(record)  # says so on stderr; a log line does not end a training


def _log_through(emit: Emit) -> None:
    """Send Ultralytics' and the library's records as events; Ultralytics' handler writes to another stdout."""
    for name in ("ultralytics", "AI.model_trainer"):
        logging.getLogger(name).handlers = [_EventHandler(emit)]


# How it ends


def _leave() -> None:
    """End at once when all is written: an interpreter with torch in it takes its time to tear down."""
    for thread in threading.enumerate():  # plot files are written by non-daemon threads
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
