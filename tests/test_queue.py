"""Which job gets a slot, how many may wait, requests that come twice, and attempts that take too long."""

import asyncio
import functools
import itertools
import time
from pathlib import Path
from typing import Any

import pytest

from service.errors import QueueFull
from service.job import Job
from service.workers.supervisor import Supervisor
from tests import said
from tests.client import follow, until
from tests.conftest import Running, serve
from tests.events import epochs
from tests.house import House
from tests.process import family, gone
from tests.tiny import make_dataset

pytestmark = pytest.mark.timeout(60)  # the first start of a worker imports torch


def submit(house: House, do: str, job_id: str, *, priority: int = 0, **hyperparameters: Any) -> str:
    request = {"model": "none", "hyperparameters": {"do": do, **hyperparameters}, "fit_params": {}}
    return house.runner.submit(Job(id=job_id, request={**request, "priority": priority})).id


def order(house: House, jobs: list[str]) -> list[str]:
    """The jobs by the time of their start."""
    for job_id in jobs:
        house.end(job_id)
    return sorted(jobs, key=lambda job_id: house.store.job(job_id).started_at or 0)


def test_higher_priority_first_and_equal_ones_in_the_order_of_their_coming(house: House, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    submit(house, "wait", "first", gate=str(gate))
    house.until(lambda: house.store.job("first").progress)
    jobs = [submit(house, "count", f"job{n}", priority=p) for n, p in enumerate([0, 5, -1, 5, 0])]
    house.until(lambda: [house.store.job(job_id).queue_position for job_id in jobs] == [3, 1, 5, 2, 4])
    gate.touch()
    assert order(house, jobs) == ["job1", "job3", "job0", "job4", "job2"]


def test_the_order_survives_a_restart(tmp_path: Path) -> None:
    house = House(tmp_path / "data")
    submit(house, "wait", "first", gate=str(tmp_path / "gate"))
    house.until(lambda: house.store.job("first").progress)
    jobs = [submit(house, "count", f"job{n}", priority=p) for n, p in enumerate([0, 5, 0])]
    house.close()
    (tmp_path / "gate").touch()
    again = House(tmp_path / "data")
    assert order(again, ["first", *jobs]) == ["first", "job1", "job0", "job2"]
    again.close()


def test_a_clock_that_is_set_back_turns_nothing_around(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    house = House(tmp_path / "data")
    submit(house, "wait", "first", gate=str(tmp_path / "gate"))
    house.until(lambda: house.store.job("first").progress)
    jobs = []
    for hours in (0, 1, 2):
        then = functools.partial(float, time.time() - 3_600 * hours)
        monkeypatch.setattr("service.store.transaction.time.time", then)
        jobs.append(submit(house, "count", f"job{hours}"))
        house.store.append(jobs[-1], 1, said.log()).result()
        assert house.store.places == tuple(jobs)
    monkeypatch.undo()
    house.close()
    again = House(tmp_path / "data")
    again.until(lambda: again.store.places == tuple(jobs))
    jobs.append(submit(again, "count", "last"))
    again.until(lambda: again.store.places == tuple(jobs))
    (tmp_path / "gate").touch()
    assert order(again, ["first", *jobs]) == ["first", *jobs]
    again.close()


async def test_who_follows_a_waiting_job_sees_it_move_up(service: Running, tmp_path: Path) -> None:
    gates = [tmp_path / f"gate{n}" for n in range(3)]
    for gate in gates:
        await service.submit("wait", gate=str(gate))
    last = await service.submit("count")
    await until(lambda: service.state["store"].job(last).queue_position == 3)
    seen: list[Any] = []
    async for event in follow(service.http, f"/jobs/{last}/events"):
        if event["event"] == "queued":
            gates[0].touch()
        elif event["event"] == "queue_position":
            seen.append(event["queue_position"])
            gates[len(seen)].touch()
        elif event["event"] == "started":
            seen.append("started")
    assert seen == [2, 1, "started"]
    assert (await service.snapshot(last))["queue_position"] is None


def test_twenty_jobs_on_two_devices_never_share_one(tmp_path: Path) -> None:
    house = House(tmp_path / "data", devices=("0", "1"))
    jobs = [house.submit("tell_device", epochs=3) for _ in range(20)]
    for job_id in jobs:
        assert house.end(job_id)["event"] == "completed"
    runs: dict[str, list[tuple[float, float]]] = {"0": [], "1": []}
    for job_id in jobs:
        events = house.events(job_id)
        assert {event["job_id"] for event in events} == {job_id}
        assert epochs(events) == [1, 2, 3]
        (device,) = {event["metrics"]["device"] for event in events if event["event"] == "epoch_end"}
        job = house.store.job(job_id)
        runs[str(int(device))].append((job.started_at or 0, job.ended_at or 0))
    for device in runs.values():
        device.sort()
        assert len(device) > 2
        assert all(end <= start for (_, end), (start, _) in itertools.pairwise(device))
    started = [house.store.job(job_id).started_at or 0 for job_id in jobs]
    # Two starts at once may be told in either order; more than that may not.
    assert all(started[n] <= started[n + 2] for n in range(18))
    house.close()


def test_only_so_many_may_wait(tmp_path: Path) -> None:
    house = House(tmp_path / "data", max_waiting=2)
    gate = tmp_path / "gate"
    jobs = [house.submit("wait", gate=str(gate)) for _ in range(3)]
    with pytest.raises(QueueFull, match="2 jobs wait"):
        house.submit("count")
    assert len(house.store.jobs()) == 3, "a refused one is not in the log"
    gate.touch()
    for job_id in jobs:
        house.end(job_id)
    house.end(house.submit("count"))
    house.close()


async def test_a_full_queue_says_when_to_come_back(tmp_path: Path) -> None:
    data = make_dataset(tmp_path / "set")
    payload = {"model": "yolov8n.yaml", "fit_params": {"data": str(data)}}
    async with serve(tmp_path / "data", program="tests.trainings:wait_in_folder", max_waiting=0) as service:
        assert (await service.http.post("/train", json=payload)).status_code == 202
        refused = await service.http.post("/train", json=payload)
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "60")
        assert len(list((service.data / "jobs").iterdir())) == 1, "no folder of a refused job is left"


# Requests that come twice


@pytest.fixture
async def counting(tmp_path: Path) -> Any:
    async with serve(tmp_path / "data", program="tests.trainings:count") as running:
        yield running


def training(tmp_path: Path, **hyperparameters: Any) -> dict[str, Any]:
    data = tmp_path / "set" / "data.yaml"
    if not data.exists():
        make_dataset(tmp_path / "set")
    return {"model": "yolov8n.yaml", "hyperparameters": hyperparameters, "fit_params": {"data": str(data)}}


async def test_the_same_request_twice_is_one_job(counting: Running, tmp_path: Path) -> None:
    headers, payload = {"Idempotency-Key": "mine-1"}, training(tmp_path, epochs=2)
    first = await counting.http.post("/train", json=payload, headers=headers)
    again = await counting.http.post("/train", json=dict(reversed(payload.items())), headers=headers)
    assert (first.status_code, again.status_code) == (202, 200)
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert first.json()["job_id"] == again.json()["job_id"]
    assert first.headers["location"] == again.headers["location"]
    other = await counting.http.post("/train", json=training(tmp_path, epochs=3), headers=headers)
    assert (other.status_code, "another request" in other.json()["detail"]) == (422, True)
    assert len((await counting.http.get("/jobs")).json()["jobs"]) == 1
    assert len(list((counting.data / "jobs").iterdir())) == 1


async def test_twenty_at_once_are_one_job(counting: Running, tmp_path: Path) -> None:
    payload = training(tmp_path)
    requests = [counting.http.post("/train", json=payload, headers={"Idempotency-Key": "k"}) for _ in range(20)]
    answers = await asyncio.gather(*requests)
    assert len({answer.json()["job_id"] for answer in answers}) == 1
    assert sorted(answer.status_code for answer in answers) == [200] * 19 + [202]
    assert len(list((counting.data / "jobs").iterdir())) == 1


async def test_a_key_is_known_after_a_restart_and_for_a_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    headers, payload = {"Idempotency-Key": "k"}, training(tmp_path)
    jobs = []
    for _ in range(2):
        async with serve(tmp_path / "data", program="tests.trainings:count") as service:
            answer = await service.http.post("/train", json=payload, headers=headers)
            jobs.append(answer.json()["job_id"])
            await service.events(jobs[-1])
            if len(jobs) == 2:
                later = time.time() + 25 * 3600
                monkeypatch.setattr("service.store.keys.time.time", functools.partial(float, later))
                answer = await service.http.post("/train", json=payload, headers=headers)
                assert answer.status_code == 202
                jobs.append(answer.json()["job_id"])
    assert jobs[0] == jobs[1] != jobs[2]


@pytest.mark.parametrize("key", ["", "x" * 256, "tab\there"])
async def test_a_key_is_a_short_text(counting: Running, tmp_path: Path, key: str) -> None:
    answer = await counting.http.post("/train", json=training(tmp_path), headers={"Idempotency-Key": key})
    assert answer.status_code == 400
    assert not (await counting.http.get("/jobs")).json()["jobs"]


# Too long


def test_an_attempt_that_runs_too_long_has_failed_and_can_be_resumed(house: House) -> None:
    request = {"model": "none", "fit_params": {}, "max_runtime_seconds": 0.3}
    hyperparameters = {"do": "rehearse", "epochs": 3, "fault": ["training", 2, "hang"]}
    job_id = house.runner.submit(Job(id="slow", request={**request, "hyperparameters": hyperparameters})).id
    final = house.end(job_id)
    assert (final["reason"], final["failure"]["reason"]) == ("timeout", "timeout")
    assert "0.3 seconds" in final["error"]
    assert "Resume it" in final["failure"]["hint"]
    assert gone(house.store.job(job_id).pid or 0)
    house.runner.resume(job_id)
    assert house.end(job_id)["event"] == "completed"


@pytest.mark.parametrize("what", ["tick_on_the_spot", "freeze"])
def test_a_training_without_progress_has_failed(tmp_path: Path, what: str) -> None:
    house = House(tmp_path / "data", stalled_seconds=0.5, grace_seconds=0.1)
    job_id = house.submit(what)
    final = house.end(job_id)
    assert (final["event"], final["reason"]) == ("failed", "stalled")
    assert family(house.store.job(job_id).pid or -2) == []
    house.close()


def test_ticks_of_another_batch_or_lines_of_the_log_are_progress(tmp_path: Path) -> None:
    house = House(tmp_path / "data", stalled_seconds=0.6)
    for what in ("tick_along", "print_along"):
        assert house.end(house.submit(what))["event"] == "completed"
    house.close()


def test_a_supervisor_without_bounds_waits_for_ever(house: House) -> None:
    job_id = house.submit("rehearse", epochs=1, fault=["training", 1, "hang"])
    house.until(lambda: house.store.job(job_id).phase == "training")
    (supervisor,) = house.runner._running.values()
    assert isinstance(supervisor, Supervisor)
    assert supervisor._patience() is None
    house.runner.cancel(job_id)
    house.end(job_id)
