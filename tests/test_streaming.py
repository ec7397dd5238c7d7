"""Event streams through real sockets, both ways that a stream is written."""

import asyncio
import contextlib
import gc
import re
import socket
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import httpx_sse
import orjson
import pytest
import starlette.requests
from sse_starlette.sse import AppStatus

from service.job import Job
from service.web import sse_response, uvicorn_wire
from tests import said
from tests.client import follow, frames, until
from tests.conftest import Running, serve
from tests.sockets import unchunk
from tests.stand_in import append, create, finish

pytestmark = pytest.mark.timeout(60)  # the first start of a worker imports torch


@pytest.fixture
def service(both_ways: Running) -> Running:
    return both_ways


async def test_a_finished_job_is_replayed_from_any_id(service: Running) -> None:
    create(service)
    append(service, 1_200)
    finish(service)
    for after in (0, 1, 17, 499, 500, 501, 1_000, 1_201):
        events = await service.events("job", after)
        assert [event["seq"] for event in events] == list(range(after + 1, 1_203))
        assert events[-1]["event"] == "completed"


async def test_a_live_stream_gets_what_comes_and_ends_with_the_final_event(service: Running) -> None:
    create(service)
    seen: list[dict[str, Any]] = []

    async def read() -> None:
        seen.extend([event async for event in follow(service.http, "/jobs/job/events")])

    reader = asyncio.create_task(read())
    await until(lambda: service.state["hub"].streams == 1)
    for number in range(50):
        append(service)
        service.state["store"].append("job", 1, said.tick(number)).result()
        await asyncio.sleep(0)
    finish(service)
    await asyncio.wait_for(reader, 10)
    assert [event["seq"] for event in seen if event["event"] != "tick"] == list(range(1, 53))
    assert any(event["event"] == "tick" for event in seen)
    await until(lambda: service.state["hub"].streams == 0)
    assert not service.state["hub"]._topics


async def test_a_hundred_subscribers_that_come_and_go_miss_and_repeat_nothing(service: Running) -> None:
    """1,000 events a second while readers leave at random and come back with the last id that they saw.

    The readers are a process of their own, so that they do not slow down what they watch.
    """
    create(service)
    total = 3_000
    readers = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.readers", str(service.port), "job", "100"), stdout=asyncio.subprocess.PIPE
    )
    await until(lambda: service.state["hub"].streams >= 50)
    await asyncio.to_thread(publish_at_a_rate, service, total, 1_000)
    output, _ = await asyncio.wait_for(readers.communicate(), 50)
    seen = orjson.loads(output)
    assert len(seen) == 100
    for ids in seen:
        assert ids == list(range(1, total + 3))
    await until(lambda: service.state["hub"].streams == 0)


def publish_at_a_rate(service: Running, total: int, per_second: int) -> None:
    """Log `total` events in tens, each ten when it is due, then the final one."""
    began = time.monotonic()
    for ten in range(total // 10):
        append(service, 10)
        service.state["store"].append("job", 1, said.tick())
        time.sleep(max(0.0, began + (ten + 1) * 10 / per_second - time.monotonic()))
    finish(service)


async def test_204_once_the_final_event_was_seen_and_200_again_after_a_resume(service: Running) -> None:
    create(service)
    finish(service)
    response = await service.http.get("/jobs/job/events", headers={"Last-Event-ID": "2"})
    assert (response.status_code, response.content) == (204, b"")
    service.state["store"].append("job", 2, said.queued()).result()
    service.state["store"].append("job", 2, said.failed()).result()
    events = await service.events("job", 2)
    assert [(event["seq"], event["event"], event["attempt"]) for event in events] == [
        (3, "queued", 2),
        (4, "failed", 2),
    ]


@pytest.mark.parametrize("cursor", ["-1", "x", "1.5", "1 2", "٣", "9" * 17, "0x1"])
async def test_a_malformed_cursor_is_a_400_before_the_stream(service: Running, cursor: str) -> None:
    create(service)
    response = await service.http.get("/jobs/job/events", params={"last_event_id": cursor})
    assert response.status_code == 400
    assert response.headers["content-type"] == "application/problem+json"
    assert "last_event_id" in response.json()["detail"]


async def test_unknown_job_and_unknown_type_are_refused_before_the_stream(service: Running) -> None:
    assert (await service.http.get("/jobs/nobody/events")).status_code == 404
    create(service)
    response = await service.http.get("/jobs/job/events", params={"types": "epoch_end,nonsense"})
    assert response.status_code == 400
    assert "nonsense" in response.json()["detail"]


async def test_the_header_beats_the_query(service: Running) -> None:
    create(service)
    append(service, 5)
    finish(service)
    response = await service.http.get("/jobs/job/events?last_event_id=1", headers={"Last-Event-ID": "5"})
    assert [fields["id"] async for fields in frames(response)] == ["6", "7"]
    response = await service.http.get("/jobs/job/events?last_event_id=6")
    assert [fields["id"] async for fields in frames(response)] == ["7"]


async def test_a_cursor_beyond_the_log_is_told_and_starts_over(service: Running) -> None:
    create(service)
    finish(service)
    response = await service.http.get("/jobs/job/events", headers={"Last-Event-ID": "50"})
    found = [fields async for fields in frames(response)]
    assert [fields["event"] for fields in found] == ["reset", "queued", "completed"]
    assert "id" not in found[0]
    assert orjson.loads(found[0]["data"]) == {
        "event": "reset",
        "job_id": "job",
        "attempt": 1,
        "time": orjson.loads(found[0]["data"])["time"],
        "requested": 50,
        "last_seq": 2,
    }


async def test_a_filter_keeps_how_it_ended(service: Running) -> None:
    create(service)
    append(service, 3)
    service.state["store"].append("job", 1, said.epoch_end())
    service.state["store"].append("job", 1, said.interrupted())
    finish(service)
    response = await service.http.get("/jobs/job/events", params={"types": "epoch_end"})
    found = [(fields["id"], fields["event"]) async for fields in frames(response)]
    assert found == [("5", "epoch_end"), ("6", "interrupted"), ("7", "completed")]


async def test_a_filtered_live_stream_gets_its_types_only(service: Running) -> None:
    create(service)
    names: list[str] = []

    async def read() -> None:
        async with service.http.stream("GET", "/jobs/job/events?types=epoch_end") as response:
            names.extend([fields["event"] async for fields in frames(response)])

    reader = asyncio.create_task(read())
    await until(lambda: service.state["hub"].streams == 1)
    for number in range(3):
        append(service, 2)
        service.state["store"].append("job", 1, said.epoch_end(number))
        service.state["store"].append("job", 1, said.tick()).result()
        await asyncio.sleep(0)
    finish(service)
    await asyncio.wait_for(reader, 10)
    assert names == ["epoch_end"] * 3 + ["completed"]


async def test_nan_reaches_a_reader_as_null(service: Running) -> None:
    create(service)
    metrics = {"loss": float("nan"), "gain": float("inf"), "size": 2**80}
    service.state["store"].append("job", 1, said.epoch_end(metrics=metrics, save_dir="\ud800a\r\nb"))
    finish(service)
    event = (await service.events("job"))[1]
    assert event["metrics"] == {"loss": None, "gain": None, "size": float(2**80)}
    assert event["save_dir"] == "\ufffda\r\nb"


async def test_a_page_of_json_has_the_same_events(service: Running) -> None:
    create(service)
    append(service, 4)
    finish(service)
    headers = {"Accept": "application/json"}
    page = (await service.http.get("/jobs/job/events", headers=headers)).json()
    assert page["events"] == await service.events("job")
    assert (page["last_seq"], page["last_event_id"]) == (6, 6)
    only = (await service.http.get("/jobs/job/events?types=epoch_end", headers=headers)).json()
    assert [event["event"] for event in only["events"]] == ["completed"]
    beyond = (await service.http.get("/jobs/job/events?last_event_id=99", headers=headers)).json()
    assert beyond["events"] == page["events"]
    rest = (await service.http.get("/jobs/job/events?last_event_id=5", headers=headers)).json()
    assert [event["event"] for event in rest["events"]] == ["completed"]


async def test_head_never_opens_a_stream(service: Running) -> None:
    create(service)
    response = await service.http.head("/jobs/job/events")
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/event-stream")
    assert service.state["hub"].streams == 0


async def test_the_headers_keep_proxies_from_holding_the_stream_back(service: Running) -> None:
    create(service)
    async with service.http.stream("GET", "/jobs/job/events") as response:
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert response.headers["cache-control"] == "no-store, no-transform"
        assert response.headers["x-accel-buffering"] == "no"
        assert "connection" not in response.headers


async def read_raw(service: Running, path: str, enough: bytes) -> bytes:
    """The decoded body up to and with `enough`, over a plain socket."""
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
    await reader.readuntil(b"\r\n\r\n")
    body = b""
    async with asyncio.timeout(10):
        while enough not in body:
            size = int(await reader.readline(), 16)
            body += await reader.readexactly(size)
            await reader.readexactly(2)
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
    return body


async def test_the_first_bytes_come_before_any_event_and_make_none(service: Running) -> None:
    create(service)
    body = await read_raw(service, "/jobs/job/events?last_event_id=1", b": job job\n")
    retry, comment, rest = body.split(b"\n")
    assert retry.startswith(b"retry: ")
    assert 1_000 <= int(retry[7:]) <= 3_000
    assert (comment, rest) == (b": job job", b"")


async def test_curl_reads_the_stream(service: Running) -> None:
    create(service)
    append(service, 3)
    curl = await asyncio.create_subprocess_exec(
        "curl", "-sN", f"{service.url}/jobs/job/events", stdout=asyncio.subprocess.PIPE
    )
    assert curl.stdout is not None
    async with asyncio.timeout(10):
        while b"id: 4" not in await curl.stdout.readline():
            pass  # the replay arrives while the stream is open
        append(service)
        finish(service)
        rest = await curl.stdout.read()
        assert await curl.wait() == 0
    assert b"id: 5\nevent: log\ndata: {" in rest
    assert rest.endswith(b"}\n\n")
    assert b"id: 6\nevent: completed\n" in rest


@pytest.mark.parametrize("way", ["transport", "stock"])
async def test_an_independent_reader_sees_no_empty_event_in_a_silence(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Heartbeats after an id make some clients dispatch an event without data, if they are blank lines."""
    if way == "stock":
        monkeypatch.setattr(sse_response, "wire_of", lambda scope: None)
    beats = 0
    async with serve(tmp_path / "data", heartbeat_seconds=0.02) as service:
        create(service)

        class Counting(httpx.AsyncByteStream):
            def __init__(self, inner: Any) -> None:
                self.inner = inner

            async def __aiter__(self) -> AsyncIterator[bytes]:
                nonlocal beats
                async for chunk in self.inner:
                    beats += chunk.count(b": hb\n")
                    if beats >= 5 and not service.state["store"].job("job").is_final:
                        finish(service)
                    yield chunk

        async with httpx_sse.aconnect_sse(service.http, "GET", "/jobs/job/events") as source:
            source.response.stream = Counting(source.response.stream)
            events = [event async for event in source.aiter_sse()]
        assert [(event.event, event.id) for event in events] == [("queued", "1"), ("completed", "2")]
        assert all(event.data for event in events)
        assert beats >= 5


async def test_a_slow_reader_falls_behind_and_catches_up_from_the_log(service: Running) -> None:
    """More than every buffer on the way holds, while the reader does not read; then it reads all."""
    create(service)
    line = "x" * 4_000
    with socket.create_connection(("127.0.0.1", service.port)) as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        slow.sendall(b"GET /jobs/job/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        await until(lambda: service.state["hub"].streams == 1)
        for _ in range(200):
            await asyncio.wrap_future(append(service, 10, lines=[line]))
        (subscriber,) = service.state["hub"]._topics["job"].subscribers
        assert subscriber.cursor < 2_000  # it does stand still: nothing buffers without bound
        finish(service)
        slow.setblocking(False)
        received = b""
        async with asyncio.timeout(20):
            while b"0\r\n\r\n" not in received[-5:]:
                received += await asyncio.get_running_loop().sock_recv(slow, 1 << 20)
    body = unchunk(received.partition(b"\r\n\r\n")[2])
    assert [int(number) for number in re.findall(rb"^id: (\d+)$", body, re.MULTILINE)] == list(range(1, 2_003))


@pytest.mark.parametrize("way", ["transport", "stock"])
async def test_a_reader_that_stops_reading_is_dropped(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    if way == "stock":
        monkeypatch.setattr(sse_response, "wire_of", lambda scope: None)
    async with serve(tmp_path / "data", stall_seconds=0.3) as service:
        create(service)
        with socket.create_connection(("127.0.0.1", service.port)) as stalled:
            stalled.sendall(b"GET /jobs/job/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            await until(lambda: service.state["hub"].streams == 1)
            for _ in range(200):
                await asyncio.wrap_future(append(service, 20, lines=["x" * 4_000]))
            await until(lambda: service.state["hub"].streams == 0)


async def test_too_many_streams_are_told_in_the_stream(tmp_path: Path) -> None:
    async with serve(tmp_path / "data", max_streams=1) as service:
        create(service)
        async with service.http.stream("GET", "/jobs/job/events"):
            await until(lambda: service.state["hub"].streams == 1)
            response = await service.http.get("/jobs/job/events")
            assert response.status_code == 200
            assert response.headers["content-type"].startswith("text/event-stream")
            retry, comment, _ = response.text.split("\n")
            assert int(retry.removeprefix("retry: ")) >= 10_000
            assert comment.startswith(": ")


async def test_a_closing_hub_ends_every_stream_without_a_final_event(service: Running) -> None:
    create(service)
    seen: list[str] = []

    async def read() -> None:
        async with service.http.stream("GET", "/jobs/job/events") as response:
            seen.extend([line async for line in response.aiter_lines()])

    readers = [asyncio.create_task(read()) for _ in range(10)]
    await until(lambda: service.state["hub"].streams == 10)
    service.state["hub"].close()
    await asyncio.wait_for(asyncio.gather(*readers), 10)
    assert sum(line.startswith("retry: ") for line in seen) == 20
    assert not any(line.startswith("event: completed") for line in seen)


async def test_an_open_stream_keeps_neither_its_request_nor_its_job(service: Running) -> None:
    create(service)
    async with service.http.stream("GET", "/jobs/job/events"), service.http.stream("GET", "/events"):
        await until(lambda: service.state["hub"].streams == 2)
        append(service, 1).result()  # so that the store has a newer job, and only a stream could have the older one
        gc.collect()
        # By type: `isinstance` asks the object, and some of torch's answer with a warning.
        requests = [kept for kept in gc.get_objects() if issubclass(type(kept), starlette.requests.Request)]
        assert len(requests) == 2, "one each, that of Starlette's own middleware"
        streams = [kept for kept in gc.get_objects() if issubclass(type(kept), sse_response.EventStream)]
        assert len(streams) == 2
        assert not [field for stream in streams for field in vars(stream).values() if isinstance(field, Job)]


async def test_the_service_leaves_the_process_as_it_is(service: Running) -> None:
    """What sse-starlette keeps for all of a process is for whoever else uses it there."""
    assert AppStatus.enable_automatic_graceful_drain
    assert not AppStatus.should_exit


async def test_both_ways_are_really_taken(service: Running, request: pytest.FixtureRequest) -> None:
    create(service)
    async with service.http.stream("GET", "/jobs/job/events"):
        (subscriber,) = await until(lambda: list(service.state["hub"]._topics["job"].subscribers))
        pushed = "transport" in request.node.callspec.id
        await until(lambda: subscriber.live if pushed else subscriber._wake)
        assert subscriber.live == pushed


if sys.platform == "linux":

    async def test_a_stream_s_socket_holds_little_for_a_reader_that_stopped(tmp_path: Path) -> None:
        async with serve(tmp_path / "data") as service:
            create(service)
            async with service.http.stream("GET", "/jobs/job/events"):
                (subscriber,) = await until(
                    lambda: [s for s in service.state["hub"]._topics["job"].subscribers if s.live]
                )
                server_side = subscriber._connection._wire._cycle.transport.get_extra_info("socket")
                size = server_side.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
                assert size <= 2 * uvicorn_wire.SEND_BUFFER_BYTES  # Linux counts its own bookkeeping in
