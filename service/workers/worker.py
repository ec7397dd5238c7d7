"""What runs in the worker process: one program, from its first line to its outcome.

The program is named by `module:function` (`programs` has ours). Everything it says leaves by two ways: events through
the queue, text through the pipes that stand in for stdout and stderr. The supervisor reads both and survives whatever
happens here.
"""

import contextlib
import faulthandler
import importlib
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from types import FrameType
from typing import Any

from AI.model_trainer.errors import TrainerError
from service.encoding import encode
from service.errors import ServiceError, UnfitDataset
from service.failures import reason_of
from service.new_events import NewCompleted, Raised, Result, WorkerEvent
from service.workers import limits
from service.workers.launcher import EventQueue
from service.workers.spec import BEGIN, CANCEL, STOP, ShouldStop, Spec
from service.workers.streams import BARS, Emit, new_log, redirect

#: Length of an error's text in its event; the whole of it is in the log.
ERROR_CHARACTERS = 2_000

#: Each program has its own type of spec.
Program = Callable[[Any, Emit, ShouldStop], Result]


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
    redirect(stdout, stderr)
    faulthandler.enable()
    stop = threading.Event()
    if spec.stop:
        stop.set()

    def emit(event: WorkerEvent) -> None:
        if rows := BARS.take():
            queue.put(encode((time.time(), new_log("ultralytics", rows))))
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


def describe(queue: EventQueue) -> None:
    """What the installed Ultralytics knows, as one message."""

    def table() -> dict[str, object]:
        from AI.model_trainer.ultralytics import arguments

        return arguments.describe()

    _answer(queue, table)


def greet(queue: EventQueue, needed: Sequence[str]) -> None:
    """An empty message: workers can start, with the modules that are needed."""

    def load() -> dict[str, object]:
        for name in needed:  # a forkserver has them already, or has left out what cannot be imported
            importlib.import_module(name)
        return {}

    _answer(queue, load)


def _answer(queue: EventQueue, ask: Callable[[], dict[str, object]]) -> None:
    try:
        answer = ask()
    except Exception as error:
        traceback.print_exc()
        answer = {"error": "".join(traceback.format_exception_only(error)).strip()}
    with contextlib.suppress(BrokenPipeError):  # nobody waits for it any more
        queue.put(encode(answer))


# How it ends


def _leave() -> None:
    """End at once when all is written: an interpreter with torch in it takes its time to tear down."""
    for thread in threading.enumerate():  # plot files are written by non-daemon threads
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
