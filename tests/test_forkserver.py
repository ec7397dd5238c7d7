"""A forkserver that dies, stops, or loses its socket costs no job: at each moment it is replaced by itself."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from contextlib import asynccontextmanager
from importlib import metadata
from multiprocessing import forkserver as stock
from multiprocessing.connection import Pipe
from multiprocessing.process import BaseProcess, current_process
from pathlib import Path

import orjson
import psutil
import pytest

from service.errors import NotReady
from service.trainings import catalog
from service.trainings.readiness import Readiness
from service.workers import forkserver, launcher, starting, worker
from service.workers.launcher import EventQueue, Launcher, StartFailed
from service.workers.spec import BEGIN, Spec
from tests.client import until
from tests.conftest import serve
from tests.events import epochs
from tests.house import House
from tests.process import gone

PRELOAD = ["service.workers.tether", "tests.preload_gate", "service.workers.worker"]
pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="workers are spawned elsewhere"),
    pytest.mark.timeout(60),  # forkservers and workers end and start
]


def end_forkserver() -> None:
    if (pid := forkserver.pid()) is not None:
        forkserver.end(pid)


@pytest.fixture
def light(monkeypatch: pytest.MonkeyPatch) -> Iterator[Launcher]:
    """Starts from a forkserver that imports next to nothing; the one that other tests use is ended for it."""
    monkeypatch.setattr(launcher, "LOOK_SECONDS", 0.05)
    end_forkserver()
    yield Launcher(preload=PRELOAD)
    end_forkserver()


def spec(folder: Path, do: str = "count") -> Spec:
    wanted = {"do": do, "epochs": 1}
    places = {"folder": folder, "cache_dir": folder, "datasets_dir": folder}
    return Spec(id=do, program="tests.trainings:steer", hyperparameters=wanted, **places)


def run(launcher: Launcher, folder: Path) -> list[str]:
    """What a worker tells that is started now, however often that is tried."""
    started = starting.start(launcher, spec(folder), Future())
    assert started is not None
    started.ask(BEGIN)
    told = []
    try:
        while True:
            told.append(orjson.loads(started.queue.get())[1]["event"])
    except EOFError:
        started.process.join()
        started.close()
        return told


def open_house(folder: Path) -> House:
    """Whose next forkserver imports next to nothing."""
    house = House(folder)
    house.launcher._context.set_forkserver_preload(PRELOAD)  # type: ignore[attr-defined]
    return house


def freeze() -> int:
    pid = forkserver.pid()
    assert pid
    os.kill(pid, signal.SIGSTOP)
    while psutil.Process(pid).status() != psutil.STATUS_STOPPED:
        time.sleep(0.001)
    return pid


def kill() -> None:
    os.kill(forkserver.pid() or 0, signal.SIGKILL)


def remove_socket() -> None:
    os.unlink(stock._forkserver._forkserver_address)  # type: ignore[attr-defined]


def remove_folder() -> None:
    shutil.rmtree(Path(stock._forkserver._forkserver_address).parent)  # type: ignore[attr-defined]


@pytest.mark.parametrize("harm", [kill, freeze, remove_socket, remove_folder])
def test_a_forkserver_of_no_use_is_replaced_by_the_next_start(
    light: Launcher, tmp_path: Path, harm: Callable[[], object]
) -> None:
    assert run(light, tmp_path) == ["tick", "epoch_end", "completed"]
    assert (light.is_warm(), light.fault(), light.forkservers) == (True, None, 1)
    before = forkserver.pid()
    harm()
    while light.fault() is None:  # a kill takes its time
        time.sleep(0.001)
    assert not light.is_warm()
    assert run(light, tmp_path) == ["tick", "epoch_end", "completed"]
    assert (light.is_warm(), light.forkservers) == (True, 2)
    assert gone(before or 0)


def test_a_folder_for_temporary_files_with_too_long_a_name_for_sockets(
    light: Launcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("long" * 20)
    long.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(long))
    monkeypatch.delitem(current_process()._config, "tempdir", raising=False)  # type: ignore[attr-defined]
    assert run(light, tmp_path) == ["tick", "epoch_end", "completed"]
    assert list(long.iterdir()) == []


def test_what_keeps_a_forkserver_from_starting_is_told(
    light: Launcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stock._forkserver, "_forkserver_pid", None)  # type: ignore[attr-defined]

    def refuse() -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(stock._forkserver, "ensure_running", refuse)  # type: ignore[attr-defined]
    with pytest.raises(StartFailed, match=r"the forkserver cannot be started: .*No space left on device"):
        light.start(worker.greet, EventQueue(), ())


def test_a_forkserver_that_somebody_else_started_is_let_alone(light: Launcher, tmp_path: Path) -> None:
    run(light, tmp_path)
    forkserver._ours.clear()
    pid = freeze()
    forkserver.end(pid)
    watch = forkserver.Watch()
    watch.look()
    watch.look()
    assert psutil.Process(pid).status() == psutil.STATUS_STOPPED
    os.kill(pid, signal.SIGCONT)
    forkserver._ours.add(pid)


def test_a_start_that_nobody_wants_any_more_is_not_waited_for(
    light: Launcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launcher, "LOOK_SECONDS", 600)  # nothing replaces the forkserver
    run(light, tmp_path)
    pid, unwanted = freeze(), Future[None]()
    told: list[object] = []
    waiting = threading.Thread(target=lambda: told.append(starting.start(light, spec(tmp_path), unwanted)))
    waiting.start()
    unwanted.set_result(None)
    waiting.join(20)
    assert told == [None]
    os.kill(pid, signal.SIGCONT)  # it does what it was asked for: a worker that ends by itself
    assert run(light, tmp_path) == ["tick", "epoch_end", "completed"]


def test_a_cancel_of_a_job_whose_start_hangs(light: Launcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launcher, "LOOK_SECONDS", 600)
    run(light, tmp_path)
    house = House(tmp_path / "data", grace_seconds=600)
    pid = freeze()
    job_id, next_job = house.submit("count"), house.submit("count")
    house.until(lambda: job_id in house.runner._running)
    house.runner.cancel(job_id)
    assert house.end(job_id)["event"] == "cancelled"
    assert [event["event"] for event in house.events(job_id)] == ["queued", "cancelled"]
    os.kill(pid, signal.SIGCONT)
    assert house.end(next_job)["event"] == "completed"
    house.close()


def test_a_worker_does_nothing_before_it_is_told_to_begin(light: Launcher, tmp_path: Path) -> None:
    started = starting.start(light, spec(tmp_path / "folder"), Future())
    assert started is not None
    assert os.getsid(started.group.pid) != started.group.pid
    started.requests.close()
    with pytest.raises(EOFError):
        started.queue.get()
    started.process.join()
    assert (started.process.exitcode, started.stdout.poll(), list(tmp_path.iterdir())) == (0, True, [])
    started.close()


@pytest.mark.usefixtures("light")
def test_a_try_that_got_no_answer_leaves_one_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The forkserver dies between its fork and its answer: its child is there, and nobody has heard of it."""
    strays, as_ever = [], stock.read_signed

    def read_signed(pipe: int) -> int:
        number = as_ever(pipe)
        if not strays:
            strays.append(number)
            raise EOFError
        return number

    house = open_house(tmp_path / "data")
    monkeypatch.setattr(stock, "read_signed", read_signed)
    job_id = house.submit("rehearse", epochs=20)
    assert house.end(job_id)["event"] == "completed"
    events = house.events(job_id)
    assert epochs(events) == list(range(1, 21))
    assert len([event for event in events if event["event"] == "started"]) == 1
    assert strays != [house.store.job(job_id).pid]
    house.until(lambda: gone(strays[0]))
    house.close()


@pytest.mark.slow
@pytest.mark.usefixtures("light")
def test_ten_forkservers_die_as_they_fork(tmp_path: Path) -> None:
    """In the very moment, as an OOM killer would choose it: they are killed once they have one child more."""
    house = open_house(tmp_path / "data")
    house.end(house.submit("count"))
    for _ in range(10):
        pid = forkserver.pid() or 0
        children = Path(f"/proc/{pid}/task/{pid}/children")
        before = children.read_text()
        job_id = house.submit("rehearse", epochs=20)
        while children.read_text() == before and not house.store.job(job_id).is_final:
            pass
        os.kill(pid, signal.SIGKILL)
        assert house.end(job_id)["event"] == "completed"
        events = house.events(job_id)
        assert epochs(events) == list(range(1, 21))
        assert len([event for event in events if event["event"] == "started"]) == 1
        house.until(lambda pid=pid: not _workers(pid))
        assert house.end(house.submit("count"))["event"] == "completed"
    house.close()


def _workers(forkserver_pid: int) -> list[int]:
    """What runs the command line of a forkserver and is neither this one nor the newest."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        is_fork = any("multiprocessing.forkserver" in part for part in process.info["cmdline"] or [])
        if is_fork and process.pid not in (forkserver_pid, forkserver.pid()) and _is_of_this_test(process):
            found.append(process.pid)
    return found


def _is_of_this_test(process: psutil.Process) -> bool:
    return "tests.preload_gate" in " ".join(process.info["cmdline"]) and process.info["status"] != "zombie"


# The warm start


def keep_table(folder: Path) -> None:
    kept = folder / "cache" / f"arguments-{metadata.version('ultralytics')}-{catalog.TABLE_VERSION}.json"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(orjson.dumps({"arguments": {}, "models": [], "model_configs": [], "model_table": []}))


@asynccontextmanager
async def readiness(launcher: Launcher, folder: Path) -> AsyncIterator[Readiness]:
    """One that knows the arguments already, so that nothing needs Ultralytics."""
    keep_table(folder)
    opened = Readiness(launcher, folder)
    opened.start()
    try:
        yield opened
    finally:
        opened.close()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "NEEDED", ())
    monkeypatch.setattr("service.trainings.readiness.LOOK_SECONDS", 0.02)
    monkeypatch.setattr("service.trainings.readiness.FIRST_PAUSE_SECONDS", 0.05)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("harm", [signal.SIGKILL, signal.SIGSTOP])
async def test_a_warm_start_whose_forkserver_dies_is_tried_again(
    light: Launcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harm: int
) -> None:
    gate = tmp_path / "gate"
    light._environment["PRELOAD_GATE"] = str(gate)
    async with readiness(light, tmp_path / "data") as ready:
        reached = Path(f"{gate}.reached")
        for _ in range(3):
            await until(lambda: reached.exists() and reached.read_text() == str(forkserver.pid()))
            assert ready.reason()
            assert not light.is_warm()
            os.kill(forkserver.pid() or 0, harm)
            await until(lambda: ready.reason() and "tried again" in ready.reason())
            with pytest.raises(NotReady, match="workers cannot start: the forkserver"):
                await ready.wait(20)
        gate.touch()
        await until(lambda: ready.reason() is None)
        assert (await ready.wait(20)).arguments == {}
        assert light.is_warm()


@pytest.mark.usefixtures("quick")
async def test_a_forkserver_that_stops_as_a_worker_of_the_warm_start_ends_is_replaced(
    light: Launcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the one that tells of the worker's end."""
    monkeypatch.setattr(catalog, "END_SECONDS", 0.1)
    as_ever, frozen = BaseProcess.join, []

    def join(process: BaseProcess, timeout: float | None = None) -> None:
        if not frozen:
            frozen.append(freeze())
            monkeypatch.setattr(process._popen, "poll", lambda flag=0: time.sleep(timeout or 600))  # type: ignore[attr-defined]
        as_ever(process, timeout)

    monkeypatch.setattr(BaseProcess, "join", join)
    async with readiness(light, tmp_path) as ready:
        await until(lambda: frozen and forkserver.pid() not in (None, *frozen) and ready.reason() is None)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("harm", [kill, freeze, remove_socket, remove_folder])
async def test_an_idle_forkserver_of_no_use_is_replaced_ahead_of_the_next_job(
    light: Launcher, tmp_path: Path, harm: Callable[[], object]
) -> None:
    async with readiness(light, tmp_path) as ready:
        await until(lambda: ready.reason() is None)
        before = forkserver.pid()
        harm()
        await until(lambda: forkserver.pid() != before and ready.reason() is None)
        assert ready.catalog.done(), "a POST need not wait for it"
        assert light.starts == 2


async def test_a_broken_environment_is_told_and_tried_again(
    light: Launcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick: None
) -> None:
    monkeypatch.setattr(catalog, "NEEDED", ("no_such_module",))
    async with readiness(light, tmp_path) as ready:
        with pytest.raises(NotReady, match="no_such_module is not installed"):
            await ready.wait(20)
        assert "no_such_module" in str(ready.reason())
        monkeypatch.setattr(catalog, "NEEDED", ())
        await until(lambda: ready.reason() is None)


@pytest.mark.usefixtures("light", "quick")
async def test_what_keeps_workers_from_starting_is_told_to_who_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.app.PRELOAD", PRELOAD)
    monkeypatch.setattr(catalog, "NEEDED", ("no_such_module",))
    keep_table(tmp_path / "data")
    async with serve(tmp_path / "data") as service:
        for answer in (await service.http.post("/train", json={}), await service.http.get("/readyz")):
            assert answer.status_code == 503
            assert "no_such_module is not installed" in answer.json()["detail"]
        monkeypatch.setattr(catalog, "NEEDED", ())
        await service.state["readiness"].catalog
        assert (await service.http.get("/readyz")).status_code == 200
        assert "yolo_trainer_forkserver_up 1.0" in (await service.http.get("/metrics")).text
        service.state["readiness"].close()  # nothing replaces it
        kill()
        await until(forkserver.fault)
        answer = await service.http.get("/readyz")
        assert (answer.status_code, "has died" in answer.json()["detail"]) == (503, True)
        assert "yolo_trainer_forkserver_up 0.0" in (await service.http.get("/metrics")).text


# What multiprocessing calls by private names


@pytest.mark.parametrize("name", ["_forkserver_pid", "_lock"])
def test_where_one_is_not_there_workers_are_spawned(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    monkeypatch.delattr(stock._forkserver, name)  # type: ignore[attr-defined]
    assert Launcher().method == "spawn"
    (said,) = caplog.messages
    assert f"has no {name}: workers are spawned" in said


# The end of the service

SERVICE = """
import sys
from pathlib import Path
from service.workers.launcher import EventQueue, Launcher
from service.workers import worker
launcher = Launcher(preload=sys.argv[1].split(","), environment={"PRELOAD_GATE": sys.argv[2]})
queue = EventQueue()
process = launcher.start(worker.greet, queue, ())
queue.get()
process.join()
print("warm", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("when", ["importing", "idle", "stopped"])
def test_a_forkserver_ends_with_its_service_and_says_nothing(tmp_path: Path, when: str) -> None:
    gate = tmp_path / "gate"
    reached = Path(f"{gate}.reached")
    if when != "importing":
        gate.touch()
    command = [sys.executable, "-c", SERVICE, ",".join(PRELOAD), str(gate)]
    service = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    while not reached.exists() or not reached.read_text():
        time.sleep(0.005)
    pid = int(reached.read_text())
    assert not gone(pid)
    if when == "importing":
        service.kill()
    else:
        assert service.stdout is not None
        assert service.stdout.readline() == b"warm\n"
    if when == "stopped":
        os.kill(pid, signal.SIGSTOP)
    _, said = service.communicate()  # its standard input ends, and the service with it
    while not gone(pid):
        time.sleep(0.005)
    assert said == b""


def test_a_failed_start_closes_the_worker_s_ends(light: Launcher, monkeypatch: pytest.MonkeyPatch) -> None:
    queue, (control, requests) = EventQueue(), Pipe(duplex=False)

    def refuse(*arguments: object) -> None:
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr(stock._forkserver, "connect_to_new_process", refuse)  # type: ignore[attr-defined]
    monkeypatch.setattr(stock, "connect_to_new_process", refuse)
    with pytest.raises(StartFailed):
        light.start(worker.main, queue, control)
    with pytest.raises(EOFError):
        queue.get()
    assert control.closed
    for end in (queue.reader, requests):
        end.close()


async def test_a_closed_warm_start_ends_its_thread(light: Launcher, tmp_path: Path, quick: None) -> None:
    async with readiness(light, tmp_path) as ready:
        await until(lambda: ready.reason() is None)
    await until(lambda: "warm-up" not in {thread.name for thread in threading.enumerate()})
    assert asyncio.get_running_loop().is_running()
