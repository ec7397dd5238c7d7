"""A disk that hangs: what can be told and done without it goes on. Nothing waits for it under the runner's lock."""

import asyncio
import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from anyio import to_thread

from AI.model_trainer.checkpoints import Generation, generations
from service.store.transaction import Transaction
from service.streaming import Hub
from service.web.metrics import Metrics
from tests import light
from tests.client import until
from tests.conftest import Running
from tests.house import House
from tests.process import ROOT

pytestmark = pytest.mark.timeout(60)  # the first start of a worker imports torch


def ends(act: Callable[[], Any]) -> bool:
    """Whether something ends, in a thread of its own: if not, that one is left behind."""
    thread = threading.Thread(target=act, daemon=True)
    thread.start()
    thread.join(10)
    return not thread.is_alive()


@contextlib.contextmanager
def hung_writer(house: House, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A commit that hangs, and no room for one more command."""
    hangs, goes_on = threading.Event(), threading.Event()
    as_ever = Transaction.place

    def hang(log: Transaction, order: tuple[str, ...]) -> None:
        hangs.set()
        goes_on.wait()
        as_ever(log, order)

    monkeypatch.setattr(Transaction, "place", hang)
    house.runner._fill()
    hangs.wait()
    monkeypatch.setattr("service.store.writer.QUEUE_SIZE", 0)
    try:
        yield
    finally:
        monkeypatch.undo()
        goes_on.set()


def test_a_writer_without_room_stops_neither_the_decisions_nor_the_metrics(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    metrics = Metrics()
    metrics.watch(house.store, Hub(), house.runner, house.launcher)
    running = house.submit("wait", gate=str(tmp_path / "gate"))
    waiting = house.submit("count")
    house.until(lambda: house.store.job(running).progress)
    with hung_writer(house, monkeypatch):
        assert ends(house.runner._fill)
        assert ends(house.runner.load)
        with house.store._read_lock:  # as a read that hangs
            assert ends(metrics.text)
            assert ends(house.runner._fill)
    (tmp_path / "gate").touch()
    assert house.end(running)["event"] == house.end(waiting)["event"] == "completed"


def test_a_folder_that_hangs_keeps_no_other_job_from_its_start_or_its_cancel(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck = house.submit("rehearse", epochs=3, fault=["training", 2, "kill"])
    house.end(stuck)
    hangs, goes_on = threading.Event(), threading.Event()

    def hang(folder: Path) -> list[Generation]:
        if folder.parent.name == stuck:
            hangs.set()
            goes_on.wait()
        return generations(folder)

    monkeypatch.setattr("service.runner.generations", hang)
    resume = threading.Thread(target=house.runner.resume, args=(stuck,))
    resume.start()
    hangs.wait()
    other = house.submit("wait", gate=str(tmp_path / "never"))
    house.until(lambda: house.store.job(other).progress)
    assert ends(house.runner.load)
    assert ends(lambda: house.runner.cancel(other))
    assert house.end(other)["event"] == "cancelled"
    assert house.end(house.submit("count"))["event"] == "completed"
    goes_on.set()
    resume.join()
    assert house.end(stuck)["event"] == "completed"


def test_no_folder_is_looked_into_under_the_lock(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def look(folder: Path) -> list[Generation]:
        assert not house.runner._lock.locked()
        return generations(folder)

    monkeypatch.setattr("service.runner.generations", look)
    job_id = house.submit("rehearse", epochs=3, fault=["training", 2, "kill"])
    house.end(job_id)
    house.runner.resume(job_id)
    assert house.end(job_id)["event"] == "completed"


async def test_looking_for_datasets_takes_no_thread_from_other_requests(
    service: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    goes_on = threading.Event()

    def hang(roots: object) -> list[dict[str, str]]:
        goes_on.wait()
        return []

    monkeypatch.setattr("service.datasets.search.find", hang)
    job_id = await service.submit("count")
    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(service.http.get("/datasets")) for _ in range(45)]  # more than anyio has threads
        await until(lambda: service.state["checkers"].statistics().tasks_waiting >= 40)
        try:
            async with asyncio.timeout(10):
                assert (await service.http.get(f"/jobs/{job_id}")).status_code == 200
                assert (await service.http.get("/metrics")).status_code == 200
        finally:
            goes_on.set()
    assert {task.result().status_code for task in asked} == {200}


async def test_reads_that_hang_stop_neither_the_metrics_nor_who_asks_of_a_running_job(
    service: Running, tmp_path: Path
) -> None:
    ended, running = await service.submit("count"), await service.submit("wait", gate=str(tmp_path / "never"))
    await service.events(ended)
    await until(lambda: service.state["store"].job(running).progress)
    async with asyncio.TaskGroup() as group:
        with service.state["store"]._read_lock:  # as a read that hangs
            asked = [group.create_task(service.http.get(f"/jobs/{ended}")) for _ in range(45)]
            await until(lambda: to_thread.current_default_thread_limiter().statistics().tasks_waiting)
            async with asyncio.timeout(20):
                for path in ("/metrics", "/readyz", f"/jobs/{running}"):
                    assert (await service.http.get(path)).status_code in (200, 503), path
                for act in ("stop", "cancel"):
                    assert (await service.http.post(f"/jobs/{running}/{act}")).status_code == 202
                await until(lambda: service.state["store"].current(running) is None)
    assert {task.result().status_code for task in asked} == {200}


#: A service whose commits hang once the file that is named first is there.
HANGS = """
import sys, threading
from pathlib import Path
from service.store import writer
gate, commit = Path(sys.argv.pop(1)), writer.Writer._commit
def hang(self, batch):
    while gate.exists():
        print("hangs", file=sys.stderr, flush=True)
        threading.Event().wait()
    return commit(self, batch)
writer.Writer._commit, writer.CLOSE_SECONDS = hang, 0.5
"""


async def test_a_service_whose_commit_hangs_leaves_when_it_is_told(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    light.TABLE.lend(tmp_path / "data")
    command = [sys.executable, "-c", HANGS + light.COMMAND, str(gate), "serve", "--port", "0"]
    process = await asyncio.create_subprocess_exec(
        *command, "--data-dir", str(tmp_path / "data"), cwd=ROOT, stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    try:
        url = (await until_said(process.stderr, b"listening on ")).decode().split()[-1]
        gate.touch()
        async with httpx.AsyncClient(base_url=url, timeout=60) as http:
            asked = asyncio.create_task(http.post("/demo"))
            await until_said(process.stderr, b"hangs")
            process.terminate()
            said = await process.stderr.read()
            await asyncio.gather(asked, return_exceptions=True)
        assert b"the log's last commit hangs" in said
        assert await process.wait() in (0, -signal.SIGTERM)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def until_said(stderr: asyncio.StreamReader, beginning: bytes) -> bytes:
    """The next line that begins so."""
    async for line in stderr:
        if line.startswith(beginning):
            return line
    raise AssertionError(f"it never said {beginning!r}")
