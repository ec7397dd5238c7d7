"""Event streams over HTTP: how a subscriber's frames reach its connection.

Under uvicorn's own HTTP/1.1 protocol the hub writes to the connection; everywhere else sse-starlette's response pulls
from the same cursor. `streaming` decides what is shown to whom; this file only carries it.
"""

import asyncio
import contextlib
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable

from anyio import to_thread
from sse_starlette import EventSourceResponse
from sse_starlette.sse import SendTimeoutError
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from service.encoding import encode
from service.errors import StoreUnavailable, TooManyStreams
from service.frames import BUSY_RETRY_MS, HEARTBEAT, Types, retry_line
from service.job import Job
from service.streaming import Hub
from service.topic import Subscriber
from service.web.uvicorn_wire import Wire, wire_of

log = logging.getLogger(__name__)

#: What keeps proxies from holding a stream back: from storing, buffering and compressing it. `identity` says no more
#: than that nothing was done to the content, and that is what some of them heed before they compress.
HEADERS = {
    "Cache-Control": "no-store, no-transform",
    "Content-Encoding": "identity",
    "X-Accel-Buffering": "no",
    "X-Content-Type-Options": "nosniff",
}


#: Seconds that the stock class gives a stream to end by itself once a server has been told to leave. The hub ends all
#: of them at once; only a reader that does not keep up takes longer.
LAST_WORD_SECONDS = 3.0


class HttpConnection:
    """One connection of uvicorn's HTTP/1.1, live: the hub writes to it, and no task waits for room.

    The head of the response and its end go the ASGI way; in between, ready chunks go to the transport. While that is
    full, pages go the ASGI way, which waits; a reader that takes nothing for too long is dropped by the server.
    """

    __slots__ = ("_send", "_task", "_wire")

    def __init__(self, wire: Wire, send: Send) -> None:
        self._wire = wire
        self._send = send
        self._task: asyncio.Task[None] | None = None

    def write(self, chunk: bytes) -> bool:
        return self._wire.write(chunk)

    async def start(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def send(self, body: bytes, *, more: bool = True) -> None:
        await self._send({"type": "http.response.body", "body": body, "more_body": more})

    async def replay(self, subscriber: Subscriber) -> None:
        """Send pages until the subscriber can go live, or the stream ends."""
        while not self._wire.is_gone:
            try:
                data = await subscriber.read()
            except StoreUnavailable as error:
                return await self.send(_unreadable(error), more=False)
            if data:
                await self.send(data)
            elif not subscriber.is_current:
                continue
            elif subscriber.is_done:
                await self.send(retry_line() if subscriber.hub.closed else b"", more=False)
                return
            else:
                subscriber.go_live(self)
                return

    def catch_up(self, subscriber: Subscriber) -> None:
        """Replay in a task of its own, which is gone when the subscriber is live again."""
        self._task = asyncio.get_running_loop().create_task(self._replay_or_drop(subscriber))

    async def _replay_or_drop(self, subscriber: Subscriber) -> None:
        try:
            await self.replay(subscriber)
        except Exception:
            log.exception("a stream was dropped", extra={"action": "stream_dropped"})
            self._wire.abort()  # its reader comes back with the number that it has

    def end(self) -> None:
        """Complete the response; the request's own task hears of it as a disconnect."""
        self._task = asyncio.get_running_loop().create_task(self.send(b"", more=False))

    def close(self) -> None:
        if self._task is not None:
            self._task.cancel()


class BareConnection(HttpConnection):
    """The same over HTTP/1.0, which has no chunks: it gets their content. nginx asks so by default."""

    __slots__ = ()

    def write(self, chunk: bytes) -> bool:
        return super().write(chunk[chunk.index(b"\r\n") + 2 : -2])


class EventStream(Response, ABC):
    """A topic's frames as a response. Under uvicorn the hub writes to the connection; elsewhere the stock class pulls.

    One task per connection: it waits for the client to leave while the hub writes.
    """

    media_type = "text/event-stream"

    def __init__(self, hub: Hub) -> None:
        self.status_code = 200
        self.init_headers(HEADERS)
        self._hub = hub

    @abstractmethod
    def subscribe(self) -> Subscriber:
        """A new subscriber of what this stream shows."""

    @abstractmethod
    def greeting(self) -> bytes:
        """A comment that says what this stream is. It goes out at once, by itself: a proxy that decides by the length
        of the first write whether to compress (and then holds events back) lets the stream through."""

    @abstractmethod
    async def preface(self) -> bytes:
        """What comes before the topic's frames, made when the subscriber is there already, so that nothing falls
        between the two."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "HEAD":  # its connection would wait for the end of what nobody sees
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            await send({"type": "http.response.body"})
            return
        try:
            with self._hub.admit():
                wire = wire_of(scope)
                if wire is None:
                    await self._pull(scope, receive, send)
                elif not wire.is_gone:
                    wire.bound_buffer(self._hub.stall_seconds)
                    kind = BareConnection if scope["http_version"] < "1.1" else HttpConnection
                    await self._push(kind(wire, send), receive)
        except TooManyStreams:
            await _come_back_later()(scope, receive, send)

    async def _push(self, connection: HttpConnection, receive: Receive) -> None:
        subscriber = self.subscribe()
        try:
            first = await self.preface()  # what it raises is an answer of its own
            await connection.start(self.status_code, self.raw_headers)
            await connection.send(retry_line() + self.greeting())
            if first:
                await connection.send(first)
            self.raw_headers.clear()  # thousands of streams are idle for hours
            await connection.replay(subscriber)
            while (await receive())["type"] != "http.disconnect":
                pass
        finally:
            subscriber.leave()
            connection.close()

    async def _pull(self, scope: Scope, receive: Receive, send: Send) -> None:
        stock = EventSourceResponse(
            self._frames(),
            headers=self.headers,
            ping=self._hub.heartbeat_seconds,
            ping_message_factory=lambda: HEARTBEAT,  # type: ignore[arg-type,return-value]  # bytes go through as they are
            send_timeout=self._hub.stall_seconds,
            shutdown_grace_period=LAST_WORD_SECONDS,
        )
        del stock.headers["connection"]  # HTTP/2 forbids it, HTTP/1.1 does without
        with contextlib.suppress(SendTimeoutError):  # the server drops a response that was not completed
            await stock(scope, receive, send)

    async def _frames(self) -> AsyncIterator[bytes]:
        """All of the stream, as the stock class sends it."""
        subscriber = self.subscribe()
        try:
            yield retry_line() + self.greeting()
            if first := await self.preface():
                yield first
            async for data in subscriber.frames():
                yield data
        except StoreUnavailable as error:
            yield _unreadable(error)
        finally:
            subscriber.leave()


def _unreadable(error: StoreUnavailable) -> bytes:
    """The end of a stream that the log cannot go on with: it is for people, readers come back later."""
    return retry_line(BUSY_RETRY_MS) + b": %b\n" % str(error).encode()


def _come_back_later() -> Response:
    """Not a 503: a browser's EventSource would give up for ever."""
    busy = retry_line(BUSY_RETRY_MS) + b": too many streams\n"
    return Response(busy, headers={"Cache-Control": "no-store"}, media_type="text/event-stream")


class JobStream(EventStream):
    """One job's events above number `cursor`, those of `types` only. A cursor beyond the log's end gets all."""

    def __init__(self, hub: Hub, job: Job, cursor: int = 0, types: Types | None = None) -> None:
        super().__init__(hub)
        self._job_id = job.id
        self._cursor = cursor
        self._types = types
        self._reset = b""
        if cursor > job.last_seq:
            about = {"event": "reset", "job_id": job.id, "attempt": job.attempt, "time": time.time()}
            fields = {"requested": cursor, "last_seq": job.last_seq}
            self._cursor, self._reset = 0, b"event: reset\ndata: %b\n\n" % encode({**about, **fields})

    def subscribe(self) -> Subscriber:
        return Subscriber(self._hub.topic(self._job_id), self._cursor, self._types)

    def greeting(self) -> bytes:
        return b": job %b\n" % self._job_id.encode()

    async def preface(self) -> bytes:
        return self._reset


class BoardStream(EventStream):
    """The list of jobs, as `list_jobs` gives it, then what each of them becomes."""

    def __init__(self, hub: Hub, list_jobs: Callable[[], list[Job]]) -> None:
        super().__init__(hub)
        self._list_jobs = list_jobs

    def subscribe(self) -> Subscriber:
        return Subscriber(self._hub.board, self._hub.board.last_seq)

    def greeting(self) -> bytes:
        return b": all jobs\n"

    async def preface(self) -> bytes:
        jobs = [job.snapshot() for job in await to_thread.run_sync(self._list_jobs)]
        listed = encode({"event": "jobs", "jobs": jobs})
        return b"event: jobs\ndata: %b\n\n" % listed
