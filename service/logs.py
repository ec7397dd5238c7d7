"""A job's log as plain text: the lines of its `log` events, for `curl`."""

from collections.abc import AsyncIterator, Iterable, Iterator

from orjson import loads

from service.events import Record
from service.store import Store
from service.streaming import Hub, Subscriber

#: Lines that `?tail=` gives at most.
MAX_TAIL = 10_000


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


def whole(store: Store, job_id: str) -> Iterator[bytes]:
    """All lines so far, page by page."""
    after = 0
    while records := store.read(job_id, after):
        after = records[-1].seq or 0
        if found := text(records):
            yield found


async def follow(hub: Hub, job_id: str, first: bytes, after: int) -> AsyncIterator[bytes]:
    """`first`, then the lines of every event above number `after` as they come, until the job has ended."""
    subscriber = Subscriber(hub.topic(job_id), after)
    try:
        if first:
            yield first
        async for page in subscriber.pages():
            if found := text(record for record, _ in page):
                yield found
    finally:
        subscriber.leave()
