"""A job's log as plain text."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from service import lines, logs
from service.events import Record
from service.jobs import Job
from service.store import Store
from tests.client import until
from tests.conftest import Running, serve


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Running]:
    async with serve(tmp_path / "data") as running:
        yield running


async def text(service: Running, job_id: str, query: str = "") -> list[str]:
    response = await service.http.get(f"/jobs/{job_id}/logs{query}")
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert response.text == "" or response.text.endswith("\n")
    return response.text.splitlines()


async def test_the_whole_log_comes_as_it_was_written(service: Running) -> None:
    job_id = await service.submit("flood")
    await service.events(job_id)
    lines = [f"line {number}" for number in range(20_000)]
    assert await text(service, job_id) == lines
    assert await text(service, job_id, "?follow=1") == lines
    assert await text(service, job_id, "?follow=0&tail=3") == lines[-3:]
    assert await text(service, job_id, "?follow=false&tail=3") == lines[-3:]
    assert await text(service, job_id, "?tail=3&follow=1") == lines[-3:]
    assert await text(service, job_id, "?tail=0") == []
    assert await text(service, job_id, "?tail=10000") == lines[-10_000:]


async def test_a_log_is_followed_to_the_end_of_its_job(service: Running, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    job_id = await service.submit("speak_and_wait", gate=str(gate))
    seen: list[str] = []

    async def read() -> None:
        async with service.http.stream("GET", f"/jobs/{job_id}/logs?follow=1") as response:
            seen.extend([line async for line in response.aiter_lines()])

    reader = asyncio.create_task(read())
    await until(lambda: service.state["hub"]._topics)
    await until(lambda: service.state["store"].job(job_id).progress)
    for _ in range(2):  # on one connection: the first leaves it free for the second
        assert (await service.http.head(f"/jobs/{job_id}/logs?follow=1")).status_code == 200
    assert not reader.done()
    gate.touch()
    await asyncio.wait_for(reader, 10)
    assert seen == ["last words"]
    await until(lambda: not service.state["hub"]._topics)


def test_a_line_that_is_written_while_the_tail_is_read_is_not_followed_as_well(store: Store) -> None:
    job = Job(id="a", request={"model": "m", "hyperparameters": {}, "fit_params": {}})
    store.create(job)
    tail = store.tail

    def tail_after_one_more(*arguments: Any) -> list[Record]:
        store.append("a", 1, {"event": "log", "stream": "stdout", "level": "info", "lines": ["late"]}).result()
        return tail(*arguments)

    store.tail = tail_after_one_more  # type: ignore[method-assign]
    lines, after = logs.last(store, "a", 5)
    assert (lines, after) == (b"late\n", store.job("a").last_seq)


async def test_a_job_that_says_nothing_has_an_empty_log(service: Running) -> None:
    job_id = await service.submit("leave_quietly")
    await service.events(job_id)
    for query in ("", "?tail=5", "?follow=1", "?tail=5&follow=1"):
        assert await text(service, job_id, query) == []


@pytest.mark.parametrize("query", ["?tail=x", "?tail=-1", "?tail=10001"])
async def test_a_tail_that_is_no_number_is_refused(service: Running, query: str) -> None:
    job_id = await service.submit("count")
    await service.events(job_id)
    assert (await service.http.get(f"/jobs/{job_id}/logs{query}")).status_code == 400
    assert (await service.http.get("/jobs/nobody/logs")).status_code == 404


async def test_a_log_is_bounded_and_says_so_and_the_failure_still_has_its_end(tmp_path: Path) -> None:
    async with serve(tmp_path / "data", max_log_bytes=2_000) as service:
        job_id = await service.submit("flood_and_fail")
        final = (await service.events(job_id))[-1]
        lines = await text(service, job_id)
        assert lines[:3] == ["line 0", "line 1", "line 2"]
        assert lines[-1] == "[the log is full: what follows is not kept]"
        assert sum(len(line) + 1 for line in lines[:-1]) <= 2_000
        assert final["failure"]["log_tail"][-1] == "ValueError: no such luck"


def test_no_control_character_reaches_a_terminal() -> None:
    controls = "".join(chr(number) for number in (*range(9), *range(11, 32), *range(127, 160)) if number != 13)
    assert lines.clean(f"a{controls}\x9b31mb\tc") == "a31mb\tc"
    assert lines.clean("a\x1b]0;title\x07b\x1b[31mc") == "abc"
