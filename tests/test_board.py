"""The stream of all jobs."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from pydantic import ValidationError

from tests.client import frames, until
from tests.conftest import Running
from tests.vocabulary import checked_of_board

pytestmark = pytest.mark.timeout(60)  # the first start of a worker imports torch


@pytest.fixture
def service(both_ways: Running) -> Running:
    return both_ways


async def board(service: Running) -> AsyncIterator[dict[str, Any]]:
    async with service.http.stream("GET", "/events") as response:
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        async for fields in frames(response):
            assert "id" not in fields
            event = orjson.loads(fields["data"])
            assert event["event"] == fields["event"]
            yield event


async def test_it_begins_with_the_list_and_tells_what_each_job_becomes(service: Running, tmp_path: Path) -> None:
    old = await service.submit("count")
    await service.events(old)
    stream = board(service)
    first = await anext(stream)
    assert (first["event"], [job["job_id"] for job in first["jobs"]]) == ("jobs", [old])
    gate = tmp_path / "gate"
    running, waiting = await service.submit("wait", gate=str(gate)), await service.submit("count")
    seen: dict[str, dict[str, Any]] = {}
    async with asyncio.timeout(20):
        async for event in stream:
            if event["event"] == "positions":
                continue
            assert event["event"] == "job"
            seen[event["job_id"]] = event
            states = {job_id: job["status"] for job_id, job in seen.items()}
            if states == {running: "running", waiting: "queued"}:
                gate.touch()
            if states == {running: "completed", waiting: "completed"}:
                break
    assert seen[running].items() >= (await service.snapshot(running)).items()
    await stream.aclose()


async def test_each_frame_and_each_snapshot_in_it_is_held_against_its_type(service: Running) -> None:
    await service.events(await service.submit("count"))
    stream = board(service)
    told = await anext(stream)
    await stream.aclose()
    assert checked_of_board(orjson.dumps(told)) == told
    snapshot = told["jobs"][0]
    for wrong in ({**snapshot, "new": 1}, {**snapshot, "created_at": "today"}, {"job_id": snapshot["job_id"]}):
        with pytest.raises(ValidationError):
            checked_of_board(orjson.dumps({**told, "jobs": [wrong]}))
        with pytest.raises(ValidationError):
            checked_of_board(orjson.dumps({"event": "job", **wrong}))


async def test_a_job_is_told_of_at_most_twice_a_second(service: Running) -> None:
    stream = board(service)
    await anext(stream)
    store = service.state["store"]
    job_id = await service.submit("count", epochs=2_000)
    times: list[float] = []
    async with asyncio.timeout(20):
        async for event in stream:
            times.append(asyncio.get_running_loop().time())
            if event["status"] == "completed":
                break
    assert len(times) <= 2 + (times[-1] - times[0]) / 0.5
    assert store.job(job_id).last_seq > 2_000
    await stream.aclose()


async def test_what_happens_between_the_list_and_the_first_change_is_not_lost(service: Running) -> None:
    """Readers that come while jobs come: each one knows every job, by its list or by a change."""
    jobs: list[str] = []

    async def submit() -> None:
        jobs.extend([await service.submit("count") for _ in range(30)])

    async def read() -> None:
        known: dict[str, str] = {}
        async for event in board(service):
            for job in event.get("jobs", [event] if event["event"] == "job" else []):
                known[job["job_id"]] = job["status"]
            if len(jobs) == 30 and known.keys() >= set(jobs) and set(known.values()) == {"completed"}:
                return

    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        group.create_task(submit())
        for _ in range(20):
            group.create_task(read())
            await asyncio.sleep(0)
    await until(lambda: not service.state["hub"].board.subscribers)


async def test_places_in_the_queue_are_one_message_however_many_wait(service: Running, tmp_path: Path) -> None:
    """A start moves all that wait: told job by job, a viewer of a long queue got megabytes."""
    gates = [tmp_path / f"gate{number}" for number in range(2)]
    first, second = [await service.submit("wait", gate=str(gate)) for gate in gates]
    waiting = [await service.submit("wait", gate=str(tmp_path / "never")) for _ in range(40)]
    store = service.state["store"]
    await until(lambda: store.places == (second, *waiting) and store.job(first).status == "running")
    stream = board(service)
    listed = {job["job_id"]: job["queue_position"] for job in (await anext(stream))["jobs"]}
    assert [listed[job_id] for job_id in (first, second, *waiting)] == [None, *range(1, 42)]
    told: list[dict[str, Any]] = []
    async with asyncio.timeout(20):
        gates[0].touch()
        async for event in stream:
            told.append(event)
            if event["event"] == "positions":
                break
        gates[1].touch()
        async for event in stream:
            told.append(event)
            if event["event"] == "positions":
                break
    places = [event for event in told if event["event"] == "positions"]
    assert places == [
        {"event": "positions", "order": waiting, "waiting": 40},
        {"event": "positions", "order": waiting[1:], "waiting": 39},
    ]
    assert {event["job_id"] for event in told if event["event"] == "job"} <= {first, second, waiting[0]}
    assert [(await service.snapshot(job_id))["queue_position"] for job_id in waiting] == [None, *range(1, 40)]
    await stream.aclose()


async def test_the_board_keeps_nothing_for_nobody(service: Running) -> None:
    stream = board(service)
    await anext(stream)
    await service.events(await service.submit("count"))
    await until(lambda: service.state["hub"].board.last_seq)
    await stream.aclose()
    await until(lambda: not service.state["hub"].board.subscribers)
    await service.events(await service.submit("count"))
    assert not service.state["hub"].board._newest
