"""A job's log as plain text."""

import asyncio
import re
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from service.frames import Record
from service.job import Job
from service.store.store import Store
from service.web import log_text
from service.workers import output
from tests.client import until
from tests.conftest import Running, serve
from tests.stand_in import append, create, finish

pytestmark = pytest.mark.timeout(60)  # the first start of a worker imports torch

PROTOCOL = Path(__file__).parent.parent / "docs" / "protocol.md"


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
    lines, after = log_text.last(store, "a", 5)
    assert (lines, after) == (b"late\n", store.job("a").last_seq)


async def test_a_reader_goes_on_after_what_it_has(service: Running) -> None:
    job_id = await service.submit("flood")
    await service.events(job_id)
    path = f"/jobs/{job_id}/logs"
    whole = await service.http.get(path)
    for offset in (0, 1, 7, 5_000, 100_001, len(whole.content) - 1, len(whole.content)):
        for follow in ("0", "1"):
            rest = await service.http.get(path, params={"offset": offset, "follow": follow})
            assert rest.content == whole.content[offset:]
    last_seq = (await service.snapshot(job_id))["last_seq"]
    assert whole.headers["log-seq"] == str(last_seq)
    page = (await service.http.get(f"/jobs/{job_id}/events", headers={"Accept": "application/json"})).json()
    after = page["events"][40]["seq"]
    before = log_text.text(records(page["events"][:41]))
    for follow in ("0", "1"):
        rest = await service.http.get(path, params={"after": after, "follow": follow})
        assert before + rest.content == whole.content
    nothing = await service.http.get(path, params={"after": last_seq})
    assert (nothing.status_code, nothing.content) == (200, b"")


def records(events: list[dict[str, Any]]) -> list[Record]:
    return [Record(event["seq"], event["event"], orjson.dumps(event)) for event in events]


async def test_pages_of_a_log_that_grows_join_without_a_gap(service: Running) -> None:
    create(service)
    pieces, after = b"", 0
    for number in range(5):
        append(service, number, lines=[f"line {number}"]).result() if number else None
        response = await service.http.get(f"/jobs/job/logs?after={after}")
        assert int(response.headers["log-seq"]) == service.state["store"].job("job").last_seq
        pieces, after = pieces + response.content, int(response.headers["log-seq"])
    tail = await service.http.get("/jobs/job/logs?tail=2")
    append(service, 1, lines=["the last"]).result()
    finish(service)
    follow = await service.http.get(f"/jobs/job/logs?follow=1&after={tail.headers['log-seq']}")
    assert pieces == b"".join(b"line %d\n" % number for number in range(5) for _ in range(number))
    assert tail.content == pieces[-14:]
    assert follow.content == b"the last\n"


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("?offset=2", "offset is 2, but the log has 0 bytes so far"),
        ("?offset=2&follow=1", "offset is 2, but the log has 0 bytes so far"),
        ("?after=2", "after is 2, but the log ends at 1"),
        ("?after=2&follow=1", "after is 2, but the log ends at 1"),
        ("?after=x", "after must be a whole number"),
        ("?offset=-1", "offset must be a whole number"),
        ("?offset=1&tail=1", "give one of tail, after and offset, got tail and offset"),
        ("?after=1&offset=1&tail=1", "got tail and after and offset"),
    ],
)
async def test_a_cursor_that_is_none_is_refused(service: Running, query: str, said: str) -> None:
    create(service)
    response = await service.http.get(f"/jobs/job/logs{query}")
    assert response.status_code == 400
    assert response.json()["code"] == ("beyond_log" if "but the log" in said else "invalid_parameter")
    assert said in response.json()["detail"]


@pytest.mark.parametrize("way", ["transport", "stock"])
async def test_a_followed_log_counts_as_a_stream_and_is_refused_like_one(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if way == "stock":
        monkeypatch.setattr(log_text, "wire_of", lambda scope: None)
    async with serve(tmp_path / "data", max_streams=1) as service:
        create(service)
        hub = service.state["hub"]
        async with service.http.stream("GET", "/jobs/job/logs?follow=1") as response:
            assert response.headers["content-type"] == "text/plain; charset=utf-8"
            assert hub.streams == 1
            second = await service.http.get("/jobs/job/logs?follow=1")
            assert (second.status_code, second.headers["retry-after"]) == (503, "20")
            assert second.headers["content-type"] == "application/problem+json"
            assert second.json()["code"] == "too_many_streams"
            assert second.json()["detail"] == "1 streams are open, the most that are allowed; try again in some seconds"
            assert b": too many streams" in (await service.http.get("/jobs/job/events")).content
            assert (await service.http.head("/jobs/job/logs?follow=1")).status_code == 200
        await until(lambda: hub.streams == 0)
        finish(service)
        assert (await service.http.get("/jobs/job/logs?follow=1")).status_code == 200


@pytest.mark.parametrize("way", ["transport", "stock"])
async def test_a_follower_that_takes_nothing_is_dropped(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if way == "stock":
        monkeypatch.setattr(log_text, "wire_of", lambda scope: None)
    async with serve(tmp_path / "data", stall_seconds=0.3) as service:
        create(service)
        hub = service.state["hub"]
        with socket.create_connection(("127.0.0.1", service.port)) as stalled:
            stalled.sendall(b"GET /jobs/job/logs?follow=1 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            await until(lambda: hub.streams == 1)
            for _ in range(200):
                await asyncio.wrap_future(append(service, 20, lines=["x" * 4_000]))
            await until(lambda: hub.streams == 0)
            await until(lambda: not hub._topics)


@pytest.mark.parametrize("way", ["transport", "stock"])
async def test_what_ends_before_its_job_is_cut(way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that curl's exit code tells it from the end of the job."""
    if way == "stock":
        monkeypatch.setattr(log_text, "wire_of", lambda scope: None)
    async with serve(tmp_path / "data") as service:
        create(service)
        append(service, 3).result()
        curl = await asyncio.create_subprocess_exec(
            "curl", "-sN", f"{service.url}/jobs/job/logs?follow=1", stdout=asyncio.subprocess.PIPE
        )
        assert curl.stdout is not None
        async with asyncio.timeout(20):
            assert [await curl.stdout.readline() for _ in range(3)] == [b"x\n"] * 3
            service.state["hub"].close()
            assert await curl.stdout.read() == b""
            assert await curl.wait() == 18
        response = await service.http.get("/jobs/job/logs?follow=1")
        assert response.status_code == 503
        assert "shutting down" in response.json()["detail"]


async def test_the_documented_loop_reads_a_log_over_restarts_and_cuts(tmp_path: Path) -> None:
    """The lines of docs/protocol.md, as they stand there; the last piece before a cut may end within a line."""
    (loop,) = re.findall(r"```sh\n(touch train\.log\n.*?)```", PROTOCOL.read_text(), re.DOTALL)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    script = loop.replace("127.0.0.1:8000", f"127.0.0.1:{port}").replace("sleep 2", "sleep 0.1")
    assert str(port) in script
    log, gate, shell, job_id = tmp_path / "train.log", tmp_path / "gate", None, ""
    try:
        for life in (1, 2):
            async with serve(tmp_path / "data", at=port) as service:
                if shell is None:
                    job_id = await service.submit("speak_and_wait", gate=str(gate))
                    script = script.replace("<id>", job_id)
                    shell = await asyncio.create_subprocess_exec("sh", "-c", script, cwd=tmp_path)
                await until(lambda: log.exists() and log.read_text().count("last words") == life)  # noqa: B023
                if life == 2:
                    for connection in list(service.connections):
                        connection.transport.abort()
                    gate.touch()
                    assert await asyncio.wait_for(shell.wait(), 20) == 0
                    assert log.read_text().splitlines() == await text(service, job_id)
    finally:
        if shell is not None and shell.returncode is None:
            shell.kill()
            await shell.wait()


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
    assert output.clean(f"a{controls}\x9b31mb\tc") == "a31mb\tc"
    assert output.clean("a\x1b]0;title\x07b\x1b[31mc") == "abc"
