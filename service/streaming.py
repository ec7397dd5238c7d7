"""The bridge and the fan-out: committed events become Server-Sent Events for any number of subscribers.

`Hub.publish` takes changes from the log's writer thread to the event loop. There a subscriber is a cursor over the
log: while it keeps up, each new frame is written to it as it comes (encoded once for all); when it does not, or joins
late, it reads pages of the log until it has caught up. Nobody has a queue.
"""

import asyncio
import itertools
import logging
import random
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from anyio import to_thread

from service.encoding import encode
from service.errors import JobNotFound, TooManyStreams
from service.events import UNFILTERED_TYPES
from service.frames import Record, frame
from service.job import Job
from service.store.transaction import Change

log = logging.getLogger(__name__)

#: Heartbeat: a comment and ONE newline. A blank line after it makes some clients dispatch an empty event.
HEARTBEAT = b": hb\n"
#: Events in a page of the log, at most.
PAGE_EVENTS = 500
#: Bytes of recent frames that a topic keeps so that a page need not come from the disk.
TAIL_BYTES = 256_000
#: Seconds between two frames about the same job in the stream of all jobs.
BOARD_SECONDS = 0.5
#: Waiting jobs whose places are told in the stream of all jobs, at most: 15 bytes each.
BOARD_PLACES = 1_000
#: Milliseconds between reconnects of a client, drawn at random so that a restart is not followed by all at once.
RETRY_MS = (1_000, 3_000)
#: The same for a client that came when there were too many streams.
BUSY_RETRY_MS = (10_000, 30_000)

Types = frozenset[str]
#: An event and its SSE frame, encoded once for all.
Frame = tuple[Record, bytes]


class Log(Protocol):
    """What the fan-out needs of the store."""

    @property
    def places(self) -> Sequence[str]:
        """The jobs that wait, first one first."""

    def page(self, job_id: str, after: int, limit: int) -> tuple[list[Record], int | None]:
        """Events above number `after`, and the final event's number if the job has ended."""


class Hub:
    """All subscribers of all jobs. It lives on the event loop; only `publish` may be called from elsewhere."""

    #: Set by `open`.
    log: Log
    _loop: asyncio.AbstractEventLoop

    def __init__(
        self, *, heartbeat_seconds: float = 15.0, stall_seconds: float = 30.0, max_streams: int = 10_000
    ) -> None:
        self.heartbeat_seconds = heartbeat_seconds
        #: Seconds for which a reader may take nothing before its connection is dropped.
        self.stall_seconds = stall_seconds
        self._places = Places(max_streams)
        self._topics: dict[str, Topic] = {}
        #: All jobs in one stream.
        self.board = Board(self)
        self._heart: asyncio.TimerHandle | None = None
        #: Pages of the log that were read for streams.
        self.replays = 0
        self.closed = False

    def open(self, log: Log) -> None:
        """Read from this log, on the running loop. What was published before is not lost: it is in the log."""
        self.log = log
        self._loop = asyncio.get_running_loop()
        self._heart = self._loop.call_later(self.heartbeat_seconds / 2, self._beat)

    def now(self) -> float:
        """The loop's clock, in seconds."""
        return self._loop.time()

    def close(self) -> None:
        """End all streams cleanly, without a final event: their readers reconnect. Repeatable."""
        self.closed = self._places.closed = True
        if self._heart is not None:
            self._heart.cancel()
        for topic in (self.board, *self._topics.values()):
            topic.close()

    @property
    def streams(self) -> int:
        """Streams that are open now, and logs that are followed."""
        return self._places.taken

    def admit(self) -> "Places":
        """A place for one stream, for as long as `with` holds it. Entering raises TooManyStreams."""
        return self._places

    def publish(self, changes: Sequence[Change]) -> None:
        """Show committed changes to their subscribers. Any thread; returns at once."""
        if self._topics or self.board.subscribers:  # so it is open
            try:
                self._loop.call_soon_threadsafe(self._show, changes)
            except RuntimeError:
                return  # the loop has ended: nobody listens any more

    def topic(self, job_id: str) -> "Topic":
        """The job's topic, made for its first subscriber."""
        return self._topics.setdefault(job_id, Topic(self, job_id))

    def leave(self, topic: "Topic", subscriber: "Subscriber") -> None:
        """Forget a subscriber; with the last one goes the topic. Repeatable."""
        topic.subscribers.discard(subscriber)
        if not topic.subscribers and self._topics.get(topic.name) is topic:
            del self._topics[topic.name]

    def _show(self, changes: Sequence[Change]) -> None:
        for job_id, group in itertools.groupby(changes, lambda change: change.job.id):
            topic = self._topics.get(job_id)
            if topic is not None:
                of_job = list(group)
                frames = [(change.record, frame(change.record)) for change in of_job if change.record]
                topic.extend(frames, of_job[-1].job.is_final)
        self.board.change(changes)

    def _beat(self) -> None:
        for topic in (self.board, *self._topics.values()):
            topic.beat()
        # Twice in a period, so that a silence that began just after a beat is not two periods long.
        self._heart = self._loop.call_later(self.heartbeat_seconds / 2, self._beat)


class Places:
    """How many streams are open, and may be. One object for all of them: an idle stream keeps nothing of its own."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.taken = 0
        self.closed = False
        self._said = False

    def __enter__(self) -> None:
        if self.closed:
            raise TooManyStreams("the service is shutting down; try again in some seconds")
        if self.taken >= self._most:
            if not self._said:
                self._said = True
                log.warning(
                    "%d streams are open, the most that are allowed: further ones are told to come back",
                    self._most,
                    extra={"action": "streams_full"},
                )
            raise TooManyStreams(f"{self._most} streams are open, the most that are allowed; try again in some seconds")
        self.taken += 1

    def __exit__(self, *_: object) -> None:
        self.taken -= 1
        self._said = self._said and self.taken > self._most / 2  # said again when it has been quiet


class Topic:
    """One job's subscribers and its newest frames."""

    def __init__(self, hub: Hub, name: str) -> None:
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


class Board(Topic):
    """All jobs in one stream: each change of a job replaces the one before, so a reader that lags skips, never waits.

    Places in the queue are told for all jobs at once: one that starts moves all that wait behind it.
    Its numbers count changes since the service started; they are not shown, since a new reader begins with the list.
    """

    def __init__(self, hub: Hub) -> None:
        super().__init__(hub, "")
        self._changed: dict[str, Job] = {}
        self._is_moved = False
        #: The newest frame about each job; that of the places has no job's id.
        self._newest: dict[str, Frame] = {}
        self._flush: asyncio.TimerHandle | None = None
        self._flushed = 0.0

    async def page(self, after: int) -> list[Frame]:
        """Jobs changed above number `after`, each as it is now."""
        return [entry for entry in self._newest.values() if (entry[0].seq or 0) > after]

    def is_done(self, cursor: int) -> bool:
        """Never: jobs can always come."""
        return False

    def change(self, changes: Iterable[Change]) -> None:
        """Show what these jobs became, but no job more often than BOARD_SECONDS allows."""
        if not self.subscribers:
            self._newest.clear()
            return
        for job, record in changes:
            is_move = record is not None and record.type == "queue_position"
            self._is_moved |= is_move
            if not is_move or job.id in self._changed:
                self._changed[job.id] = job
        if (self._changed or self._is_moved) and self._flush is None:
            loop = asyncio.get_running_loop()
            self._flush = loop.call_at(max(loop.time(), self._flushed + BOARD_SECONDS), self._show)

    def _show(self) -> None:
        self._flush = None
        self._flushed = asyncio.get_running_loop().time()
        self.extend([self._frame(number, *news) for number, news in enumerate(self._news(), self.last_seq + 1)], False)
        self._changed.clear()
        self._is_moved = False
        # What every reader has is not needed again: a new one begins with the list.
        lowest = min((subscriber.cursor for subscriber in self.subscribers), default=self.last_seq)
        while self._newest and (next(iter(self._newest.values()))[0].seq or 0) <= lowest:
            del self._newest[next(iter(self._newest))]

    def _news(self) -> Iterator[tuple[str, str, Mapping[str, object]]]:
        """Of whom, of what kind, and what is to be said; the places last, since they are newer than the snapshots."""
        for job in self._changed.values():
            yield (job.id, "deleted", {"job_id": job.id}) if job.deleted else (job.id, "job", job.snapshot())
        if self._is_moved:
            places = self.hub.log.places
            yield "", "positions", {"order": places[:BOARD_PLACES], "waiting": len(places)}

    def _frame(self, number: int, of: str, kind: str, content: Mapping[str, object]) -> Frame:
        record = Record(number, kind, encode({"event": kind, **content}))
        self._newest.pop(of, None)  # so that the newest stand last
        self._newest[of] = (record, b"event: %b\ndata: %b\n\n" % (kind.encode(), record.data))
        return self._newest[of]

    def _keep(self, entry: Frame) -> None:
        self.last_seq = entry[0].seq or 0

    def close(self) -> None:
        if self._flush is not None:
            self._flush.cancel()
        super().close()


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
        """The same as SSE frames, filtered; at the end of the hub with a word when to come back."""
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


def retry_line(between: tuple[int, int] = RETRY_MS) -> bytes:
    """A `retry:` line without a blank line of its own, jittered."""
    return b"retry: %d\n" % random.randint(*between)  # noqa: S311 (no secret)


def http_chunk(data: bytes) -> bytes:
    """The bytes as one chunk of HTTP/1.1's chunked encoding; nothing for nothing, since an empty chunk is the end."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


def select(frames: Iterable[Frame], types: Types | None, after: int) -> bytes:
    """The frames numbered above `after`, and the volatile ones, that pass the filter."""
    return b"".join(
        data
        for record, data in frames
        if (record.seq is None or record.seq > after)
        and (types is None or record.type in types or record.type in UNFILTERED_TYPES)
    )


_HEARTBEAT_CHUNK = http_chunk(HEARTBEAT)
