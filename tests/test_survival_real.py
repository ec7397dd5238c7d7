"""The same with Ultralytics: real, tiny trainings that are cancelled, killed, stopped and resumed, through HTTP."""

import csv
import os
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.client import follow, until
from tests.conftest import Running, serve
from tests.events import epochs, finals
from tests.process import Process, family, run
from tests.results import result
from tests.tiny import make_dataset, tiny_model

pytestmark = pytest.mark.timeout(120)  # it trains


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Running]:
    async with serve(tmp_path / "data", program="service.workers.programs:train") as running:
        yield running


class Training:
    """One job of a service, and what a user asks of it."""

    def __init__(self, service: Running | Process, job_id: str, folder: Path) -> None:
        self.service, self.id, self.folder = service, job_id, folder / "jobs" / job_id

    @classmethod
    async def start(cls, service: Running | Process, tmp_path: Path, model: str = "", **settings: Any) -> "Training":
        data = tmp_path / "set" / "data.yaml"
        payload = {
            "model": model or str(tiny_model(tmp_path)),
            "hyperparameters": {"epochs": 3, "imgsz": 32, "batch": 4, "plots": False, "cache": False} | settings,
            "fit_params": {"data": str(data if data.exists() else make_dataset(tmp_path / "set"))},
        }
        response = await service.http.post("/train", json=payload)
        assert response.status_code == 202, response.text
        return cls(service, response.json()["job_id"], tmp_path / "data")

    async def ask(self, what: str, status: int = 202, **body: Any) -> dict[str, Any]:
        response = await self.service.http.post(f"/jobs/{self.id}/{what}", **({"json": body} if body else {}))
        assert response.status_code == status, response.text
        return response.json()

    async def first(self, **wanted: Any) -> dict[str, Any]:
        async for event in follow(self.service.http, f"/jobs/{self.id}/events"):
            if wanted.items() <= event.items():
                return event
        raise AssertionError(f"there was no {wanted}")

    async def end(self) -> list[dict[str, Any]]:
        """All its events; afterwards no process of it is left."""
        events = await self.service.events(self.id)
        assert not family(next(event["pid"] for event in reversed(events) if event["event"] == "started"))
        return events

    def rows(self) -> list[int]:
        with (self.folder / "run" / "results.csv").open() as table:
            return [int(row["epoch"]) for row in csv.DictReader(table)]

    async def check_goes_on(self, total: int = 3, **body: Any) -> None:
        """It resumes to its end; the log and results.csv have each epoch once."""
        resumed = await self.ask("resume", **body)
        assert (resumed["status"], resumed["reason"]) == ("queued", "resumed")
        events = await self.end()
        assert events[-1]["event"] == "completed", events[-1]
        assert epochs(events) == self.rows() == list(range(1, total + 1))
        assert all(len(ends) == 1 for ends in finals(events).values())
        assert (self.folder / "run" / "weights" / "best.pt").exists()


PHASES = [
    {"event": "started"},
    {"event": "phase", "phase": "checking_data"},
    {"event": "phase", "phase": "training"},
    {"event": "phase", "phase": "validating", "epoch": 2},
    {"event": "phase", "phase": "finishing"},
]


@pytest.mark.parametrize("phase", PHASES, ids=lambda phase: phase.get("phase", "started"))
async def test_cancelled_in_a_phase_and_resumed(service: Running, tmp_path: Path, phase: dict[str, Any]) -> None:
    training = await Training.start(service, tmp_path)
    await training.first(**phase)
    await training.ask("cancel")
    await training.ask("cancel")
    assert (await training.end())[-1]["event"] == "cancelled"
    snapshot = await service.snapshot(training.id)
    if snapshot["checkpoint"] is None:
        assert "before its first checkpoint" in (await training.ask("resume", 409))["detail"]
    else:
        assert snapshot["resume"]["needs_epochs"] is False
        await training.check_goes_on()


async def test_without_the_copy_of_its_dataset_a_job_does_not_go_on(service: Running, tmp_path: Path) -> None:
    """The original may name a script to run: the service never trains on it."""
    training = await Training.start(service, tmp_path)
    await training.first(event="epoch_end", epoch=1)
    await training.ask("cancel")
    await training.end()
    (training.folder / "data.yaml").unlink()
    await training.ask("resume")
    assert "data.yaml, is missing: start a new training" in (await training.end())[-1]["error"]


async def test_resumed_after_its_worker_was_killed(service: Running, tmp_path: Path) -> None:
    training = await Training.start(service, tmp_path)
    pid = (await training.first(event="started"))["pid"]
    await training.first(event="epoch_end", epoch=2)
    os.kill(pid, signal.SIGKILL)
    assert (await training.end())[-1]["reason"] == "killed"
    await training.check_goes_on()


async def test_stopped_then_resumed_then_trained_for_longer(service: Running, tmp_path: Path) -> None:
    training = await Training.start(service, tmp_path, epochs=6)
    await training.first(event="epoch_end", epoch=1)
    assert (await training.ask("stop"))["stop_requested"]
    final = (await training.end())[-1]
    assert (final["event"], final["reason"]) == ("completed", "stopped")
    assert "completed" in (await training.ask("stop", 409))["detail"]
    await training.check_goes_on(6)
    assert "ask for more" in (await training.ask("resume", 409))["detail"]
    assert (await training.ask("resume", 422, epochs="9"))["errors"][0]["pointer"] == "/epochs"
    await training.check_goes_on(8, epochs=8)
    assert (await service.snapshot(training.id))["attempt"] == 3


async def test_a_job_that_was_killed_stopped_and_cancelled_ends_as_one_that_was_not(
    service: Running, tmp_path: Path
) -> None:
    settings = {"epochs": 12, "optimizer": "SGD", "close_mosaic": 4}
    whole = await Training.start(service, tmp_path, **settings)
    await whole.end()
    assert (await service.snapshot(whole.id))["resumed"] is None
    training = await Training.start(service, tmp_path, **settings)
    pid = (await training.first(event="started"))["pid"]
    await training.first(event="epoch_end", epoch=2)
    os.kill(pid, signal.SIGKILL)
    await training.end()
    for epoch, what in ((5, "stop"), (8, "cancel")):
        await training.ask("resume")
        await training.first(event="epoch_end", epoch=epoch)
        await training.ask(what)
        await training.end()
    await training.check_goes_on(12)
    assert result(training.folder / "run") == result(whole.folder / "run")
    snapshot = await service.snapshot(training.id)
    assert snapshot["attempt"] == 4
    assert snapshot["resumed"]["exact"]
    assert snapshot["resumed"]["epoch"] >= 8


async def test_a_job_that_goes_on_for_longer_is_not_exact_any_more(service: Running, tmp_path: Path) -> None:
    training = await Training.start(service, tmp_path, epochs=2)
    await training.end()
    await training.ask("resume", epochs=4)
    await training.first(event="epoch_end", epoch=3)
    await training.ask("cancel")
    await training.end()
    await training.check_goes_on(4)
    resumed = (await service.snapshot(training.id))["resumed"]
    assert resumed["exact"] is False
    assert resumed["reason"] == "epochs: 2 before, 4 now"


@pytest.mark.parametrize("method", ["forkserver", pytest.param("spawn", marks=pytest.mark.slow)])
async def test_going_on_after_the_service_was_killed(tmp_path: Path, method: str) -> None:
    async with run(tmp_path / "data", "--start-method", method, program="") as service:
        training = await Training.start(service, tmp_path, epochs=4)
        pid = (await training.first(event="started"))["pid"]
        seen = (await training.first(event="epoch_end", epoch=2))["seq"]
        service.process.kill()
        await service.process.wait()
        await until(lambda: not family(pid))
    async with run(tmp_path / "data", "--start-method", method, program="") as service:
        training.service = service
        rest = await service.events(training.id, seen)
        assert rest[-1]["event"] == "completed"
        events = await training.end()
        assert epochs(events) == training.rows() == [1, 2, 3, 4]
        assert [event["event"] for event in events].count("interrupted") == 1
        service.process.send_signal(signal.SIGTERM)


async def test_cancelled_while_it_downloads(tmp_path: Path) -> None:
    """From a server that takes the connection and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        proxy = f"http://127.0.0.1:{silent.getsockname()[1]}"
        environment = dict.fromkeys(("HTTPS_PROXY", "https_proxy"), proxy) | {"NO_PROXY": "127.0.0.1"}
        async with run(tmp_path / "data", program="", environment=environment) as service:
            training = await Training.start(service, tmp_path, model="yolov8n")
            await training.first(event="phase", phase="downloading")
            await training.ask("cancel")
            assert (await training.end())[-1]["event"] == "cancelled"
            service.process.send_signal(signal.SIGTERM)
