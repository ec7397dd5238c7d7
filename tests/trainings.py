"""Tiny programs that stand in for a training: each shows the service one behaviour, none imports torch."""

import ctypes
import importlib
import json
import logging
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from AI.model_trainer import checkpoints
from service.workers.spec import ShouldStop
from tests import said

#: What a program tells through: also what is no event.
Tell = Callable[[Any], None]
#: What a program returns.
Outcome = dict[str, Any]


def count(spec: Any, emit: Tell, should_stop: ShouldStop) -> Outcome:
    """Says `epochs` epochs and completes."""
    epochs = spec.hyperparameters.get("epochs", 3)
    print("counting", flush=True)
    for epoch in range(1, epochs + 1):
        emit(said.tick(epoch, epochs, save_dir=str(spec.folder)))
        metrics = {"loss": 1 / epoch, "nothing": float("nan")}
        emit(said.epoch_end(epoch, epochs, metrics=metrics, save_dir=str(spec.folder)))
    return {"score": 0.5}


def wait(spec: Any, emit: Tell, should_stop: ShouldStop) -> Outcome:
    """Says one epoch, then waits for a file of the test's."""
    emit(said.epoch_end(save_dir=str(spec.folder)))
    return wait_for_gate(spec)


def speak_and_wait(spec: Any, emit: Tell, should_stop: ShouldStop) -> Outcome:
    print("last words", flush=True)
    return wait(spec, emit, should_stop)


def wait_for_gate(spec: Any) -> Outcome:
    gate = Path(spec.hyperparameters["gate"])
    while not gate.exists():
        time.sleep(0.01)
    return {}


def steer(spec: Any, emit: Tell, should_stop: ShouldStop) -> Outcome:
    """Does what `hyperparameters.do` names: one program for tests that need several behaviours in one service."""
    return globals()[spec.hyperparameters["do"]](spec, emit, should_stop)


def fail(spec: Any, emit: Tell, should_stop: ShouldStop) -> None:
    print("about to fail")
    raise ValueError("no such luck")


def fail_in_colours(spec: Any, emit: Tell, should_stop: ShouldStop) -> None:
    raise ValueError("no such luck\n  \x1b[34m\x1b[1mtrain: \x1b[0mno images\x07")


def babble(spec: Any, emit: Tell, should_stop: ShouldStop) -> Outcome:
    """Says `times` times what is no event."""
    for _ in range(spec.hyperparameters["times"]):
        emit({"event": "babble"})
    return {}


def leave(spec: Any, emit: Tell, should_stop: ShouldStop) -> None:
    print("leaving")
    sys.exit(3)


def leave_quietly(spec: Any, emit: Tell, should_stop: ShouldStop) -> None:
    os._exit(0)


def kill_self(spec: Any, emit: Tell, should_stop: ShouldStop) -> None:
    for epoch in range(1, 1001):
        emit(said.epoch_end(epoch, 1000))
    os.kill(os.getpid(), signal.SIGKILL)


def segfault(spec: Any, emit: Tell, should_stop: ShouldStop) -> None:
    print("reading address 0", flush=True)
    ctypes.string_at(0)


def run_out_of_memory(spec: Any, emit: Tell, should_stop: ShouldStop) -> None:
    raise MemoryError("no room")


def hang_at_exit(spec: Any, emit: Tell, should_stop: ShouldStop) -> Outcome:
    """Completes, but leaves a thread that never ends."""
    threading.Thread(target=threading.Event().wait).start()
    return {"score": 0.1}


def have_children(spec: Any, emit: Tell, should_stop: ShouldStop) -> Outcome:
    """Starts a child that outlives it if nobody ends the group, tells its pid, and waits."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    emit(said.epoch_end(metrics={"child": child.pid}))
    return wait_for_gate(spec)


def leave_a_stranger(spec: Any, emit: Tell, should_stop: ShouldStop) -> None:
    """Dies, but a child in a session of its own keeps stdout and stderr open."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    emit(said.epoch_end(metrics={"child": child.pid}))
    sys.exit(4)


def ignore_sigterm(spec: Any, emit: Tell, should_stop: ShouldStop) -> Outcome:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    return wait(spec, emit, should_stop)


def flood(spec: Any, emit: Tell, should_stop: ShouldStop) -> Outcome:
    """As many lines and ticks as fit into a second or so."""
    for number in range(20_000):
        print(f"line {number}")
    for number in range(5_000):
        emit(said.tick(number, 5_000))
    return {}


def flood_and_fail(spec: Any, emit: Tell, should_stop: ShouldStop) -> Outcome:
    for number in range(2_000):
        print(f"line {number}")
    return fail(spec, emit, should_stop)


def talk_nonsense(spec: Any, emit: Tell, should_stop: ShouldStop) -> Outcome:
    """Writes things that are no events, and one that is too long, into the queue."""
    emit({"event": "completed", "job_id": "somebody else's"} | {"event": "unheard of"})
    emit({"event": "epoch_end", "epoch": 1})
    emit({**said.epoch_end(1), "epoch": "1"})
    emit({**said.epoch_end(1), "seq": 77, "job_id": "x", "attempt": 9, "surprise": [[[[[[[[[[]]]]]]]]]]})
    emit(said.log("x" * 2_000_000))
    return {}


def forbid(spec: Any, emit: Tell, should_stop: ShouldStop) -> None:
    """Raises what is no Exception."""
    raise KeyboardInterrupt


def print_bars(spec: Any, emit: Tell, should_stop: ShouldStop) -> Outcome:
    """Prints as progress bars and coloured tools do."""
    for percent in range(0, 101, 10):
        sys.stdout.write(f"\r\x1b[K{percent}%")
    print()
    print("\x1b[31mred\x1b[0m and \x1b[1mbold\x1b[0m")
    os.write(2, b"native \xff bytes, no newline")
    return {}


def train_and_count(spec: Any, emit: Tell, should_stop: ShouldStop) -> Outcome:
    """A real training, and the number of threads that torch had at its end."""
    import torch

    from service.workers.programs import train

    result = train(spec, emit, should_stop)
    print(f"{torch.get_num_threads()} threads", flush=True)
    return result


def wait_in_folder(spec: Any, emit: Tell, should_stop: ShouldStop) -> None:
    """Says one epoch with its pid, then waits for ever."""
    emit(said.epoch_end(metrics={"pid": os.getpid()}))
    threading.Event().wait()


def count_slowly(spec: Any, emit: Tell, should_stop: ShouldStop) -> Outcome:
    """Thirty epochs in a second or so, with the number of files that may be open."""
    import resource

    metrics = {"open_files": resource.getrlimit(resource.RLIMIT_NOFILE)[0]}
    for epoch in range(1, 31):
        emit(said.epoch_end(epoch, 30, metrics=metrics))
        time.sleep(0.03)
    return {}


def talk_for_ever(spec: Any, emit: Tell, should_stop: ShouldStop) -> None:
    """Says one epoch with its pid, then fills every buffer between here and a reader."""
    emit(said.epoch_end(metrics={"pid": os.getpid()}))
    while True:
        print("x" * 1_000, flush=True)
        time.sleep(0.001)


# A training without a model


def rehearse(spec: Any, emit: Tell, should_stop: ShouldStop) -> Outcome:
    """Epochs with checkpoints that are really kept; goes on from one, stops, and comes to grief where it is told to.

    `hyperparameters`: `epochs`; `fault`, `[place, epoch, what]`, happens in the first attempt only; `bytes` of a
    checkpoint; `gate`, a file without which no epoch after the first begins. The environment adds to them: a variable
    `REHEARSAL_3` for jobs of three epochs.
    """
    wanted = {
        **spec.hyperparameters,
        **json.loads(os.environ.get(f"REHEARSAL_{spec.hyperparameters['epochs']}", "{}")),
    }
    fault = wanted.get("fault") if spec.attempt == 1 or wanted.get("always") else None
    plan, total = spec.plan, spec.plan.to_epoch or wanted["epochs"]
    here = {"save_dir": str(spec.folder)}

    def come_to(place: str, epoch: int) -> None:
        """Says so; amid a checkpoint, which is no phase of its own, by a line of the log."""
        emit(said.log(f"saving {epoch}") if place == "saving" else said.phase(place, epoch, total, **here))
        if fault and fault[:2] == [place, epoch]:
            FAULTS[fault[2]]()

    folder = spec.folder
    folder.mkdir(parents=True, exist_ok=True)
    done = read_weights(spec.checkpoint) if spec.checkpoint else 0
    for number in range(wanted.get("lines", 0)):
        print(f"line {number} of attempt {spec.attempt}", flush=True)
    come_to("checking_data", done)
    reason = "finished"
    for epoch in range(done + 1, total + 1) if not plan.only_evaluate else ():
        come_to("training", epoch)
        while epoch > 1 and "gate" in wanted and not Path(wanted["gate"]).exists():
            time.sleep(0.005)
        come_to("validating", epoch)
        save(folder, epoch, wanted.get("bytes", 1_000), lambda epoch=epoch: come_to("saving", epoch))
        emit(said.checkpoint(epoch, total, **here))
        emit(said.epoch_end(epoch, total, **here))
        done = epoch
        if should_stop() and epoch < total:
            reason = "stopped"
            break
    if plan.only_evaluate and should_stop():
        reason = "stopped"
    come_to("finishing", done)
    return {"reason": reason, "score": 0.5}


def save(folder: Path, epoch: int, size: int, on_the_way: Callable[[], object]) -> None:
    """Write a checkpoint as Ultralytics does, in place, and keep a copy; `on_the_way` is called amid that."""
    content = epoch.to_bytes(8, "big") + os.urandom(size)
    last = folder / "last.pt"
    last.write_bytes(content + zlib.crc32(content).to_bytes(4, "big"))
    sync, checkpoints._sync = checkpoints._sync, lambda path: on_the_way()
    try:
        checkpoints.keep(folder / "checkpoints", epoch, last, None)
    finally:
        checkpoints._sync = sync


def read_weights(path: Path) -> int:
    """The epoch of a checkpoint that `save` has written; it must be whole."""
    content = path.read_bytes()
    assert zlib.crc32(content[:-4]).to_bytes(4, "big") == content[-4:], "half a checkpoint"
    return int.from_bytes(content[:8], "big")


def hang() -> None:
    threading.Event().wait()


def hang_deaf() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    hang()


def hang_in_c() -> None:
    """In native code, where no Python handler comes to run."""
    ctypes.CDLL(None).pause.restype = None
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    ctypes.CDLL(None).sleep(600)


def hang_with_child() -> None:
    subprocess.Popen([sys.executable, "-c", "import signal, time; signal.signal(15, 1); time.sleep(600)"])
    hang()


def swallow() -> None:
    """Code that catches everything, as some libraries do."""
    while True:
        try:
            hang()
        except BaseException:
            continue


def complain() -> None:
    raise ValueError("no such luck")


FAULTS = {
    "hang": hang,
    "hang_deaf": hang_deaf,
    "hang_in_c": hang_in_c,
    "hang_with_child": hang_with_child,
    "swallow": swallow,
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "term": lambda: os.kill(os.getpid(), signal.SIGTERM),
    "exit": lambda: os._exit(3),
    "raise": complain,
    "segfault": lambda: ctypes.string_at(0),
}


def look_around(spec: Any, emit: Tell, should_stop: ShouldStop) -> Outcome:
    """Says what it finds itself left with."""
    import resource

    with open("/proc/self/status") as file:
        status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
    names = ("CORE", "DATA", "FSIZE")
    limits = {name: resource.getrlimit(getattr(resource, f"RLIMIT_{name}")) for name in names}
    found = {
        "environment": dict(os.environ),
        "limits": limits,
        "no_new_privs": status["NoNewPrivs"],
        "own_session": os.getsid(0) == os.getpid(),
    }
    spec.folder.mkdir(parents=True, exist_ok=True)
    (spec.folder / "found.json").write_text(json.dumps(found))
    return {}


def use_memory(spec: Any, emit: Tell, should_stop: ShouldStop) -> Outcome:
    """Asks for a gigabyte, by Python or by torch."""
    if spec.hyperparameters["by"] == "torch":
        import torch

        return {"score": float(torch.ones(250_000_000)[-1])}
    return {"score": float(bytearray(1_000_000_000)[-1])}


def write_a_large_file(spec: Any, emit: Tell, should_stop: ShouldStop) -> Outcome:
    """It has a hole instead of content: no disk is filled, whatever happens."""
    with open(spec.folder.parents[1] / "large", "wb") as file:
        file.truncate(2_000_000)
    return {}


def say(spec: Any, emit: Tell, should_stop: ShouldStop) -> Outcome:
    """An epoch for each of some texts."""
    for number, text in enumerate(spec.hyperparameters["texts"], 1):
        emit(said.epoch_end(number, save_dir=text))
    return {}


def tell_device(spec: Any, emit: Tell, should_stop: ShouldStop) -> Outcome:
    """Says on which device it runs."""
    for epoch in range(1, spec.hyperparameters["epochs"] + 1):
        time.sleep(0.01)
        metrics = {"device": float(spec.device)}
        emit(said.epoch_end(epoch, 3, metrics=metrics))
    return {}


def tick_on_the_spot(spec: Any, emit: Tell, should_stop: ShouldStop) -> None:
    """Its ticks go on, nothing else does."""
    while True:
        emit(said.tick(batch=3))
        time.sleep(0.02)


def freeze(spec: Any, emit: Tell, should_stop: ShouldStop) -> None:
    """Stops as a whole."""
    os.kill(os.getpid(), signal.SIGSTOP)


def tick_along(spec: Any, emit: Tell, should_stop: ShouldStop) -> Outcome:
    for batch in range(40):
        emit(said.tick(batch=batch))
        time.sleep(0.03)
    return {}


def print_along(spec: Any, emit: Tell, should_stop: ShouldStop) -> Outcome:
    for number in range(40):
        print(number, flush=True)
        time.sleep(0.03)
    return {}


# Reasons to fail


def come_to_grief(spec: Any, emit: Tell, should_stop: ShouldStop) -> None:
    print("here it comes", flush=True)
    GRIEFS[spec.hyperparameters["what"]]()


def raise_no_memory() -> None:
    limit = 2**30
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    bytearray(2 * limit)


def allocate_too_much() -> None:
    import torch

    torch.empty(2**60)


def import_nothing() -> None:
    importlib.import_module("no_such_module")


def write_to_full_device() -> None:
    with open("/dev/full", "w") as full:
        full.write("x")


def outgrow_file_limit() -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
    with tempfile.TemporaryFile(buffering=0) as file:
        file.write(b"x" * 100)
        file.write(b"x")


def abort_without_memory() -> None:
    """As C++ does when `new` fails and nobody catches that."""
    os.write(2, b"terminate called after throwing an instance of 'std::bad_alloc'\n")
    os.abort()


def abort_without_memory_as_rust_does() -> None:
    """polars: its words, then a stack of each thread from the interpreter."""
    os.write(2, b"memory allocation of 336 bytes failed\n")
    os.abort()


GRIEFS = {
    **{f.__name__: f for f in (raise_no_memory, allocate_too_much, import_nothing, write_to_full_device)},
    **{f.__name__: f for f in (outgrow_file_limit, abort_without_memory, complain, abort_without_memory_as_rust_does)},
    "kill": FAULTS["kill"],
}


def train_with_nan(spec: Any, emit: Tell, should_stop: ShouldStop) -> Outcome:
    """A real training whose box loss is no number."""
    from ultralytics.utils.loss import BboxLoss

    from service.workers.programs import train

    stock = BboxLoss.forward
    BboxLoss.forward = lambda *arguments: tuple(loss * float("nan") for loss in stock(*arguments))
    return train(spec, emit, should_stop)


def save_as_the_library_does(spec: Any, emit: Tell, should_stop: ShouldStop) -> Outcome:
    """Epochs whose checkpoints are kept by the library's own `Keeper`; each after the first waits for the gate."""
    from AI.model_trainer.ultralytics.checkpoint_keeper import Keeper
    from AI.model_trainer.ultralytics.hooks import Saved

    logging.basicConfig(level=logging.WARNING)
    wanted, folder = spec.hyperparameters, spec.folder
    folder.mkdir(parents=True, exist_ok=True)
    keeper = Keeper(folder / "checkpoints")
    last = folder / "last.pt"
    last.write_bytes(os.urandom(wanted.get("bytes", 1_000)))
    for epoch in range(1, wanted["epochs"] + 1):
        if epoch == wanted["epochs"] and epoch > 3:  # the last of a run: there is room again
            while not Path(wanted["gate"] + "2").exists():
                time.sleep(0.005)
        if epoch == 2:
            wait_for_gate(spec)
        last.stat()
        keeper._keep(Saved(epoch, True, last, last, 1.0, {}))
        if keeper.newest:
            emit(said.checkpoint(epoch, wanted["epochs"], save_dir=str(folder)))
        emit(said.epoch_end(epoch, wanted["epochs"], save_dir=str(folder)))
    return {}
