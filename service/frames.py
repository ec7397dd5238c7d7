"""Events as subscribers get them: as records, as SSE frames, as chunks of HTTP."""

import random
from collections.abc import Iterable
from typing import NamedTuple

from service.events import UNFILTERED_TYPES

#: Heartbeat: a comment and ONE newline. A blank line after it makes some clients dispatch an empty event.
HEARTBEAT = b": hb\n"
#: Milliseconds between reconnects of a client, drawn at random so that a restart is not followed by all at once.
RETRY_MS = (1_000, 3_000)
#: The same for a client that came when there were too many streams.
BUSY_RETRY_MS = (10_000, 30_000)

Types = frozenset[str]


class Record(NamedTuple):
    """One event as subscribers get it."""

    #: Number in the job's log: 1, 2, 3, …; None for a volatile event.
    seq: int | None
    type: str
    #: The JSON object, in one line.
    data: bytes


#: An event and its SSE frame, encoded once for all.
Frame = tuple[Record, bytes]


def frame(record: Record) -> bytes:
    r"""The record as one SSE frame. Only a durable one has an `id` line, so `Last-Event-ID` names a logged event.

    JSON escapes CR and LF and a type comes from this vocabulary, so nothing in an event can end its line.
    """
    if record.seq is None:
        return b"event: %b\ndata: %b\n\n" % (record.type.encode(), record.data)
    return b"id: %d\nevent: %b\ndata: %b\n\n" % (record.seq, record.type.encode(), record.data)


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
