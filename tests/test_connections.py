"""What a connection may keep the service waiting for, and how many there may be."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
import uvicorn
from orjson import loads
from starlette.types import Message, Receive, Scope, Send
from uvicorn.lifespan.on import LifespanOn
from uvicorn.protocols.http import h11_impl
from uvicorn.server import ServerState

from service import app
from service.settings import Settings
from service.web import connections as bounds
from service.web import server as server_as_served
from service.web import uvicorn_seam
from service.web.connections import REQUEST_SECONDS, Connections
from service.web.descriptors import Room
from service.web.uvicorn_seam import MAX_HEAD_BYTES, Protocol
from tests.client import until
from tests.conftest import Running, _Server, serve
from tests.sockets import leave, send, unchunk
from tests.stand_in import append, create, finish

pytestmark = pytest.mark.timeout(60)  # the first start of a worker imports torch

HALF_A_HEAD = b"GET /jobs HTTP/1.1\r\nHost: localhost\r\nX-"
HALF_A_BODY = b"POST /train HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{"
WHOLE = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Running]:
    async with serve(tmp_path / "data") as running:
        yield running


@asynccontextmanager
async def connections(service: Running, count: int, content: bytes) -> AsyncIterator[list[asyncio.StreamReader]]:
    """Connections that have sent this, and nothing more."""
    async with AsyncExitStack() as stack:
        readers = []
        for _ in range(count):
            reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
            stack.push_async_callback(leave, writer)
            writer.write(content)
            await writer.drain()
            readers.append(reader)
        yield readers


class Line(asyncio.Transport):
    """A connection whose other end is the test."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = False
        self.aborted = False
        self.buffered = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.aborted = self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return self.buffered


class Server:
    """Our protocol on lines, with a clock that the test sets; no answer is complete before the test says so."""

    def __init__(self, limit: int = 100) -> None:
        self.clock = 0.0
        self.go_on = asyncio.Event()
        self.protocols: list[Protocol] = []
        self.config = uvicorn.Config(self.app, log_config=None, ws="none", interface="asgi3")
        self.config.load()
        self.state = ServerState()
        self.room = Connections(limit, 30.0, lambda: self.clock)

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        while scope["method"] == "POST" and (message := await receive()).get("more_body"):
            pass
        if scope["method"] == "POST" and message["type"] == "http.disconnect":
            return
        await self.go_on.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    def connect(self, content: bytes = b"") -> tuple[Line, Protocol]:
        line = Line()
        protocol = Protocol(self.config, self.state, {}, room=self.room)
        protocol.connection_made(line)
        self.protocols.append(protocol)
        if content:
            protocol.data_received(content)
        return line, protocol

    async def leave(self) -> None:
        """Let all that is open come to its end."""
        self.go_on.set()
        for protocol in self.protocols:
            protocol.connection_lost(None)
        await asyncio.gather(*self.state.tasks)

    def pass_time(self, seconds: float) -> None:
        self.clock += seconds
        self.room.look()
        self.room.close()


@pytest.fixture
async def make_server() -> AsyncIterator[Callable[..., Server]]:
    made: list[Server] = []

    def make(**options: int) -> Server:
        made.append(Server(**options))
        return made[-1]

    yield make
    for server in made:
        await server.leave()


@pytest.fixture
def server(make_server: Callable[..., Server]) -> Server:
    return make_server()


# Requests that do not come


@pytest.mark.parametrize(
    ("content", "answered"),
    [(b"", b""), (HALF_A_HEAD, b"HTTP/1.1 408 "), (HALF_A_BODY, b"HTTP/1.1 408 ")],
    ids=["nothing", "half a head", "half a body"],
)
async def test_a_request_that_does_not_come_is_ended(
    service: Running, monkeypatch: pytest.MonkeyPatch, content: bytes, answered: bytes
) -> None:
    async with connections(service, 300, content) as readers, asyncio.timeout(30):
        assert (await service.http.get("/healthz")).status_code == 200
        monkeypatch.setattr(bounds, "REQUEST_SECONDS", 0.0)
        for reader in readers:
            answer = await reader.read()
            assert answer.startswith(answered)
            assert answer.count(b"HTTP/1.1 ") == bool(answered)
    monkeypatch.undo()
    assert (await service.http.get("/healthz")).status_code == 200


async def test_each_piece_of_a_body_has_its_time(server: Server) -> None:
    line, protocol = server.connect(HALF_A_BODY)
    server.go_on.set()
    for _ in range(7):
        server.pass_time(REQUEST_SECONDS)
        protocol.data_received(b" ")
    protocol.data_received(b"}")
    await until(lambda: line.written)
    assert line.written.startswith(b"HTTP/1.1 200 ")


async def test_a_head_has_its_time_as_a_whole(server: Server) -> None:
    line, protocol = server.connect(HALF_A_HEAD)
    server.pass_time(REQUEST_SECONDS)
    protocol.data_received(b"a")
    assert not line.closed
    server.pass_time(1)
    assert line.closed
    assert line.written.startswith(b"HTTP/1.1 408 ")
    head, _, body = line.written.partition(b"\r\n\r\n")
    assert b"\r\ncontent-type: application/problem+json\r\ncontent-length: %d\r\n" % len(body) in head
    assert (loads(body)["status"], loads(body)["code"]) == (408, "request_timeout")


@pytest.mark.parametrize("sent", [b"no request\r\n\r\n", b"GET / HTTP/1.1\r\nX: " + b"x" * MAX_HEAD_BYTES])
async def test_what_is_no_request_is_told_so_as_every_other_fault(server: Server, sent: bytes) -> None:
    line, _ = server.connect(sent)
    head, _, body = line.written.partition(b"\r\n\r\n")
    assert line.closed
    assert head.startswith(b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/problem+json\r\n")
    assert (loads(body)["title"], loads(body)["code"]) == ("Bad Request", "invalid_request")


@pytest.mark.parametrize("is_answered", [False, True])
async def test_what_comes_after_chunks_has_the_bound_of_a_head(server: Server, is_answered: bool) -> None:
    head = WHOLE if is_answered else HALF_A_BODY[: HALF_A_BODY.index(b"\r\n\r\n") + 4]
    lines = [line for line in head.split(b"\r\n") if line and not line.lower().startswith(b"content-length")]
    line, protocol = server.connect(b"\r\n".join([*lines, b"Transfer-Encoding: chunked", b"", b"2", b"{}", b"0", b""]))
    if is_answered:
        server.go_on.set()
        await until(lambda: line.written)
    for _ in range(3):
        protocol.data_received(b"a: b\r\n" * 10_000)
        assert len(protocol.headers) < 10, "they are not kept"
    assert not line.closed
    protocol.data_received(b"a: b\r\n" * 10_000)
    assert line.closed
    assert line.written.startswith(b"HTTP/1.1 200 " if is_answered else b"HTTP/1.1 400 ")
    assert line.written.count(b"HTTP/1.1 ") == 1


async def test_the_time_between_two_requests_counts_for_neither(server: Server) -> None:
    server.go_on.set()
    line, protocol = server.connect(WHOLE)
    for _ in range(3):
        await until(lambda: line.written)
        line.written = b""
        server.pass_time(10 * REQUEST_SECONDS)
        protocol.data_received(HALF_A_HEAD)
        server.pass_time(REQUEST_SECONDS)
        assert not line.closed
        protocol.data_received(b"Y: 1\r\n\r\n")


async def test_an_answer_may_take_as_long_as_it_takes(server: Server) -> None:
    line, protocol = server.connect(WHOLE)
    protocol.data_received(HALF_A_HEAD)  # and the next request is being sent
    server.pass_time(10 * REQUEST_SECONDS)
    assert not line.closed
    server.go_on.set()
    await until(lambda: line.written)


async def test_half_a_request_behind_a_long_answer_waits_for_it_and_writes_nothing_into_it(
    make_server: Callable[..., Server],
) -> None:
    server = make_server(limit=1)
    line, _ = server.connect(WHOLE + HALF_A_BODY)
    server.pass_time(10 * REQUEST_SECONDS)
    assert not line.closed
    server.clock += 1
    server.connect(WHOLE)  # for whom it makes room
    assert line.closed
    assert line.written == b""


async def test_who_asks_for_more_behind_an_answer_and_leaves_has_left_that_answer(server: Server) -> None:
    answered, left = [], []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/short":
            answered.append(scope["path"])
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body"})
            return
        answered.append(scope["path"])
        while (await receive())["type"] != "http.disconnect":
            pass
        left.append(scope["path"])

    server.config.loaded_app = app
    _, protocol = server.connect(b"".join(WHOLE.replace(b"healthz", name) for name in (b"short", b"events", b"behind")))
    await until(lambda: answered == ["/short", "/events"])
    protocol.connection_lost(None)
    await until(lambda: left)
    await asyncio.gather(*server.state.tasks)
    assert (answered, left) == (["/short", "/events"], ["/events"])


async def test_an_unread_body_does_not_keep_its_connection(service: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "REQUEST_SECONDS", 0.0)
    early = b"POST /jobs/x/cancel HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{"
    async with connections(service, 1, early) as (reader,), asyncio.timeout(20):
        assert (await reader.read()).count(b"HTTP/1.1 ") == 1


async def test_a_service_that_is_slow_to_take_a_body_does_not_blame_the_sender(server: Server) -> None:
    line, protocol = server.connect(HALF_A_BODY)
    protocol.flow.pause_reading = lambda: None  # type: ignore[method-assign]
    protocol.flow.read_paused = True
    server.pass_time(10 * REQUEST_SECONDS)
    assert not line.closed
    protocol.flow.read_paused = False
    server.pass_time(REQUEST_SECONDS + 1)
    assert line.closed


# Readers that take nothing


async def test_a_reader_that_takes_nothing_is_dropped_and_one_that_takes_little_is_not(server: Server) -> None:
    line, protocol = server.connect(WHOLE)
    line.buffered = 100_000
    protocol.pause_writing()
    for left in (99_000, 98_999, 98_998):
        server.pass_time(29)
        line.buffered = left
        server.pass_time(1)
        assert not line.aborted
    server.pass_time(31)
    assert line.aborted


async def test_a_reader_that_goes_on_reading_is_not_counted(server: Server) -> None:
    line, protocol = server.connect(WHOLE)
    line.buffered = 100_000
    protocol.pause_writing()
    protocol.resume_writing()
    server.pass_time(1_000)
    assert not line.aborted
    assert not server.room.stalled


async def test_a_download_that_nobody_reads_is_dropped(tmp_path: Path) -> None:
    async with serve(tmp_path / "data", stall_seconds=0.3) as service:
        job_id = await service.submit("count")
        await service.events(job_id)
        large = tmp_path / "data" / "jobs" / job_id / "run" / "large.bin"
        large.parent.mkdir(parents=True, exist_ok=True)
        large.write_bytes(bytes(50_000_000))
        await service.http.aclose()
        await until(lambda: not service.connections)
        with socket.create_connection(("127.0.0.1", service.port)) as stalled:
            path = f"/jobs/{job_id}/artifacts/large.bin"
            stalled.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            stalled.setblocking(False)
            assert await asyncio.get_running_loop().sock_recv(stalled, 100)
            await until(lambda: not service.connections)


# How many there may be


async def test_when_it_is_full_the_longest_without_a_request_makes_room(
    make_server: Callable[..., Server], caplog: pytest.LogCaptureFixture
) -> None:
    server = make_server(limit=4)
    busy, _ = server.connect(WHOLE)
    half, _ = server.connect(HALF_A_HEAD)
    silent, _ = server.connect()
    body, _ = server.connect(HALF_A_BODY)
    server.pass_time(1)
    lines = [server.connect(WHOLE)[0] for _ in range(3)]
    assert (half.closed, silent.closed, body.closed) == (True, True, True)
    assert half.written.startswith(b"HTTP/1.1 408 ")
    server.go_on.set()
    await until(lambda: all(line.written for line in (busy, *lines)))
    assert all(line.written.startswith(b"HTTP/1.1 200 ") for line in (busy, *lines))
    assert [record.levelno for record in caplog.records if "4 connections" in record.message] == [logging.WARNING]


async def test_when_all_have_a_request_the_newcomer_is_told_to_come_back(make_server: Callable[..., Server]) -> None:
    server = make_server(limit=2)
    for _ in range(2):
        server.connect(WHOLE)
    line, _ = server.connect(WHOLE)
    await until(lambda: line.closed)
    head, _, text = line.written.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: 5" in head
    assert b"connection: close" in head
    assert b"content-type: application/problem+json" in head
    assert loads(text)["code"] == "too_many_connections"


async def test_who_has_just_come_is_not_sent_away_for_the_next(make_server: Callable[..., Server]) -> None:
    server = make_server(limit=2)
    first = [server.connect()[0] for _ in range(2)]
    last, protocol = server.connect()
    protocol.data_received(WHOLE)
    await until(lambda: last.closed)
    assert last.written.startswith(b"HTTP/1.1 503 ")
    assert not any(line.closed for line in first)
    server.connect(HALF_A_HEAD)
    for _ in range(bounds.SLACK):  # but there is an end to that
        server.connect(HALF_A_HEAD)
    assert all(line.closed for line in first)


# Both ways to start


@pytest.fixture(params=["python -m service serve", "uvicorn service.app:app"])
async def started(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[int, uvicorn.Server]]:
    """A server as this command starts it, with room for four connections; its port."""
    monkeypatch.setattr("service.web.descriptors.share_out", lambda *_, **__: Room(streams=3, others=1, files=1))
    monkeypatch.setenv("YOLO_TRAINER_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("YOLO_TRAINER_PROGRAM", "tests.trainings:steer")
    monkeypatch.delitem(vars(app), "app", raising=False)
    if "uvicorn" in request.param:
        config = uvicorn.Config("service.app:app", log_config=None)
    else:
        config = server_as_served.configuration(app.create_app(Settings()))
    server = _Server(config)
    listener = server_as_served.listen("127.0.0.1", 0)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    await until(lambda: server.started or serving.done())
    yield listener.getsockname()[1], server
    server.should_exit = True
    await serving
    vars(app).pop("app", None)


async def test_both_have_the_same_bounds(started: tuple[int, uvicorn.Server], monkeypatch: pytest.MonkeyPatch) -> None:
    port, server = started
    monkeypatch.setattr(bounds, "PATIENCE_SECONDS", 600.0)
    async with AsyncExitStack() as stack:

        async def ask(content: bytes) -> asyncio.StreamReader:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            stack.push_async_callback(leave, writer)
            writer.write(content)
            return reader

        long = await ask(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 2 * MAX_HEAD_BYTES)
        assert (await long.readline()).startswith(b"HTTP/1.1 400 ")
        await until(lambda: not server.server_state.connections)
        halves = [await ask(content) for content in (HALF_A_HEAD, HALF_A_BODY, HALF_A_HEAD, HALF_A_BODY)]
        await until(lambda: len(server.server_state.connections) == 4)
        fifth = await (await ask(WHOLE)).read()
        assert (fifth[:13], b'"too_many_connections"' in fifth) == (b"HTTP/1.1 503 ", True)
        monkeypatch.setattr(bounds, "REQUEST_SECONDS", 0.0)
        for half in halves:
            assert (await half.read()).startswith(b"HTTP/1.1 408 ")
        assert (await (await ask(WHOLE)).readline()).startswith(b"HTTP/1.1 200 ")


# HTTP/1.0


async def test_http_1_0_gets_no_chunks(service: Running) -> None:
    job_id = await service.submit("say")
    await service.events(job_id)
    for path in (f"/jobs/{job_id}/events", f"/jobs/{job_id}/logs", f"/jobs/{job_id}/logs?follow=1"):
        old = await send(service.port, f"GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
        head, _, body = old.partition(b"\r\n\r\n")
        assert b"transfer-encoding" not in head.lower(), path
        assert b"connection: close" in head
        new = await send(service.port, f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        assert without_retry(body) == without_retry(unchunk(new.partition(b"\r\n\r\n")[2])), path


def without_retry(stream: bytes) -> bytes:
    return b"\n".join(line for line in stream.split(b"\n") if not line.startswith(b"retry: "))


async def test_http_1_0_has_what_is_live_without_chunks(service: Running) -> None:
    create(service)
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
    writer.write(b"GET /jobs/job/events HTTP/1.0\r\nHost: localhost\r\n\r\n")
    await until(lambda: any(s.live for t in service.state["hub"]._topics.values() for s in t.subscribers))
    append(service, 3)
    finish(service)
    body = (await reader.read()).partition(b"\r\n\r\n")[2]
    await leave(writer)
    assert [line for line in body.split(b"\n") if line.startswith(b"id: ")] == [b"id: %d" % n for n in range(1, 6)]
    assert b"\r" not in body


async def test_http_1_0_with_a_length_is_as_before(service: Running) -> None:
    answer = await send(service.port, b"GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n")
    assert answer.endswith(b'\r\n\r\n{"status":"ok"}')
    assert b"content-length: 15\r\n" in answer
    answer = await send(service.port, b"HEAD /events HTTP/1.0\r\nHost: localhost\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b"\r\n\r\n")


# The seam


@pytest.mark.parametrize("needs", ["CONFIG_NEEDS", "PROTOCOL_NEEDS", "CYCLE_NEEDS", "FLOW_NEEDS"])
async def test_under_an_unknown_uvicorn_streams_go_the_stock_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, needs: str
) -> None:
    monkeypatch.setattr(uvicorn_seam, needs, ("renamed", *getattr(uvicorn_seam, needs)))
    async with serve(tmp_path / "data") as service:
        assert "has no renamed: streams cost more" in caplog.text
        create(service)
        async with service.http.stream("GET", "/jobs/job/events") as stream:
            (subscriber,) = await until(lambda: list(service.state["hub"]._topics["job"].subscribers))
            await until(lambda: subscriber._wake)
            assert not subscriber.live
            append(service, 3)
            finish(service)
            assert (await stream.aread()).count(b"\nid: ") == 5


async def test_a_protocol_of_another_form_is_not_touched(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    def connection_made(self: object, transport: object) -> None:
        raise AttributeError("_flow")

    monkeypatch.setattr(uvicorn_seam.HttpToolsProtocol, "connection_made", connection_made)
    (said,) = uvicorn_seam.missing(server.config)
    assert "_flow" in said


async def test_a_protocol_that_does_not_tell_of_each_request_is_not_touched(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if uvicorn's parser called something else: the bounds would be there and count nothing."""
    assert uvicorn_seam.missing(server.config) == []
    monkeypatch.setattr(Protocol, "on_headers_complete", uvicorn_seam.HttpToolsProtocol.on_headers_complete)
    assert uvicorn_seam.missing(server.config) == ["protocol that tells of each request"]


class Lifespan:
    """A server's, as far as it is asked for."""

    def __init__(self, module: str) -> None:
        self.__class__ = type("LifespanOn", (Lifespan,), {"__module__": module})

    async def receive(self) -> Message:
        return {"type": "lifespan.startup"}


@pytest.mark.parametrize(("module", "warnings"), [("uvicorn.lifespan.on", 1), ("hypercorn.asyncio.lifespan", 0)])
async def test_a_uvicorn_that_hides_its_configuration_is_told_and_another_server_is_not(
    caplog: pytest.LogCaptureFixture, module: str, warnings: int
) -> None:
    assert not uvicorn_seam.install(Lifespan(module).receive, Connections(1, 1.0))
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * warnings


@pytest.mark.parametrize(("protocol", "warnings"), [(h11_impl.H11Protocol, 0), (None, 1)])
async def test_a_protocol_that_somebody_wished_is_theirs_and_a_missing_one_is_told(
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    protocol: type[asyncio.Protocol] | None,
    warnings: int,
) -> None:
    lifespan = LifespanOn(server.config)
    if protocol is None:
        monkeypatch.setattr(uvicorn_seam, "HAS_HTTPTOOLS", False)
    chosen = protocol or h11_impl.H11Protocol
    server.config.http_protocol_class = chosen
    assert not uvicorn_seam.install(lifespan.receive, server.room)
    assert server.config.http_protocol_class is chosen
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * warnings
