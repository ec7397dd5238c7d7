"""`POST /datasets/check`: the census of a dataset without a training."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from unittest import mock

import httpx
import psutil
import pytest

from service.errors import CheckFailed, TooManyChecks
from service.trainings.inspection import AT_ONCE, Inspections
from service.trainings.requests import CheckRequest
from service.workers.launcher import Launcher
from service.workers.limits import Limits
from tests.conftest import Running, serve
from tests.tiny import make_dataset, tiny_model

pytestmark = pytest.mark.timeout(60)  # the first start of a worker imports torch

KNOWN: dict[str, str | None] = {}


@pytest.fixture(scope="module")
def launcher() -> Launcher:
    return Launcher()


async def nobody_leaves() -> bool:
    return False


async def until(condition: Callable[[], Any]) -> Any:
    async with asyncio.timeout(30):
        while not (found := condition()):
            await asyncio.sleep(0.01)
    return found


def worker_of(inspections: Inspections) -> psutil.Process | None:
    """The worker of the only inspection, once it has started."""
    workers = [supervisor._worker for supervisor in inspections._running]
    return psutil.Process(workers[0].group.pid) if len(workers) == 1 and workers[0] is not None else None


async def check(service: Running, data: Path, **wanted: Any) -> httpx.Response:
    return await service.http.post("/datasets/check", json={"data": str(data), **wanted})


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Running]:
    async with serve(tmp_path / "data", program="service.workers.programs:train") as running:
        yield running


# With real datasets


async def test_a_check_tells_what_the_training_tells_and_leaves_it_a_warm_cache(
    service: Running, tmp_path: Path
) -> None:
    data = make_dataset(tmp_path / "set", train=12)
    for number in range(4):
        (tmp_path / "set" / "images" / "train" / f"{number}.png").write_bytes(b"<!doctype html>")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "set").rglob("*")}
    response = await check(service, data)
    assert response.status_code == 200, response.text
    checked = response.json()
    split = checked["splits"]["train"]
    assert (split["images"], split["labelled"], split["dropped"], split["instances"]) == (12, 8, 4, 8)
    assert split["bad"][0]["reason"].startswith("this is not an image: an HTML page")
    assert checked["classes"] == [
        {"name": "red", "instances": {"train": 4, "val": 2}},
        {"name": "green", "instances": {"train": 4, "val": 2}},
    ]
    assert checked["warnings"][0].startswith("train: 4 of 12 images are dropped (33%)")
    payload = {
        "model": str(tiny_model(tmp_path)),
        "hyperparameters": {"epochs": 1, "imgsz": 32, "batch": 4, "plots": False},
        "fit_params": {"data": str(data)},
    }
    events = await service.events((await service.http.post("/train", json=payload)).json()["job_id"])
    (told,) = [event for event in events if event["event"] == "dataset"]
    assert {name: told[name] for name in checked if name != "task"} | {"task": "detect"} == checked
    lines = [line for event in events if event["event"] == "log" for line in event["lines"]]
    assert [
        line
        for line in lines
        if line.startswith("train: Scanning") and "train.cache... 8 images, 0 backgrounds, 4 corrupt" in line
    ]
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "set").rglob("*")} == before
    assert not list((service.data / "cache").glob("check-*"))


async def test_the_task_is_told_from_the_dataset_or_by_the_request(service: Running, tmp_path: Path) -> None:
    poses, folder = make_dataset(tmp_path / "poses", "pose"), make_dataset(tmp_path / "folders", "classify")
    segments = make_dataset(tmp_path / "segments", "segment")
    found = [await check(service, poses), await check(service, folder), await check(service, segments, task="segment")]
    assert [response.json()["task"] for response in found] == ["pose", "classify", "segment"]
    assert [response.json()["splits"]["val"]["instances"] for response in found] == [4, 4, 4]
    packed = shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path / "poses")
    assert (await check(service, Path(packed), task="pose")).json() == found[0].json() | {
        "splits": mock.ANY,
        "warnings": [],
    }
    single = (await check(service, segments, single_cls=True)).json()
    assert single["classes"] == [{"name": "item", "instances": {"train": 8, "val": 4}}]


async def test_faults_of_a_dataset_are_those_of_a_training(service: Running, tmp_path: Path) -> None:
    data = make_dataset(tmp_path / "set")
    data.write_text(data.read_text().replace("images/val", "images/nowhere"))
    model = str(tiny_model(tmp_path))
    (trained,) = (await service.http.post("/train", json={"model": model, "fit_params": {"data": str(data)}})).json()[
        "errors"
    ]
    response = await check(service, data)
    assert (response.status_code, response.headers["content-type"]) == (422, "application/problem+json")
    assert response.json()["errors"] == [{**trained, "pointer": "/data"}]
    sound = make_dataset(tmp_path / "other")
    for image in (tmp_path / "other" / "images" / "val").iterdir():
        image.write_bytes(b"")
    (error,) = (await check(service, sound)).json()["errors"]
    assert error["pointer"] == "/data"
    assert error["detail"].startswith("val: none of the 4 images can be used: ")
    assert error["detail"].endswith(".png: this is not an image: an empty file; and 1 more")
    for body in ({}, {"data": ""}, {"data": "/x", "task": "paint"}, {"data": "/x", "model": "yolov8n"}, {"data": 7}):
        assert (await service.http.post("/datasets/check", json=body)).status_code == 422


async def test_what_lies_outside_of_the_roots_is_not_looked_at(tmp_path: Path) -> None:
    inside, outside = make_dataset(tmp_path / "in"), make_dataset(tmp_path / "out")
    async with serve(
        tmp_path / "data", data_root=[tmp_path / "in"], program="service.workers.programs:train"
    ) as service:
        assert (await check(service, outside)).status_code == 422
        assert (await check(service, inside)).status_code == 200


# With programs that stand in for the look


async def test_a_client_that_leaves_ends_the_look(service: Running, tmp_path: Path) -> None:
    inspections = service.state["inspections"]
    inspections._program = "tests.trainings:wait_in_folder"
    asking = asyncio.create_task(check(service, make_dataset(tmp_path / "set")))
    worker = await until(lambda: worker_of(inspections))
    asking.cancel()
    await until(lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE)
    await until(lambda: not inspections._running)
    assert not list((service.data / "cache").glob("check-*"))


async def test_more_than_a_few_at_once_are_asked_to_come_again(launcher: Launcher, tmp_path: Path) -> None:
    data = str(make_dataset(tmp_path / "set"))
    inspections = Inspections(launcher, tmp_path / "data", limits=Limits(), program="tests.trainings:wait_in_folder")
    wanted = CheckRequest(data=data)
    first = [asyncio.create_task(inspections.inspect(wanted, KNOWN, nobody_leaves)) for _ in range(AT_ONCE)]
    await until(lambda: len(inspections._running) == AT_ONCE)
    with pytest.raises(TooManyChecks) as refused:
        await inspections.inspect(wanted, KNOWN, nobody_leaves)
    assert (refused.value.status, refused.value.retry_after) == (429, 5)
    await inspections.close()
    await asyncio.gather(*first, return_exceptions=True)
    assert not inspections._running


async def test_a_look_that_takes_too_long_is_ended(launcher: Launcher, tmp_path: Path) -> None:
    data = str(make_dataset(tmp_path / "set"))
    inspections = Inspections(
        launcher, tmp_path / "data", limits=Limits(), program="tests.trainings:wait_in_folder", max_seconds=0.2
    )
    with pytest.raises(CheckFailed, match=r"more than 0\.2 seconds"):
        await inspections.inspect(CheckRequest(data=data), KNOWN, nobody_leaves)
    dead = Inspections(launcher, tmp_path / "data", limits=Limits(), program="tests.trainings:leave")
    with pytest.raises(CheckFailed, match="exit code 3"):
        await dead.inspect(CheckRequest(data=data), KNOWN, nobody_leaves)
    assert list((tmp_path / "data" / "cache").iterdir()) == []


async def test_what_a_killed_service_left_is_removed(tmp_path: Path) -> None:
    left = tmp_path / "data" / "cache" / "check-abc"
    left.mkdir(parents=True)
    (left / "train.0.txt").write_text("/x.png\n")
    async with serve(tmp_path / "data"):
        assert not left.exists()
