"""A job's log as plain text: the lines of its `log` events, for `curl`."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator

from anyio import sleep_forever
from orjson import loads
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from service.errors import BeyondLog, StoreUnavailable
from service.frames import Record
from service.store.store import Store
from service.streaming import Hub
from service.topic import Subscriber
from service.web.uvicorn_wire import Wire, wire_of

#: Lines that `?tail=` gives at most.
MAX_TAIL = 10_000
#: Bytes of the first write of a followed log: a proxy that decides by it whether to compress lets the log through.
FIRST_BYTES = 256
HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "X-Accel-Buffering": "no"}
#: Nothing may hold a line back until there are more to compress.
AS_IT_COMES = {"Cache-Control": "no-store, no-transform", "Content-Encoding": "identity"}


def text(records: Iterable[Record]) -> bytes:
    """The lines of the `log` events among these, each ended by a newline."""
    lines = [line for record in records if record.type == "log" for line in loads(record.data)["lines"]]
    return "".join(f"{line}\n" for line in lines).encode()


def last(store: Store, job_id: str, count: int) -> tuple[bytes, int]:
    """The last `count` lines, and the number of the newest event that was read for them."""
    newest = store.job(job_id).last_seq
    records = store.tail(job_id, "log", count)
    if records:  # one that came between the two looks is in both
        newest = max(newest, records[-1].seq or 0)
    lines = text(records).splitlines(keepends=True)
    return b"".join(lines[-count:]), newest


def beyond(store: Store, job_id: str, offset: int) -> tuple[bytes, int]:
    """The text after the first `offset` bytes, as far as it was read to find them, and the number of the event up to
    which that was. Raises BeyondLog when there are fewer."""
    after, seen = 0, 0
    while seen < offset:
        records = store.read(job_id, after)
        if not records:
            raise BeyondLog(f"offset is {offset}, but the log has {seen} bytes so far: start again at 0")
        after = records[-1].seq or 0
        found = text(records)
        seen += len(found)
        if seen > offset:
            return found[offset - seen :], after
    return b"", after


def between(store: Store, job_id: str, first: bytes, after: int, last_seq: int) -> Iterator[bytes]:
    """`first`, then the lines of the events above number `after` up to `last_seq`, page by page."""
    if first:
        yield first
    try:
        while after < last_seq and (records := store.read(job_id, after)):
            after = records[-1].seq or 0
            if found := text(record for record in records if (record.seq or 0) <= last_seq):
                yield found
    except StoreUnavailable as error:  # the answer has begun: this is its last line
        yield _unreadable(error)


def _unreadable(error: StoreUnavailable) -> bytes:
    return f"[{error}]\n".encode()


class FollowedLog(StreamingResponse):
    """`first`, then the lines of every event above number `after` as they come, until the job has ended.

    It counts as a stream, and is dropped like one. Text has no place for a heartbeat, nor for "come back": so what ends
    before the job does is cut, which curl tells by its exit code, 18.
    """

    def __init__(self, hub: Hub, job_id: str, first: bytes, after: int) -> None:
        super().__init__(iter(()), headers={**HEADERS, **AS_IT_COMES}, media_type="text/plain")
        self._hub = hub
        self._job_id = job_id
        self._first = first
        self._after = after
        self._wire: Wire | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "HEAD":  # its connection would wait for the end of what nobody sees
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            await send({"type": "http.response.body"})
            return
        with self._hub.admit():  # or TooManyStreams, which is answered like any error
            if (wire := wire_of(scope)) is not None:
                self._wire = wire
                self._wire.bound_buffer(self._hub.stall_seconds)
            await super().__call__(scope, receive, send)

    async def stream_response(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        subscriber = Subscriber(self._hub.topic(self._job_id), self._after)
        try:
            await self._send_pieces(subscriber, send)
            if subscriber.topic.is_done(subscriber.cursor):
                await send({"type": "http.response.body"})
            elif self._wire is not None:
                self._wire.cut()
                await sleep_forever()  # until the connection is gone; what is not completed is cut by others, too
        except TimeoutError:
            return  # the same
        finally:
            subscriber.leave()

    async def _send_pieces(self, subscriber: Subscriber, send: Send) -> None:
        most: int | None = FIRST_BYTES
        async for piece in self._pieces(subscriber):
            for part in (piece[:most], piece[most:] if most else b""):
                if part:
                    await self._send_in_time(part, send)
            most = None

    async def _pieces(self, subscriber: Subscriber) -> AsyncIterator[bytes]:
        if self._first:
            yield self._first
        try:
            async for page in subscriber.pages():
                if found := text(record for record, _ in page):
                    yield found
        except StoreUnavailable as error:
            yield _unreadable(error)

    async def _send_in_time(self, body: bytes, send: Send) -> None:
        """Raises TimeoutError when the reader takes nothing for too long; under uvicorn `Connections` sees to that."""
        async with asyncio.timeout(self._hub.stall_seconds if self._wire is None else None):
            await send({"type": "http.response.body", "body": body, "more_body": True})
