"""Everything that this service takes from uvicorn beyond ASGI, in one place, and what happens where it is not there.

The application puts its own HTTP/1.1 protocol in the place of uvicorn's when its lifespan begins, so both
`python -m service serve` and `uvicorn service.app:app` have it. Under another server, another protocol, or a uvicorn
that is not as expected, the application goes ASGI's way: event streams cost more, and connections have no bounds but
the server's (docs/decisions/0003).
"""

import asyncio
import contextlib
import fcntl
import functools
import logging
import sys
import termios
from http import HTTPStatus
from typing import TypeAlias

import uvicorn
from starlette.types import Message, Receive, Scope, Send
from uvicorn.server import ServerState

from service.encoding import encode
from service.errors import PROBLEM, Code, described
from service.web import connections
from service.web.connections import Connections

try:
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

    HAS_HTTPTOOLS = True
except ImportError:  # another uvicorn: `install` says so
    HttpToolsProtocol = RequestResponseCycle = object  # type: ignore[assignment,misc]
    HAS_HTTPTOOLS = False

log = logging.getLogger(__name__)

#: A request and its answer, as uvicorn keeps them.
Cycle: TypeAlias = RequestResponseCycle

#: Longest head of a request, in bytes, give or take what arrives in one piece.
MAX_HEAD_BYTES = 65_536

#: What is used of a server's configuration, its protocol, a request's cycle and a connection's flow control.
CONFIG_NEEDS = ("http_protocol_class",)
PROTOCOL_NEEDS = (
    *("app", "connections", "cycle", "flow", "pipeline", "scope", "transport", "ws_protocol_class"),
    *("on_body", "on_header", "on_headers_complete", "on_message_complete", "on_response_complete"),
    *("pause_writing", "resume_writing", "send_400_response"),
)
CYCLE_NEEDS = (
    *("chunked_encoding", "disconnected", "expected_content_length", "flow", "message_event", "response_complete"),
    *("response_started", "send", "transport"),
)
FLOW_NEEDS = ("read_paused", "write_paused")


def install(receive: Receive | None, room: Connections) -> bool:
    """Put `Protocol` in place; `receive` is that of the lifespan. False where it cannot be, which the log is told."""
    lifespan = getattr(receive, "__self__", None)
    if not type(lifespan).__module__.startswith("uvicorn."):
        return False  # another server
    config = getattr(lifespan, "config", None)
    if not isinstance(config, uvicorn.Config):
        lacking = ["lifespan with a configuration"]
    elif HAS_HTTPTOOLS and getattr(config, "http_protocol_class", HttpToolsProtocol) is not HttpToolsProtocol:
        return False  # another protocol, as somebody wished (`--http h11`)
    elif not (lacking := missing(config)):
        config.http_protocol_class = functools.partial(Protocol, room=room)  # type: ignore[assignment]
        room.look_soon()
        return True
    log.warning(
        "uvicorn %s has no %s: streams cost more, connections have no time limits",
        *(uvicorn.__version__, ", ".join(lacking)),
        extra={"action": "uvicorn_unknown"},
    )
    return False


def missing(config: uvicorn.Config) -> list[str]:
    """What is used here and is not there: looked for on the objects that uvicorn makes for two requests."""
    if not HAS_HTTPTOOLS:
        return ["protocol of httptools"]
    state = ServerState()
    try:
        protocol = Protocol(config, state, {}, room=Connections(limit=1, stall_seconds=1))
        protocol.connection_made(_Nowhere())
        protocol.data_received(b"GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n")
        for task in state.tasks:
            task.cancel()  # before it has begun
        if not protocol.has_followed():
            return ["protocol that tells of each request"]
        parts = (
            (config, CONFIG_NEEDS),
            (protocol, PROTOCOL_NEEDS),
            (protocol.cycle, CYCLE_NEEDS),
            (protocol.flow, FLOW_NEEDS),
        )
        return [name for part, needs in parts for name in needs if not hasattr(part, name)]
    except Exception as error:  # whatever a renamed thing may lead to
        return [f"protocol of the expected form ({error!r})"]


class _Nowhere(asyncio.Transport):
    """A connection to nobody, from whom nothing more comes."""

    def pause_reading(self) -> None:
        """Nothing is read."""


def _problem(status: int, detail: str, code: Code) -> tuple[list[tuple[bytes, bytes]], bytes]:
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

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, object],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        room: Connections,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.ws_protocol_class = None  # there is nothing to upgrade to
        self._room = room
        self._room.open = self.connections  # type: ignore[assignment]  # uvicorn's type is wider: they are all of these
        self._in_head = True
        self._head_bytes = 0
        #: The request that is being answered; `cycle` is the one that came last, perhaps behind it.
        self._answered: Cycle | None = None

    def has_followed(self) -> bool:
        """Whether uvicorn, given two requests at once, has called the methods overridden here and queued the second."""
        return self not in self._room.waiting and self.pipeline[-1][0] is self.cycle is not self._answered is not None

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

    def send_400_response(self, msg: str) -> None:
        """Uvicorn's own is plain text."""
        self._refuse(400, msg, "invalid_request")
        self.transport.close()

    def _refuse(self, status: int, detail: str, code: Code) -> None:
        headers, body = _problem(status, detail, code)
        lines = [b"HTTP/1.1 %d %b" % (status, HTTPStatus(status).phrase.encode())]
        lines += [b"%b: %b" % header for header in headers]
        self.transport.write(b"\r\n".join([*lines, b"", body]))

    # What `Connections` asks for

    @property
    def is_held_up(self) -> bool:
        return self.flow.read_paused

    def turn_away(self) -> None:
        self.app = _busy

    def give_up(self) -> None:
        """Hang up on a request that does not come; one that has begun is told so."""
        self._room.waiting.pop(self, None)
        if self.transport.is_closing():
            return
        begun = self._head_bytes > 0 if self._in_head else not self.cycle.response_started
        if begun and not self.pipeline:
            seconds = connections.REQUEST_SECONDS
            self._refuse(408, f"the request did not come within {seconds:g} seconds", "request_timeout")
        self.transport.close()

    def abort(self) -> None:
        self.transport.abort()

    def unsent(self) -> int:
        """Bytes that the reader has not taken, here and (on Linux) in the kernel."""
        own = self.transport.get_write_buffer_size()
        if (connection := self.transport.get_extra_info("socket")) is None:
            return own
        with contextlib.suppress(OSError, ValueError):  # it is closed already
            in_kernel = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, b"\0" * 4)
            return own + int.from_bytes(in_kernel, sys.byteorder)
        return own


class UnchunkedCycle(RequestResponseCycle):
    """A request of HTTP/1.0, which knows no chunks: an answer without a length ends with its connection."""

    async def send(self, message: Message) -> None:  # type: ignore[override]
        if not self.response_started and message["type"] == "http.response.start":
            if all(name.lower() != b"content-length" for name, _ in message.get("headers", ())):
                self.chunked_encoding = False
                self.expected_content_length = sys.maxsize
        elif self.expected_content_length > sys.maxsize // 2 and not message.get("more_body"):
            self.expected_content_length = len(message.get("body", b""))
        await super().send(message)  # type: ignore[arg-type]
