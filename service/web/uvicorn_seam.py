"""Everything that this service takes from uvicorn beyond ASGI, in one place, and what happens where it is not there.

The application puts its own HTTP/1.1 protocol in the place of uvicorn's when its lifespan begins, so both
`python -m service serve` and `uvicorn service.app:app` have it. Under another server, another protocol, or a uvicorn
that is not as expected, the application goes ASGI's way: event streams cost more, and connections have no bounds but
the server's (docs/decisions/0003).
"""

import asyncio
import contextlib
import functools
import logging
import os
import socket
import sys
import time
from collections.abc import Callable, Collection
from http import HTTPStatus
from typing import Any, TypeAlias

import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from service.errors import PROBLEM, described
from service.events import encode

try:
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
except ImportError:  # Windows has no httptools: uvicorn takes h11 there
    HttpToolsProtocol = RequestResponseCycle = object  # type: ignore[assignment,misc]
try:
    import fcntl
    import termios
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

log = logging.getLogger(__name__)

#: A request and its answer, as uvicorn keeps them.
Cycle: TypeAlias = RequestResponseCycle

#: Longest head of a request, in bytes, give or take what arrives in one piece.
MAX_HEAD_BYTES = 65_536
#: Seconds for the head of a request, and for each next piece of its body.
REQUEST_SECONDS = 15.0
#: Seconds between two looks at connections that keep the service waiting.
LOOK_SECONDS = 1.0
#: Seconds that a connection may take to ask for something where there is no room for another one.
PATIENCE_SECONDS = 0.5
#: Connections beyond the limit that are let in all the same, for the moment that telling them takes.
SLACK = 32
#: The kernel's share of what a reader that stopped reading makes us hold, in bytes (a stream's socket only).
SEND_BUFFER_BYTES = 32_768

#: What is used of uvicorn's protocol, of a request's cycle and of a connection's flow control.
PROTOCOL_NEEDS = (
    *("app", "connections", "cycle", "flow", "pipeline", "scope", "transport", "ws_protocol_class"),
    *("on_response_complete", "send_400_response"),
)
CYCLE_NEEDS = (
    *("chunked_encoding", "disconnected", "expected_content_length", "flow", "message_event", "response_complete"),
    *("response_started", "send", "transport"),
)
FLOW_NEEDS = ("read_paused", "write_paused")


def install(receive: Receive | None, connections: "Connections") -> bool:
    """Put `Protocol` in place; `receive` is that of the lifespan. False where it cannot be."""
    config = getattr(getattr(receive, "__self__", None), "config", None)
    if not isinstance(config, uvicorn.Config) or config.http_protocol_class is not HttpToolsProtocol:
        return False  # another server, or another protocol, as somebody wished
    if lacking := missing(config):
        log.warning(
            "uvicorn %s has no %s: streams cost more, connections have no time limits",
            *(uvicorn.__version__, ", ".join(lacking)),
            extra={"action": "uvicorn_unknown"},
        )
        return False
    config.http_protocol_class = functools.partial(Protocol, room=connections)  # type: ignore[assignment]
    connections.look_soon()
    return True


def missing(config: uvicorn.Config) -> list[str]:
    """What is used here and is not there: looked for on the objects that uvicorn makes for a request."""
    state = ServerState()
    try:
        protocol = HttpToolsProtocol(config, state, {})
        protocol.connection_made(_Nowhere())
        protocol.data_received(b"GET / HTTP/1.1\r\n\r\n")
        for task in state.tasks:
            task.cancel()  # before it has begun
        parts = (protocol, PROTOCOL_NEEDS), (protocol.cycle, CYCLE_NEEDS), (protocol.flow, FLOW_NEEDS)
        return [name for part, needs in parts for name in needs if not hasattr(part, name)]
    except Exception as error:  # whatever a renamed thing may lead to
        return [f"protocol of the expected form ({error!r})"]


class _Nowhere(asyncio.Transport):
    """A connection to nobody, from whom nothing more comes."""


class Connections:
    """The open connections of a server: how many there may be, and which of them keep it waiting."""

    def __init__(
        self,
        limit: int,
        stall_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.now = clock
        self._limit = limit
        self._stall_seconds = stall_seconds
        #: All of them, as uvicorn keeps them.
        self.open: Collection[Any] = ()
        #: Those without a whole request, oldest first: since when it has been coming; None between two requests.
        self.waiting: dict[Protocol, float | None] = {}
        #: Those whose reader takes nothing: bytes that it was to take, and since when there are as many.
        self.stalled: dict[Protocol, tuple[int, float]] = {}
        self._said = False
        self._timer: asyncio.TimerHandle | None = None

    def look_soon(self) -> None:
        """Look at them in a while, on the running loop."""
        self._timer = asyncio.get_running_loop().call_later(LOOK_SECONDS, self.look)

    def close(self) -> None:
        """Look no more. Repeatable."""
        if self._timer is not None:
            self._timer.cancel()

    def cut(self) -> None:
        """End what is still open, sent or not."""
        for connection in list(self.open):
            connection.transport.abort()

    def admit(self, newcomer: "Protocol") -> None:
        """Take one more. Where there is no room, the one that has waited longest for its request goes; if none has
        waited for long, the newcomer is told to come back, once it has asked: an answer before that gets lost."""
        now = self.now()
        if (too_many := len(self.open) - self._limit) > 0:
            self._say()
            oldest, since = next(iter(self.waiting.items()), (None, None))
            if oldest is not None and (too_many > SLACK or since is None or now - since > PATIENCE_SECONDS):
                oldest.give_up()
            else:
                newcomer.app = _busy
        self.waiting[newcomer] = now

    def _say(self) -> None:
        if not self._said:
            self._said = True
            log.warning(
                "%d connections are open, the most that are allowed: those without a request are cut off",
                self._limit,
                extra={"action": "connections_full"},
            )

    def forget(self, connection: "Protocol") -> None:
        self.waiting.pop(connection, None)
        self.stalled.pop(connection, None)

    def look(self) -> None:
        """Give up on requests that do not come and on readers that take nothing; and again in a while."""
        self.look_soon()
        now = self.now()
        for connection, since in list(self.waiting.items()):
            if connection.flow.read_paused:
                self.waiting[connection] = now  # it is the service that does not take it
            elif since is not None and now - since > REQUEST_SECONDS:
                connection.give_up()
        for connection, (left, then) in list(self.stalled.items()):
            if (unsent := connection.unsent()) < left:
                self.stalled[connection] = unsent, now
            elif now - then > self._stall_seconds:
                connection.transport.abort()
        self._said = self._said and len(self.open) > self._limit / 2  # said again after a quiet time


def _problem(status: int, detail: str, code: str) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Head and body of what is answered before there is a request to answer. Its connection ends with it."""
    body = encode(described(status, detail, code))
    headers = [(b"content-type", PROBLEM.encode()), (b"content-length", b"%d" % len(body))]
    return [*headers, (b"connection", b"close"), (b"cache-control", b"no-store")], body


async def _busy(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer that there is no room, and hang up."""
    text = "too many connections are open; try again in some seconds"
    headers, body = _problem(503, text, "too_many_connections")
    await send({"type": "http.response.start", "status": 503, "headers": [*headers, (b"retry-after", b"5")]})
    await send({"type": "http.response.body", "body": body})


class Protocol(HttpToolsProtocol):
    """Uvicorn's HTTP/1.1 with an end to what has none: a head, a body, a reader that takes nothing."""

    # Three attributes more, and Python would no longer share the names of all the others: 1.4 KB for each connection.
    __slots__ = ("_answered", "_head_bytes", "_in_head", "_room")

    def __init__(self, *args: Any, room: Connections, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.ws_protocol_class = None  # there is nothing to upgrade to
        self._room = room
        self._room.open = self.connections
        self._in_head = True
        self._head_bytes = 0
        #: The request that is being answered; `cycle` is the one that came last, perhaps behind it.
        self._answered: Cycle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._room.admit(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._room.forget(self)
        super().connection_lost(exc)
        self.pipeline.clear()
        cycle = self._answered
        if cycle is not None and not cycle.response_complete:  # uvicorn tells the one that came last
            cycle.disconnected = True
            cycle.message_event.set()

    def data_received(self, data: bytes) -> None:
        if self._in_head:
            self._head_bytes += len(data)
        if self._in_head and self._room.waiting.get(self, 0.0) is None:
            self._room.waiting[self] = self._room.now()  # the next request begins
        super().data_received(data)
        if self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            if self._in_head or not self.cycle.response_started:
                self.send_400_response(f"the request's head is longer than {MAX_HEAD_BYTES} bytes")
            else:
                self.transport.close()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:
            super().on_header(name, value)
        else:  # after a body in chunks: nobody reads it, and it has the same bound
            self._head_bytes += len(name) + len(value)

    def on_headers_complete(self) -> None:
        self._in_head, self._head_bytes = False, 0
        super().on_headers_complete()
        if not self.pipeline:
            self._answered = self.cycle
        self._room.waiting[self] = self._room.now()  # for the body
        if self.scope["http_version"] < "1.1":
            self.cycle.__class__ = UnchunkedCycle  # it has not begun

    def on_body(self, body: bytes) -> None:
        super().on_body(body)
        if self in self._room.waiting:
            self._room.waiting[self] = self._room.now()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._room.waiting.pop(self, None)
        self._in_head, self._head_bytes = True, 0  # of the next one, without what came in this piece
        if self.cycle.response_complete:
            self._room.waiting[self] = None

    def on_response_complete(self) -> None:
        idle = not self.pipeline and self._in_head
        if self.pipeline:
            self._answered = self.pipeline[-1][0]
        super().on_response_complete()
        if idle:
            self._room.waiting[self] = None

    def pause_writing(self) -> None:
        super().pause_writing()
        self._room.stalled[self] = self.unsent(), self._room.now()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._room.stalled.pop(self, None)

    def give_up(self) -> None:
        """Hang up on a request that does not come; one that has begun is told so."""
        self._room.waiting.pop(self, None)
        if self.transport.is_closing():
            return
        begun = self._head_bytes > 0 if self._in_head else not self.cycle.response_started
        if begun and not self.pipeline:
            self._refuse(408, f"the request did not come within {REQUEST_SECONDS:g} seconds", "request_timeout")
        self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """Uvicorn's own is plain text."""
        self._refuse(400, msg, "invalid_request")
        self.transport.close()

    def _refuse(self, status: int, detail: str, code: str) -> None:
        headers, body = _problem(status, detail, code)
        lines = [b"HTTP/1.1 %d %b" % (status, HTTPStatus(status).phrase.encode())]
        lines += [b"%b: %b" % header for header in headers]
        self.transport.write(b"\r\n".join([*lines, b"", body]))

    def unsent(self) -> int:
        """Bytes that the reader has not taken, here and (on Linux) in the kernel."""
        own = self.transport.get_write_buffer_size()
        if fcntl is None or (connection := self.transport.get_extra_info("socket")) is None:
            return own
        with contextlib.suppress(OSError, ValueError):  # it is closed already
            in_kernel = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, b"\0" * 4)
            return own + int.from_bytes(in_kernel, sys.byteorder)
        return own


class UnchunkedCycle(RequestResponseCycle):
    """A request of HTTP/1.0, which knows no chunks: an answer without a length ends with its connection."""

    async def send(self, message: Any) -> None:
        if not self.response_started and message["type"] == "http.response.start":
            if all(name.lower() != b"content-length" for name, _ in message.get("headers", ())):
                self.chunked_encoding = False
                self.expected_content_length = sys.maxsize
        elif self.expected_content_length > sys.maxsize // 2 and not message.get("more_body"):
            self.expected_content_length = len(message.get("body", b""))
        await super().send(message)


# A response that is written to its connection


def cycle_of(scope: Scope) -> Cycle | None:
    """What a response may write to past ASGI; None under another server, or behind a middleware of somebody else."""
    cycle = getattr(scope.get("raw_send"), "__self__", None)
    return cycle if isinstance(cycle, RequestResponseCycle) else None


class Wire:
    """A response's connection, written to without a task being woken. Its head and its end go ASGI's way.

    What is written are ready chunks, as uvicorn's own `send` makes them. A reader that takes nothing is dropped by
    `Connections`.
    """

    __slots__ = ("_cycle",)

    def __init__(self, cycle: Cycle) -> None:
        self._cycle = cycle

    @property
    def is_gone(self) -> bool:
        """Whether the reader has left."""
        return self._cycle.disconnected

    def write(self, chunk: bytes) -> bool:
        """Hand a chunk to the transport; False when it is full."""
        if self._cycle.flow.write_paused:
            return False
        if not self._cycle.transport.is_closing():
            self._cycle.transport.write(chunk)
        return True

    def abort(self) -> None:
        """Drop the connection with what was not taken yet."""
        self._cycle.transport.abort()

    def cut(self) -> None:
        """Close the connection once what was written is taken, without an end of the response: the reader can tell."""
        self._cycle.transport.close()

    def bound_buffer(self, stall_seconds: float) -> None:
        """Keep the kernel from holding megabytes for a reader that stopped reading: then it can be noticed."""
        try:
            own = socket.socket(fileno=os.dup(self._cycle.transport.get_extra_info("socket").fileno()))
        except OSError:
            return  # the client has gone already
        with own:
            own.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
            if hasattr(socket, "TCP_USER_TIMEOUT") and own.family in (socket.AF_INET, socket.AF_INET6):
                own.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(stall_seconds * 1000))
