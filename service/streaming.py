"""The bridge and the fan-out: committed events become Server-Sent Events for any number of subscribers.

`Hub.publish` takes changes from the log's writer thread to the event loop. There a subscriber is a cursor over the
log (see `topic`): while it keeps up, each new frame is written to it as it comes (encoded once for all); when it does
not, or joins late, it reads pages of the log until it has caught up. Nobody has a queue.
"""

import asyncio
import itertools
import logging
from collections.abc import Sequence

from service.board import Board
from service.errors import TooManyStreams
from service.frames import frame
from service.store.transaction import Change
from service.topic import Log, Subscriber, Topic

log = logging.getLogger(__name__)


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

    def topic(self, job_id: str) -> Topic:
        """The job's topic, made for its first subscriber."""
        return self._topics.setdefault(job_id, Topic(self, job_id))

    def leave(self, topic: Topic, subscriber: Subscriber) -> None:
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
