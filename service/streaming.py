"""The bridge and the fan-out: committed events become Server-Sent Events for any number of subscribers.

`Hub.publish` takes changes from the log's writer thread to the event loop. There a subscriber is a cursor over the
log: while it keeps up, each new frame is written to it as it comes (encoded once for all); when it does not, or joins
late, it reads pages of the log until it has caught up. Nobody has a queue.
"""

import asyncio
import itertools
import logging
import random
import socket
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Any, Protocol

import anyio
from anyio import to_thread
from sse_starlette import EventSourceResponse
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from service.events import UNFILTERED_TYPES, Record, encode, frame
from service.jobs import Job
from service.store import Change

log = logging.getLogger(__name__)

#: Heartbeat: a comment and ONE newline. A blank line after it makes some clients dispatch an empty event.
HEARTBEAT = b": hb\n"
#: Events in a page of the log, and recent frames that a topic keeps so that a page need not come from the disk.
PAGE_EVENTS = 500
TAIL_EVENTS = 512
#: The kernel's share of what a reader that stopped reading makes us hold, in bytes (a stream's socket only).
SEND_BUFFER_BYTES = 32_768
#: Milliseconds between reconnects of a client, drawn at random so that a restart is not followed by all at once.
RETRY_MS = (1_000, 3_000)
#: The same for a client that came when there were too many streams.
BUSY_RETRY_MS = (10_000, 30_000)

Types = frozenset[str]


class Log(Protocol):
    """What the fan-out needs of the store."""

    def job(self, job_id: str) -> Job: ...
    def read(self, job_id: str, after: int, limit: int) -> list[Record]: ...


class Hub:
    """All subscribers of all jobs. It lives on the event loop; only `publish` may be called from elsewhere."""

    def __init__(
        self, log: Log, *, heartbeat_seconds: float = 15.0, stall_seconds: float = 30.0, max_streams: int = 10_000
    ) -> None:
        self.log = log
        self.heartbeat_seconds = heartbeat_seconds
        #: Seconds for which a reader may take nothing before its connection is dropped.
        self.stall_seconds = stall_seconds
        self._max_streams = max_streams
        self._topics: dict[str, Topic] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._heart: asyncio.TimerHandle | None = None
        #: Streams that are open now.
        self.streams = 0
        self.closed = False

    def open(self) -> None:
        """Bind to the running loop; changes that were published before are not lost, they are in the log."""
        self._loop = asyncio.get_running_loop()
        self._heart = self._loop.call_later(self.heartbeat_seconds, self._beat)

    def close(self) -> None:
        """End all streams cleanly, without a final event: their readers reconnect. Repeatable."""
        self.closed = True
        if self._heart is not None:
            self._heart.cancel()
        for topic in tuple(self._topics.values()):
            topic.close()

    @property
    def is_full(self) -> bool:
        return self.closed or self.streams >= self._max_streams

    def publish(self, changes: Sequence[Change]) -> None:
        """Show committed changes to their subscribers. Any thread; returns at once."""
        if self._loop is not None and self._topics:
            try:
                self._loop.call_soon_threadsafe(self._show, changes)
            except RuntimeError:  # the loop has ended: nobody listens any more
                self._loop = None

    def topic(self, job_id: str) -> "Topic":
        """The job's topic, made for its first subscriber."""
        return self._topics.setdefault(job_id, Topic(job_id))

    def leave(self, topic: "Topic", subscriber: "Subscriber") -> None:
        """Forget a subscriber; with the last one goes the topic. Repeatable."""
        topic.subscribers.discard(subscriber)
        if not topic.subscribers:
            self._topics.pop(topic.job_id, None)

    def _show(self, changes: Sequence[Change]) -> None:
        for job_id, group in itertools.groupby(changes, lambda change: change.job.id):
            topic = self._topics.get(job_id)
            if topic is not None:
                *_, job = (group_changes := list(group))
                topic.extend([change.record for change in group_changes if change.record], job.job.is_final)

    def _beat(self) -> None:
        for topic in tuple(self._topics.values()):
            topic.beat()
        assert self._loop is not None
        self._heart = self._loop.call_later(self.heartbeat_seconds, self._beat)


class Topic:
    """One job's subscribers and its newest frames."""

    def __init__(self, job_id: str) -> None:
        self.job_id = job_id
        self.subscribers: set[Subscriber] = set()
        #: The newest number shown here; 0 before the first.
        self.last_seq = 0
        #: Whether the newest change shown here was the log's end.
        self.ended = False
        #: The newest frames, contiguous, the last one numbered `last_seq`.
        self.tail: deque[tuple[Record, bytes]] = deque(maxlen=TAIL_EVENTS)
        #: The newest tick, for whoever joins between two.
        self.tick: tuple[Record, bytes] | None = None
        self._quiet = True

    def extend(self, records: list[Record], ended: bool) -> None:
        """Show new events, in order, to every subscriber that is up to date; the others find them in the log."""
        frames = [(record, frame(record)) for record in records]
        before = self.last_seq
        for entry in frames:
            if entry[0].seq is None:
                self.tick = entry
            else:
                self.tail.append(entry)
                self.last_seq = entry[0].seq
        self.ended = ended
        self._quiet = False
        chunks: dict[tuple[Types | None, int], bytes] = {}
        for subscriber in tuple(self.subscribers):
            # All that are up to date stand at `before`, or a little ahead if their last page came from the disk.
            ahead = max(before, subscriber.cursor)
            key = (subscriber.types, ahead)
            if key not in chunks:
                chunks[key] = _join(frames, subscriber.types, ahead)
            subscriber.show(chunks[key], self.last_seq)

    def beat(self) -> None:
        """Tell idle connections that they are alive."""
        for subscriber in tuple(self.subscribers):
            if self._quiet or subscriber.types is not None:
                subscriber.show(HEARTBEAT, subscriber.cursor)
        self._quiet = True

    def close(self) -> None:
        for subscriber in tuple(self.subscribers):
            subscriber.end(retry())


class Subscriber:
    """A cursor over one job's log. Lives on the event loop.

    `live` is true while it has had everything and takes new frames from `show`; false while it reads pages.
    """

    __slots__ = ("_tick", "_wake", "cursor", "hub", "job_id", "live", "sink", "topic", "types")

    def __init__(self, hub: Hub, job_id: str, cursor: int, types: Types | None) -> None:
        self.hub = hub
        self.job_id = job_id
        self.cursor = cursor
        self.types = types
        self.topic = hub.topic(job_id)
        self.topic.subscribers.add(self)
        self.live = False
        #: Takes bytes without waiting, or says no: then the subscriber reads pages again.
        self.sink: Callable[[bytes], bool] | None = None
        self._wake: asyncio.Future[None] | None = None
        self._tick: object = None

    async def read(self) -> bytes:
        """The next frames after the cursor; empty when there is nothing newer yet."""
        tail = self.topic.tail
        first = tail[0][0].seq if tail else None
        if first is not None and first <= self.cursor + 1:
            page = list(itertools.islice(tail, self.cursor + 1 - first, None))
        else:
            records = await to_thread.run_sync(self.hub.log.read, self.job_id, self.cursor, PAGE_EVENTS)
            page = [(record, frame(record)) for record in records]
        if page:
            self.cursor = page[-1][0].seq or 0
        return _join(page, self.types, 0)
