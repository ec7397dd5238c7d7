"""The demo as a user runs it: a process of its own, judged by what it prints, what it leaves and what it exits with."""

import os
import re
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import httpx
import psutil
import pytest

from service.store.store import Store
from service.workers.spec import ShouldStop
from tests import said
from tests.trainings import Tell

ROOT = Path(__file__).parent.parent
MARK = "DEMO_TEST_MARK"
#: Starting a service imports torch, which takes its time on a busy machine.
pytestmark = pytest.mark.timeout(240)  # it trains


@contextmanager
def demo(data_dir: Path, *options: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """The running command. Everything that it starts inherits a mark, by which what it leaves behind is found."""
    mark = secrets.token_hex(8)
    command = [sys.executable, "-m", "service", "demo", "--data-dir", str(data_dir), *options]
    how = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
    with subprocess.Popen(command, cwd=ROOT, env={**os.environ, MARK: mark, **environment}, **how) as process:
        try:
            yield process
            assert not left_after(mark, seconds=10)
        finally:
            for other in [process, *marked(mark)]:
                other.kill()


def marked(mark: str) -> list[psutil.Process]:
    """Living processes with this mark."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:  # it has just ended, or belongs to somebody else
            continue
    return found


def left_after(mark: str, seconds: float) -> list[psutil.Process]:
    """Marked processes that are still there after so many seconds; a forkserver leaves a moment after its service."""
    deadline = time.monotonic() + seconds
    while (left := marked(mark)) and time.monotonic() < deadline:
        psutil.wait_procs(left, timeout=0.1)
    return left


def say_one_epoch_and_hang(spec: Any, emit: Tell, should_stop: ShouldStop) -> None:
    emit(said.epoch_end(1, 2))
    time.sleep(600)


def test_it_trains_and_says_how_well(tmp_path: Path) -> None:
    with demo(tmp_path, "--epochs", "1") as process:
        out, err = process.communicate()
    assert (process.returncode, err) == (0, "")
    first, epoch, weights, page, again, last = out.splitlines()
    address = re.fullmatch(r"page     (http://127\.0\.0\.1:\d+/#[0-9a-f]+)", first)
    assert address and page.startswith(f"page     {address[1]}")
    assert epoch.startswith("epoch 1/1  mAP50 0.")
    assert Path(weights.removeprefix("weights  ")).is_file()
    assert re.fullmatch(r"mAP50 \d\.\d{3}", last)
    assert_is_served_by(again, address[1])


def assert_is_served_by(command: str, page: str) -> None:
    """Run a line as it was printed, from another folder, with no more of a shell than /bin/sh has."""
    bare = {name: value for name, value in os.environ.items() if name not in ("PATH", "PYTHONPATH", "VIRTUAL_ENV")}
    # In a new session, so that the service behind the shell is ended with it.
    how = {"cwd": "/", "env": bare, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
    with subprocess.Popen(["/bin/sh", "-c", command], **how) as process:
        try:
            assert any(line.startswith("listening on ") for line in process.stderr)
            address, _, job_id = page.partition("/#")
            assert httpx.get(f"{address}/jobs/{job_id}", trust_env=False).json()["status"] == "completed"
        finally:
            os.killpg(process.pid, signal.SIGTERM)


@contextmanager
def demo_on_a_terminal(data_dir: Path) -> Iterator[tuple[subprocess.Popen[bytes], BinaryIO]]:
    """The command with a terminal for its input and output; gives the process and the terminal's other end."""
    ours, theirs = os.openpty()
    command = [sys.executable, "-m", "service", "demo", "--data-dir", str(data_dir)]
    environment = {**os.environ, "YOLO_TRAINER_PROGRAM": "tests.trainings:count", "TERM": "xterm"}
    how = {"stdin": theirs, "stdout": theirs, "stderr": theirs, "start_new_session": True}
    with (
        open(ours, "r+b", buffering=0) as terminal,
        subprocess.Popen(command, cwd=ROOT, env=environment, **how) as process,
    ):
        os.close(theirs)
        try:
            yield process, terminal
        finally:
            process.send_signal(signal.SIGTERM)  # it takes its service along
            process.wait(30)


def read_until(terminal: BinaryIO, text: bytes) -> str:
    seen = b""
    while text not in seen:
        seen += terminal.read(65_536)
    return seen.decode()


def test_on_a_terminal_it_offers_to_stay_and_then_does(tmp_path: Path) -> None:
    with demo_on_a_terminal(tmp_path) as (process, terminal):
        seen = read_until(terminal, b"keep the page open?")
        page, job_id = re.search(r"(http://127\.0\.0\.1:\d+)/#([0-9a-f]+)", seen).groups()
        terminal.write(b"y\n")
        read_until(terminal, b"the page stays open")
        assert httpx.get(f"{page}/jobs/{job_id}", trust_env=False).json()["status"] == "completed"
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0


@pytest.mark.slow
def test_on_a_terminal_any_other_answer_ends_it(tmp_path: Path) -> None:
    with demo_on_a_terminal(tmp_path) as (process, terminal):
        read_until(terminal, b"keep the page open?")
        terminal.write(b"\n")
        assert process.wait(30) == 0


def test_a_failed_training_is_shown_with_its_reason_and_log(tmp_path: Path) -> None:
    with demo(tmp_path, YOLO_TRAINER_PROGRAM="tests.trainings:fail") as process:
        out, err = process.communicate()
    assert process.returncode == 1
    assert "mAP50" not in out
    assert "  about to fail\n" in err
    assert err.endswith("error: the training failed (error): ValueError: no such luck\n")


def test_a_folder_that_is_in_use_is_named(tmp_path: Path) -> None:
    store = Store(tmp_path)
    try:
        with demo(tmp_path) as process:
            out, err = process.communicate()
    finally:
        store.close()
    assert (process.returncode, out) == (1, "")
    assert f"another service (or make demo) runs on {tmp_path}" in err


def test_ctrl_c_cancels_the_job(tmp_path: Path) -> None:
    with demo(tmp_path, YOLO_TRAINER_PROGRAM="tests.test_demo:say_one_epoch_and_hang") as process:
        while not process.stdout.readline().startswith("epoch 1/2"):
            assert process.poll() is None
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the whole group
        _, err = process.communicate()
    assert process.returncode == 1
    assert err == "cancelling the training\nerror: the training was cancelled\n"
    store = Store(tmp_path)
    try:
        assert [job.status for job in store.jobs()] == ["cancelled"]
    finally:
        store.close()


@pytest.mark.slow
def test_a_service_that_dies_ends_the_demo(tmp_path: Path) -> None:
    with demo(tmp_path, YOLO_TRAINER_PROGRAM="tests.test_demo:say_one_epoch_and_hang") as process:
        while not process.stdout.readline().startswith("epoch 1/2"):
            assert process.poll() is None
        (service,) = (child for child in psutil.Process(process.pid).children() if "serve" in child.cmdline())
        service.kill()
        _, err = process.communicate()
    assert process.returncode == 1
    assert err.endswith("error: the service ended with exit code -9\n")
