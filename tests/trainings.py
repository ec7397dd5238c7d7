"""Tiny programs that stand in for a training: each shows the service one behaviour, none imports torch."""

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path


def count(spec, emit):
    """Says `epochs` epochs and completes."""
    epochs = spec["hyperparameters"].get("epochs", 3)
    print("counting", flush=True)
    for epoch in range(1, epochs + 1):
        emit({"event": "tick", "epoch": epoch, "total_epochs": epochs, "metrics": {}, "save_dir": spec["folder"]})
        emit(
            {
                "event": "epoch_end",
                "epoch": epoch,
                "total_epochs": epochs,
                "metrics": {"loss": 1 / epoch, "nothing": float("nan")},
                "save_dir": spec["folder"],
            }
        )
    return {"score": 0.5}


def wait(spec, emit):
    """Says one epoch, then waits for a file of the test's."""
    emit({"event": "epoch_end", "epoch": 1, "total_epochs": 1, "metrics": {}, "save_dir": spec["folder"]})
    return wait_for_gate(spec)


def speak_and_wait(spec, emit):
    print("last words", flush=True)
    return wait(spec, emit)


def wait_for_gate(spec):
    gate = Path(spec["hyperparameters"]["gate"])
    while not gate.exists():
        time.sleep(0.01)
    return {}


def steer(spec, emit):
    """Does what `hyperparameters.do` names: one program for tests that need several behaviours in one service."""
    return globals()[spec["hyperparameters"]["do"]](spec, emit)


def fail(spec, emit):
    print("about to fail")
    raise ValueError("no such luck")


def fail_in_colours(spec, emit):
    raise ValueError("no such luck\n  \x1b[34m\x1b[1mtrain: \x1b[0mno images\x07")


def leave(spec, emit):
    print("leaving")
    sys.exit(3)


def leave_quietly(spec, emit):
    os._exit(0)


def kill_self(spec, emit):
    for epoch in range(1, 1001):
        emit({"event": "epoch_end", "epoch": epoch, "total_epochs": 1000, "metrics": {}, "save_dir": ""})
    os.kill(os.getpid(), signal.SIGKILL)


def segfault(spec, emit):
    print("reading address 0", flush=True)
    ctypes.string_at(0)


def run_out_of_memory(spec, emit):
    raise MemoryError("no room")


def hang_at_exit(spec, emit):
    """Completes, but leaves a thread that never ends."""
    threading.Thread(target=threading.Event().wait).start()
    return {"score": 0.1}


def have_children(spec, emit):
    """Starts a child that outlives it if nobody ends the group, tells its pid, and waits."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    emit({"event": "epoch_end", "epoch": 1, "total_epochs": 1, "metrics": {"child": child.pid}, "save_dir": ""})
    return wait_for_gate(spec)


def leave_a_stranger(spec, emit):
    """Dies, but a child in a session of its own keeps stdout and stderr open."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    emit({"event": "epoch_end", "epoch": 1, "total_epochs": 1, "metrics": {"child": child.pid}, "save_dir": ""})
    sys.exit(4)


def ignore_sigterm(spec, emit):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    return wait(spec, emit)


def flood(spec, emit):
    """As many lines and ticks as fit into a second or so."""
    for number in range(20_000):
        print(f"line {number}")
    for number in range(5_000):
        emit({"event": "tick", "epoch": number, "total_epochs": 5_000, "metrics": {}, "save_dir": ""})
    return {}


def flood_and_fail(spec, emit):
    for number in range(2_000):
        print(f"line {number}")
    return fail(spec, emit)


def talk_nonsense(spec, emit):
    """Writes things that are no events, and one that is too long, into the queue."""
    emit({"event": "completed", "job_id": "somebody else's"} | {"event": "unheard of"})
    emit({"event": "epoch_end", "epoch": 1, "seq": 77, "job_id": "x", "attempt": 9, "metrics": {}})
    emit({"event": "log", "lines": ["x" * 2_000_000]})
    return {}


def forbid(spec, emit):
    """Raises what is no Exception."""
    raise KeyboardInterrupt


def print_bars(spec, emit):
    """Prints as progress bars and coloured tools do."""
    for percent in range(0, 101, 10):
        sys.stdout.write(f"\r\x1b[K{percent}%")
    print()
    print("\x1b[31mred\x1b[0m and \x1b[1mbold\x1b[0m")
    os.write(2, b"native \xff bytes, no newline")
    return {}


def train_and_count(spec, emit):
    """A real training, and the number of threads that torch had at its end."""
    import torch

    from service.worker import train

    return {**train(spec, emit), "threads": torch.get_num_threads()}


def wait_in_folder(spec, emit):
    """Says one epoch with its pid, then waits for ever."""
    emit({"event": "epoch_end", "epoch": 1, "total_epochs": 1, "metrics": {"pid": os.getpid()}, "save_dir": ""})
    threading.Event().wait()


def count_slowly(spec, emit):
    """Thirty epochs in a second or so."""
    for epoch in range(1, 31):
        emit({"event": "epoch_end", "epoch": epoch, "total_epochs": 30, "metrics": {}, "save_dir": ""})
        time.sleep(0.03)
    return {}
