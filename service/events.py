"""The vocabulary between worker, log and subscribers: event types, their JSON and their SSE frames.

Nothing here keeps state. The page `docs/protocol.md` describes each type and its fields for users.
"""

from typing import Any, NamedTuple

import orjson

#: An event as it is made: a JSON object with at least `event`; the log adds `job_id`, `attempt`, `time`, `seq`.
Event = dict[str, Any]

#: Types that end an attempt. Exactly one of them closes each attempt's log.
FINAL_TYPES = frozenset({"completed", "failed", "cancelled"})
#: Types that are shown live but never logged; the newest one is in the job's snapshot.
VOLATILE_TYPES = frozenset({"tick", "queue_position"})
#: Types that are logged and numbered.
DURABLE_TYPES = FINAL_TYPES | {
    "queued",
    "started",
    "phase",
    "dataset",
    "epoch_end",
    "checkpoint",
    "image",
    "log",
    "class_results",
    "train_end",
    "interrupted",
}
EVENT_TYPES = DURABLE_TYPES | VOLATILE_TYPES
#: Types that a `?types=` filter never removes: without them a reader could not tell how an attempt ended.
UNFILTERED_TYPES = FINAL_TYPES | {"interrupted"}


#: Characters (in UTF-8) at which some readers break lines, httpx's `iter_lines` among them, and their JSON escapes.
_LINE_ENDS = ((b"\xc2\x85", b"\\u0085"), (b"\xe2\x80\xa8", b"\\u2028"), (b"\xe2\x80\xa9", b"\\u2029"))


class Record(NamedTuple):
    """One event as subscribers get it."""

    #: Number in the job's log: 1, 2, 3, …; None for a volatile event.
    seq: int | None
    type: str
    #: The JSON object, in one line.
    data: bytes


def encode(value: Any) -> bytes:
    """JSON in one line. NaN and infinity become null, lone surrogates U+FFFD, unknown objects their `str`."""
    try:
        data = orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS)
    except TypeError:  # a lone surrogate, or an integer of more than 64 bits
        data = orjson.dumps(_plain(value), default=str)
    if b"\xe2\x80" in data or b"\xc2\x85" in data:
        for character, escape in _LINE_ENDS:
            data = data.replace(character, escape)
    return data


def is_deeper(value: Any, levels: int) -> bool:
    """Whether objects and arrays stand in each other more than `levels` deep; JSON encoders give up at some depth."""
    layer = [value]
    for _ in range(levels):
        layer = [
            item
            for outer in layer
            if isinstance(outer, dict | list)
            for item in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not layer:
            return False
    return any(isinstance(item, dict | list) for item in layer)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {_plain(str(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, str):
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        return float(value) if abs(value) < 2**1023 else None
    return value


def frame(record: Record) -> bytes:
    r"""The record as one SSE frame. Only a durable one has an `id` line, so `Last-Event-ID` names a logged event.

    JSON escapes CR and LF and a type comes from this vocabulary, so nothing in an event can end its line.
    """
    if record.seq is None:
        return b"event: %b\ndata: %b\n\n" % (record.type.encode(), record.data)
    return b"id: %d\nevent: %b\ndata: %b\n\n" % (record.seq, record.type.encode(), record.data)
