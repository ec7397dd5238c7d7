"""Event streams over HTTP: how a subscriber's frames reach its connection.

Under uvicorn's own HTTP/1.1 protocol the hub writes to the connection; everywhere else sse-starlette's response pulls
from the same cursor. `streaming` decides what is shown to whom; this file only carries it.
"""

import asyncio
import contextlib
import logging
import os
import socket
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable

from anyio import to_thread
from sse_starlette import EventSourceResponse
from sse_starlette.sse import SendTimeoutError
from starlette.types import Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from service.events import encode
from service.jobs import Job
from service.streaming import HEARTBEAT, Hub, Subscriber, Types, retry_line

log = logging.getLogger(__name__)

#: The kernel's share of what a reader that stopped reading makes us hold, in bytes (a stream's socket only).
SEND_BUFFER_BYTES = 32_768


class HttpConnection:
    """One connection of uvicorn's HTTP/1.1 (httptools) protocol, written to without a task being woken.

    The head of the response and its end go the ASGI way; in between, ready chunks go to the transport, which is what
    uvicorn's own `send` does with them. While the transport is full, pages go the ASGI way, which waits.
    """

    __slots__ = ("_cycle", "_send", "_stall_seconds", "_task")

    def __init__(self, cycle: RequestResponseCycle, send: Send, stall_seconds: float) -> None:
        self._cycle = cycle
        self._send = send
        self._stall_seconds = stall_seconds
        self._task: asyncio.Task[None] | None = None

    @staticmethod
    def cycle(scope: Scope) -> RequestResponseCycle | None:
        """The request's cycle; None under another server or protocol, or behind a middleware of somebody else."""
        cycle = getattr(scope.get("raw_send"), "__self__", None)
        return cycle if isinstance(cycle, RequestResponseCycle) else None

    def write(self, chunk: bytes) -> bool:
        """Hand a chunk to the transport; False when it is full."""
        if self._cycle.flow.write_paused:
            return False
        if not self._cycle.transport.is_closing():
            self._cycle.transport.write(chunk)
        return True

    async def start(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        await self._send_in_time({"type": "http.response.start", "status": status, "headers": headers})

    async def send(self, body: bytes, *, more: bool = True) -> None:
        await self._send_in_time({"type": "http.response.body", "body": body, "more_body": more})

    async def _send_in_time(self, message: Message) -> None:
        """Send the ASGI way, waiting for room; a reader that takes nothing for too long is dropped."""
        try:
            async with asyncio.timeout(self._stall_seconds):
                await self._send(message)
        except TimeoutError:
            self._cycle.transport.abort()

    async def replay(self, subscriber: Subscriber) -> None:
        """Send pages until the subscriber can go live, or the stream ends."""
        while not self._cycle.disconnected:
            if data := await subscriber.read():
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
            self._cycle.transport.abort()  # its reader comes back with the number that it has

    def end(self) -> None:
        """Complete the response; the request's own task hears of it as a disconnect."""
        self._task = asyncio.get_running_loop().create_task(self.send(b"", more=False))

    def bound_buffer(self) -> None:
        """Keep the kernel from holding megabytes for a reader that stopped reading: then it can be noticed."""
        try:
            own = socket.socket(fileno=os.dup(self._cycle.transport.get_extra_info("socket").fileno()))
        except OSError:
            return  # the client has gone already
        with own:
            own.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
            if hasattr(socket, "TCP_USER_TIMEOUT") and own.family in (socket.AF_INET, socket.AF_INET6):
                own.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(self._stall_seconds * 1000))

    def close(self) -> None:
        if self._task is not None:
            self._task.cancel()


class EventStream(EventSourceResponse, ABC):
    """A topic's frames as a response. Under uvicorn the hub writes to the connection; elsewhere the stock class pulls.

    One task per connection: it waits for the client to leave while the hub writes.
    """

    def __init__(self, hub: Hub) -> None:
        super().__init__(
            self,
            headers={"Cache-Control": "no-store, no-transform", "X-Content-Type-Options": "nosniff"},
            ping=hub.heartbeat_seconds,
            ping_message_factory=lambda: HEARTBEAT,  # type: ignore[arg-type,return-value]  # bytes go through as they are
            send_timeout=hub.stall_seconds,
            shutdown_grace_period=1.0,
        )
        del self.headers["connection"]  # HTTP/2 forbids it, HTTP/1.1 does without
        self._hub = hub

    @abstractmethod
    def subscribe(self) -> Subscriber:
        """A new subscriber of what this stream shows."""

    @abstractmethod
    async def preface(self) -> bytes:
        """The first bytes, made when the subscriber is there already, so that nothing falls between the two."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """The stock class's content."""
        subscriber = self.subscribe()
        try:
            yield await self.preface()
            async for data in subscriber.frames():
                yield data
        finally:
            subscriber.leave()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._hub.streams += 1
        try:
            cycle = HttpConnection.cycle(scope)
            if cycle is None or scope["method"] == "HEAD":
                with contextlib.suppress(SendTimeoutError):  # the server drops a response that was not completed
                    await super().__call__(scope, receive, send)
            elif not cycle.disconnected:
                await self._push(HttpConnection(cycle, send, self._hub.stall_seconds), receive)
        finally:
            self._hub.streams -= 1

    async def _push(self, connection: HttpConnection, receive: Receive) -> None:
        connection.bound_buffer()
        subscriber = self.subscribe()
        try:
            await connection.start(self.status_code, self.raw_headers)
            await connection.send(await self.preface())
            del self.raw_headers, self._headers, self._send_lock  # thousands of streams are idle for hours
            await connection.replay(subscriber)
            while (await receive())["type"] != "http.disconnect":
                pass
        finally:
            subscriber.leave()
            connection.close()


class JobStream(EventStream):
    """One job's events above number `cursor`, those of `types` only. A cursor beyond the log's end gets all."""

    def __init__(self, hub: Hub, job: Job, cursor: int = 0, types: Types | None = None) -> None:
        super().__init__(hub)
        self._job = job
        self._cursor = cursor
        self._types = types

    def subscribe(self) -> Subscriber:
        cursor = 0 if self._cursor > self._job.last_seq else self._cursor
        return Subscriber(self._hub.topic(self._job.id), cursor, self._types)

    async def preface(self) -> bytes:
        first = retry_line() + b": job %b\n" % self._job.id.encode()
        if self._cursor <= self._job.last_seq:
            return first
        about = {"event": "reset", "job_id": self._job.id, "attempt": self._job.attempt, "time": time.time()}
        fields = {"requested": self._cursor, "last_seq": self._job.last_seq}
        return first + b"event: reset\ndata: %b\n\n" % encode({**about, **fields})


class BoardStream(EventStream):
    """The list of jobs, as `list_jobs` gives it, then what each of them becomes."""

    def __init__(self, hub: Hub, list_jobs: Callable[[], list[Job]]) -> None:
        super().__init__(hub)
        self._list_jobs = list_jobs

    def subscribe(self) -> Subscriber:
        return Subscriber(self._hub.board, self._hub.board.last_seq)

    async def preface(self) -> bytes:
        jobs = [job.snapshot() for job in await to_thread.run_sync(self._list_jobs)]
        listed = encode({"event": "jobs", "jobs": jobs})
        return retry_line() + b": all jobs\nevent: jobs\ndata: %b\n\n" % listed
