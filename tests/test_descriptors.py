"""Open files: the limit is raised and shared out, so that streams leave enough for trainings and answers."""

import asyncio
import resource
import signal
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.web import descriptors
from tests.client import until
from tests.conftest import serve
from tests.process import Process, run
from tests.sockets import leave
from tests.tiny import make_dataset

pytestmark = [
    pytest.mark.timeout(120),  # services start and end
    pytest.mark.skipif(sys.platform != "linux", reason="looks at another process's limits"),
]


def within() -> tuple[str, ...]:
    """The command that starts another one that is given 200 open files and may take 256."""
    return "sh", "-c", 'ulimit -n 256 && ulimit -Sn 200 && exec "$@"', "sh"


@pytest.mark.parametrize("uvicorn", [False, True])
async def test_open_streams_leave_enough_for_trainings_and_answers(tmp_path: Path, uvicorn: bool) -> None:
    """Where 256 files may be open, and somebody wants 130 streams. A worker gets what the service was given."""
    data = make_dataset(tmp_path / "set")
    room = descriptors.share_out(256, trainings=1, streams=10_000)
    environment = {"YOLO_TRAINER_SLOTS": "1", "YOLO_TRAINER_PROGRAM": "tests.trainings:count_slowly"}
    async with (
        run(
            tmp_path / "data", uvicorn=uvicorn, within=within(), program="count_slowly", environment=environment
        ) as service,
        AsyncExitStack() as stack,
    ):
        assert resource.prlimit(service.process.pid, resource.RLIMIT_NOFILE) == (256, 256)
        answers = [await open_stream(service, stack) for _ in range(130)]
        assert answers == [b": all jobs\n"] * room.streams + [b": too many streams\n"] * (130 - room.streams)
        assert f"yolo_trainer_subscribers {room.streams}.0" in (await service.http.get("/metrics")).text
        assert (await service.http.get("/healthz")).status_code == 200
        first, second = [await service.submit(data, epochs=number) for number in (1, 2)]
        followed = await service.http.get(f"/jobs/{second}/logs?follow=1")
        assert (followed.status_code, followed.headers["retry-after"]) == (503, "20")
        assert followed.json()["code"] == "too_many_streams"
        assert f"{room.streams} streams are open" in followed.json()["detail"]
        assert (await service.http.post(f"/jobs/{second}/cancel")).status_code == 202
        assert (await ended(service, second))["status"] == "cancelled"
        done = await ended(service, first)
        assert (done["status"], done["progress"]["metrics"]) == ("completed", {"open_files": 200})
        service.process.send_signal(signal.SIGTERM)
    said = "".join(service.said)
    assert said.count(f"at most {room.streams} streams at once, not 10000: 256 files may be open") == 1
    assert said.count(f"{room.streams} streams are open, the most that are allowed") == 1


async def open_stream(service: Process, stack: AsyncExitStack) -> bytes:
    """Open the stream of all jobs, for as long as the stack is; the line behind `retry:`."""
    reader, writer = await asyncio.open_connection("127.0.0.1", httpx.URL(service.url).port)
    stack.push_async_callback(leave, writer)
    writer.write(b"GET /events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    await reader.readuntil(b"retry: ")
    await reader.readline()
    return await reader.readline()


async def ended(service: Process, job_id: str) -> dict[str, Any]:
    """The snapshot of a job that has ended; asked for, since there is no place for one more stream."""
    async with asyncio.timeout(60):
        while not (job := await service.snapshot(job_id))["ended_at"]:
            await asyncio.sleep(0.05)
    return job


@pytest.mark.parametrize(
    ("limit", "trainings", "wanted", "streams"),
    [
        (1_024, 1, 10_000, 681),
        (1_024, 8, 10_000, 618),
        (20_000, 1, 10_000, 10_000),
        (64, 64, 10_000, 12),
        (256, 1, 5, 5),
    ],
)
def test_what_is_shared_out_is_there(limit: int, trainings: int, wanted: int, streams: int) -> None:
    room = descriptors.share_out(limit, trainings=trainings, streams=wanted)
    assert room.streams == streams
    assert room.others > 0
    assert room.files > 0
    reserve = descriptors.OWN + descriptors.THREADS + descriptors.PER_TRAINING * trainings
    assert sum((room.streams, room.others, room.files)) <= max(limit - reserve, limit // 4)


def test_no_limit_is_taken_as_much_as_the_system_grants(monkeypatch: pytest.MonkeyPatch) -> None:
    """macOS says that there is none, and refuses to set it."""
    now = [256, resource.RLIM_INFINITY]

    def setrlimit(kind: int, wanted: tuple[int, int]) -> None:
        if not 0 <= wanted[0] <= 10_240:
            raise ValueError("current limit exceeds maximum limit")
        now[:] = wanted

    monkeypatch.setattr(descriptors.resource, "setrlimit", setrlimit)
    monkeypatch.setattr(descriptors.resource, "getrlimit", lambda kind: tuple(now))
    assert descriptors.raise_limit() == (256, 10_240)


async def test_as_many_downloads_as_there_are_places_are_sent_at_once(tmp_path: Path) -> None:
    async with serve(tmp_path / "data") as service:
        job_id = await service.submit("count")
        await service.events(job_id)
        file = tmp_path / "data" / "jobs" / job_id / "run" / "file.bin"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x")
        places = service.state["downloads"]
        places.total_tokens = 1
        async with places:
            waits = asyncio.create_task(service.http.get(f"/jobs/{job_id}/artifacts/file.bin"))
            await until(lambda: places.statistics().tasks_waiting)
            assert (await service.http.get("/healthz")).status_code == 200
        assert (await waits).content == b"x"
