"""All jobs in one stream: what changes of each, and the places in the queue."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping

from service.encoding import encode
from service.frames import Frame, Record
from service.job import Job
from service.store.transaction import Change
from service.topic import Fanout, Topic

#: Seconds between two frames about the same job in the stream of all jobs.
BOARD_SECONDS = 0.5
#: Waiting jobs whose places are told in the stream of all jobs, at most: 15 bytes each.
BOARD_PLACES = 1_000


class Board(Topic):
    """All jobs in one stream: each change of a job replaces the one before, so a reader that lags skips, never waits.

    Places in the queue are told for all jobs at once: one that starts moves all that wait behind it.
    Its numbers count changes since the service started; they are not shown, since a new reader begins with the list.
    """

    def __init__(self, hub: Fanout) -> None:
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
