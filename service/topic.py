"""One job's stream: its newest frames, and its subscribers, each with a cursor over the log."""

import asyncio
import itertools
from collections import deque
from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from anyio import to_thread

from service.errors import JobNotFound
from service.frames import HEARTBEAT, Frame, Record, Types, frame, http_chunk, retry_line, select

#: Events in a page of the log, at most.
PAGE_EVENTS = 500
#: Bytes of recent frames that a topic keeps so that a page need not come from the disk.
TAIL_BYTES = 256_000

_HEARTBEAT_CHUNK = http_chunk(HEARTBEAT)


class Log(Protocol):
    """What the fan-out needs of the store."""

    @property
    def places(self) -> Sequence[str]:
        """The jobs that wait, first one first."""

    def page(self, job_id: str, after: int, limit: int) -> tuple[list[Record], int | None]:
        """Events above number `after`, and the final event's number if the job has ended."""


class Fanout(Protocol):
    """What a topic needs of the hub."""

    log: Log
    heartbeat_seconds: float
    #: Seconds for which a reader may take nothing before its connection is dropped.
    stall_seconds: float
    #: Pages of the log that were read for streams.
    replays: int
    closed: bool

    def now(self) -> float:
        """The loop's clock, in seconds."""

    def leave(self, topic: "Topic", subscriber: "Subscriber") -> None:
        """Forget a subscriber; with the last one goes the topic. Repeatable."""


class Topic:
    """One job's subscribers and its newest frames."""

    def __init__(self, hub: Fanout, name: str) -> None:
        self.hub = hub
        #: The job's id.
        self.name = name
        self.subscribers: set[Subscriber] = set()
        #: The newest number shown here; 0 before the first.
        self.last_seq = 0
        #: The newest frames, contiguous, the last one numbered `last_seq`.
        self.tail: deque[Frame] = deque()
        #: The newest tick, for whoever joins between two; None once an event has overtaken it.
        self.tick: Frame | None = None
        self._tail_bytes = 0
        #: The number of the log's last event where that is a final one.
        self._final_seq: int | None = None
        self._written = 0.0

    async def page(self, after: int) -> list[Frame]:
        """The next frames above number `after`, from memory where they are there; empty at the end."""
        first = self.tail[0][0].seq or 0 if self.tail else None
        if first is not None and first <= after + 1:
            return list(itertools.islice(self.tail, after + 1 - first, None))
        shown = self.last_seq
        self.hub.replays += 1
        try:
            records, final_seq = await to_thread.run_sync(self.hub.log.page, self.name, after, PAGE_EVENTS)
        except JobNotFound:  # deleted meanwhile: the streams end without a final event, and who comes back is told
            self.tail.clear()
            self.last_seq = self._final_seq = 0
            return []
        if self.last_seq == shown:  # else what was shown meanwhile is newer than what the disk said
            self._final_seq = final_seq
        return [(record, frame(record)) for record in records]

    def is_done(self, cursor: int) -> bool:
        """Whether a reader that stands at `cursor` has the final event, and that is the log's last."""
        return self._final_seq is not None and cursor >= self._final_seq

    def extend(self, frames: Sequence[Frame], ended: bool) -> None:
        """Show new frames, in order, to every subscriber that is live; the others find them in the log."""
        before = self.last_seq
        for entry in frames:
            self._keep(entry)
        self._final_seq = self.last_seq if ended else None
        self._written = self.hub.now()
        chunks: dict[tuple[Types | None, int], bytes] = {}
        for subscriber in tuple(self.subscribers):
            if not subscriber.live:
                subscriber.wake()
                continue
            # A live one stands at `before`, or ahead of it where its last page already had what is shown now.
            key = (subscriber.types, max(before, subscriber.cursor))
            if key not in chunks:
                chunks[key] = http_chunk(select(frames, *key))
            subscriber.show(chunks[key], self.last_seq)
            if ended and subscriber.live:
                subscriber.end()

    def _keep(self, entry: Frame) -> None:
        record = entry[0]
        if record.seq is None:
            self.tick = entry
            return
        if record.seq != self.last_seq + 1:
            self.tail.clear()  # a hole, which the disk does not have
            self._tail_bytes = 0
        self.tail.append(entry)
        self._tail_bytes += len(entry[1])
        while self._tail_bytes > TAIL_BYTES:
            self._tail_bytes -= len(self.tail.popleft()[1])
        self.last_seq = record.seq
        if record.type != "log":
            self.tick = None

    def beat(self) -> None:
        """Tell connections to which nothing was written lately that they are alive."""
        quiet = self.hub.now() - self._written >= self.hub.heartbeat_seconds / 2
        for subscriber in tuple(self.subscribers):
            if subscriber.live and (quiet or subscriber.types is not None):
                subscriber.write(_HEARTBEAT_CHUNK)

    def close(self) -> None:
        """End every stream of this job; the hub is closed, so those that still read pages see that themselves."""
        for subscriber in tuple(self.subscribers):
            if subscriber.live:
                subscriber.write(http_chunk(retry_line()))
                subscriber.end()
            else:
                subscriber.wake()


class Connection(Protocol):
    """What a live subscriber writes to. Nothing here waits."""

    def write(self, chunk: bytes) -> bool:
        """Take an HTTP chunk; False when there is no room now."""

    def catch_up(self, subscriber: "Subscriber") -> None:
        """Read pages until the subscriber is live again."""

    def end(self) -> None:
        """Complete the response."""


class Subscriber:
    """A cursor over one topic. Lives on the event loop.

    It reads pages until it has everything. Then one that can be written to at any moment goes `live` and gets each new
    chunk from its topic; one that cannot waits to be woken and reads the next page.
    """

    __slots__ = ("_connection", "_tick", "_wake", "cursor", "hub", "live", "topic", "types")

    def __init__(self, topic: Topic, cursor: int = 0, types: Types | None = None) -> None:
        self.hub = topic.hub
        self.cursor = cursor
        self.types = types
        self.topic = topic
        self.topic.subscribers.add(self)
        self.live = False
        self._connection: Connection | None = None
        self._wake: asyncio.Future[None] | None = None
        self._tick: Frame | None = None

    async def read(self) -> bytes:
        """The next frames after the cursor that pass the filter; empty only at the end, the topic's or the hub's."""
        while not self.hub.closed and (page := await self.topic.page(self.cursor)):
            self.cursor = page[-1][0].seq or self.cursor
            if found := select(page, self.types, 0):
                return found
        return b""

    @property
    def is_current(self) -> bool:
        """After an empty `read`: whether nothing was shown while it waited for the disk."""
        return self.hub.closed or self.cursor >= self.topic.last_seq

    @property
    def is_done(self) -> bool:
        """Whether the stream ends here, with the topic or with the hub."""
        return self.hub.closed or self.topic.is_done(self.cursor)

    def _new_tick(self) -> Frame | None:
        """The topic's newest tick, once."""
        tick = self.topic.tick if self.topic.tick is not self._tick else None
        self._tick = tick or self._tick
        return tick

    def leave(self) -> None:
        self.live = False
        self.hub.leave(self.topic, self)

    # Pulled: the subscriber waits and reads

    async def pages(self) -> AsyncIterator[list[Frame]]:
        """Everything after the cursor, as it comes, until the stream ends; now and then a tick."""
        while True:
            if not self.hub.closed and (page := await self.topic.page(self.cursor)):
                self.cursor = page[-1][0].seq or self.cursor
                yield page
            elif not self.is_current:
                continue
            elif self.is_done:
                return
            elif tick := self._new_tick():
                yield [tick]
            else:
                self._wake = asyncio.get_running_loop().create_future()
                await self._wake

    async def frames(self) -> AsyncIterator[bytes]:
        """The same as SSE frames, filtered. When the hub closes, the last is a `retry:` line."""
        async for page in self.pages():
            if data := select(page, self.types, 0):
                yield data
        if self.hub.closed:
            yield retry_line()

    def wake(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    # Pushed: the topic writes

    def go_live(self, connection: Connection) -> None:
        """Take new chunks from now on. To be called right after `is_current` was seen to be true."""
        self._connection = connection
        self.live = True
        if tick := self._new_tick():
            self.write(http_chunk(select([tick], self.types, 0)))

    def show(self, chunk: bytes, seq: int) -> None:
        """Write the chunk that brings this subscriber to number `seq`, or fall behind if it cannot be written now."""
        if self.write(chunk):
            self.cursor = max(self.cursor, seq)
        elif self._connection is not None:
            self.live = False
            self._connection.catch_up(self)

    def write(self, chunk: bytes) -> bool:
        """Write one HTTP chunk; an empty one would be the end, and is nothing."""
        return not chunk or (self._connection is not None and self._connection.write(chunk))

    def end(self) -> None:
        self.live = False
        if self._connection is not None:
            self._connection.end()
