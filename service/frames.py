"""Events as subscribers get them."""

from typing import NamedTuple


class Record(NamedTuple):
    """One event as subscribers get it."""

    #: Number in the job's log: 1, 2, 3, …; None for a volatile event.
    seq: int | None
    type: str
    #: The JSON object, in one line.
    data: bytes


def frame(record: Record) -> bytes:
    r"""The record as one SSE frame. Only a durable one has an `id` line, so `Last-Event-ID` names a logged event.

    JSON escapes CR and LF and a type comes from this vocabulary, so nothing in an event can end its line.
    """
    if record.seq is None:
        return b"event: %b\ndata: %b\n\n" % (record.type.encode(), record.data)
    return b"id: %d\nevent: %b\ndata: %b\n\n" % (record.seq, record.type.encode(), record.data)
