"""Deleting jobs, and what a crash in the middle of that leaves."""

import shutil
import sqlite3
import time
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from service.errors import JobNotFinal, JobNotFound
from service.job import Job
from service.store.retention import AgeClock, Retention
from service.store.store import Store
from tests import said
from tests.client import frames, until
from tests.conftest import Running
from tests.house import House

pytestmark = pytest.mark.timeout(60)  # the first start of a worker imports torch


def keeper(house: House, **policy: Any) -> Retention:
    return Retention(house.store, house.data / "jobs", **{"keep_days": None, "keep_jobs": None, **policy})


class Times:
    """A clock for a retention that has run for `waited` seconds, and how the time passes."""

    def __init__(self, wall: float, waited: float = 3_600.0) -> None:
        self.wall, self.steady = wall - waited, 0.0
        self.clock = AgeClock(lambda: self.wall, lambda: self.steady)
        self.pass_by(waited)

    def pass_by(self, seconds: float) -> None:
        self.wall += seconds
        self.steady += seconds


def ended(house: House) -> str:
    """A job that has ended, with files."""
    job_id = house.submit("rehearse", epochs=2)
    house.end(job_id)
    assert (house.data / "jobs" / job_id / "checkpoints").is_dir()
    return job_id


def events_in(data: Path) -> int:
    with sqlite3.connect(data / "log.db") as log:
        (count,) = log.execute("SELECT count(*) FROM events").fetchone()
    log.close()
    return count


def test_a_deleted_job_is_gone_with_files_and_events(house: House) -> None:
    kept, deleted = ended(house), ended(house)
    before = events_in(house.data)
    retention = keeper(house)
    retention.delete(deleted)
    with pytest.raises(JobNotFound):
        house.store.job(deleted)
    with pytest.raises(JobNotFound):
        retention.delete(deleted)
    with pytest.raises(JobNotFound):
        house.runner.resume(deleted)
    assert [job.id for job in house.store.jobs()] == [kept]
    retention.start()
    house.until(lambda: not house.store.deletions())
    retention.close()
    assert [path.name for path in (house.data / "jobs").iterdir()] == [kept]
    assert events_in(house.data) == before / 2
    assert house.events(kept)


def test_what_has_not_ended_stays(house: House, tmp_path: Path) -> None:
    running = house.submit("wait", gate=str(tmp_path / "gate"))
    waiting = house.submit("count")
    retention = keeper(house, keep_jobs=0, keep_days=1e-9)
    retention._ages = Times(time.time() + 9).clock
    for job_id in (running, waiting):
        with pytest.raises(JobNotFinal, match="cancel it first"):
            retention.delete(job_id)
    retention._expire()
    assert len(house.store.jobs()) == 2
    (tmp_path / "gate").touch()
    house.end(running), house.end(waiting)


@pytest.mark.parametrize("crash", ["before the files", "in the files", "in the events"])
def test_a_restart_finishes_what_a_crash_interrupted(house: House, monkeypatch: pytest.MonkeyPatch, crash: str) -> None:
    job_id = ended(house)
    folder = house.data / "jobs" / job_id
    monkeypatch.setattr("service.store.store.PURGE_EVENTS", 3)
    retention = keeper(house)
    retention.delete(job_id)
    if crash == "in the files":
        (folder / "last.pt").unlink()
    if crash == "in the events":
        monkeypatch.setattr(
            house.store, "_ask", lambda command, **how: Store._ask(house.store, command, **how) or 1 / 0
        )
        with pytest.raises(ZeroDivisionError):
            retention._finish()
        assert not folder.exists()
        monkeypatch.undo()
    again = keeper(house)
    again.start()
    house.until(lambda: not house.store.deletions())
    again.close()
    assert not folder.exists()
    assert events_in(house.data) == 0


def test_the_newest_are_kept(house: House) -> None:
    jobs = [ended(house) for _ in range(4)]
    retention = keeper(house, keep_jobs=2)
    retention.start()
    house.until(lambda: len(house.store.jobs()) == 2 and not house.store.deletions())
    retention.close()
    assert [job.id for job in house.store.jobs()] == [jobs[3], jobs[2]]


def test_the_young_are_kept(house: House) -> None:
    old, young = ended(house), ended(house)
    retention = keeper(house, keep_days=1)
    between = ((house.store.job(old).ended_at or 0) + (house.store.job(young).ended_at or 0)) / 2
    retention._ages = Times(between + 86_400).clock
    retention._expire()
    assert [job.id for job in house.store.jobs()] == [young]


def test_a_clock_that_jumps_ahead_deletes_nothing_before_it_has_gone_steadily_for_an_hour(house: House) -> None:
    kept = ended(house)
    retention, times = keeper(house, keep_days=1), Times(time.time(), waited=0.0)
    retention._ages = times.clock
    for step in (0.0, 5 * 365 * 86_400.0, -5 * 365 * 86_400.0, 5 * 365 * 86_400.0):
        times.wall += step
        retention._expire()
        times.pass_by(3_599)
        retention._expire()
        assert [job.id for job in house.store.jobs()] == [kept]
    times.pass_by(1)
    retention._expire()
    assert house.store.jobs() == [], "in the end it is believed"


def test_a_start_with_a_clock_that_is_ahead_deletes_nothing(house: House) -> None:
    kept = ended(house)
    retention = keeper(house, keep_days=1)
    retention._ages = AgeClock(clock=lambda: time.time() + 5 * 365 * 86_400.0)
    retention.start()
    retention.delete(ended(house))
    house.until(lambda: not house.store.deletions())
    retention.close()
    assert [job.id for job in house.store.jobs()] == [kept]


def test_a_tenth_of_the_jobs_goes_for_its_age_in_an_hour(house: House, caplog: pytest.LogCaptureFixture) -> None:
    jobs = [f"job{number}" for number in range(21)]
    for name in jobs:
        house.store.create(Job(id=name, request={}))
        house.store.append(name, 1, said.failed()).result()
    retention, times = keeper(house, keep_days=1), Times(time.time() + 2 * 86_400)
    retention._ages = times.clock
    retention._expire()
    retention._expire()
    left = sorted(job.id for job in house.store.jobs())
    assert left == sorted(jobs[3:]), "the oldest first, rounded up; not again because somebody deletes another one"
    assert "21 of 21 jobs are older than 1 days: 3 of them" in caplog.text
    times.pass_by(3_600)
    retention._expire()
    assert len(house.store.jobs()) == 16


def test_files_that_cannot_be_removed_wait_alone(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    stuck, other = ended(house), ended(house)
    retention = keeper(house)
    retention.delete(stuck)
    retention.delete(other)
    rmtree = shutil.rmtree

    def refuse(path: Path) -> None:
        if path.name == stuck:
            raise PermissionError(13, "Permission denied")
        rmtree(path)

    monkeypatch.setattr("service.store.retention.shutil.rmtree", refuse)
    assert not retention._finish(), "the next round tries again"
    assert [job_id for _, job_id in house.store.deletions()] == [stuck]
    assert [path.name for path in (house.data / "jobs").iterdir()] == [stuck]
    monkeypatch.undo()
    assert retention._finish()


async def test_deleting_through_http(service: Running) -> None:
    job_id = await service.submit("count")
    async with httpx.AsyncClient(base_url=service.url) as other, other.stream("GET", "/events") as board:
        told = frames(board)
        await service.events(job_id)
        answer = await service.http.delete(f"/jobs/{job_id}")
        assert (answer.status_code, answer.content) == (204, b"")
        while (frame := await anext(told))["event"] != "deleted":
            pass
        assert orjson.loads(frame["data"])["job_id"] == job_id
    for path in ("", "/events", "/logs", "/artifacts"):
        assert (await service.http.get(f"/jobs/{job_id}{path}")).status_code == 404
    assert (await service.http.delete(f"/jobs/{job_id}")).status_code == 404
    await until(lambda: not service.state["store"].deletions())


async def test_who_still_reads_a_deleted_job_gets_an_end_without_a_final_event(
    service: Running, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("service.topic.PAGE_EVENTS", 3)
    job_id = await service.submit("count", epochs=20)
    await service.events(job_id)
    page, asked = service.state["store"].page, []

    def second_page_waits(*arguments: Any) -> Any:
        asked.append(arguments)
        if len(asked) == 2:
            service.state["store"].delete(job_id)
        return page(*arguments)

    monkeypatch.setattr(service.state["store"], "page", second_page_waits)
    events = await service.events(job_id)
    assert [event["seq"] for event in events] == [1, 2, 3]
    assert len(asked) == 2
    assert (await service.http.get(f"/jobs/{job_id}/events")).status_code == 404
    assert "Traceback" not in caplog.text


async def test_a_running_job_is_not_deleted(service: Running, tmp_path: Path) -> None:
    job_id = await service.submit("wait", gate=str(tmp_path / "gate"))
    assert (await service.http.delete(f"/jobs/{job_id}")).status_code == 409
    (tmp_path / "gate").touch()
    await service.events(job_id)
