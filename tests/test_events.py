"""Events as JSON and as frames, for any text that somebody could put into one."""

import json
from typing import Any

import httpx
import httpx_sse
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.encoding import encode, is_deeper
from service.events import DURABLE_TYPES, VOLATILE_TYPES
from service.frames import Record, frame

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=())),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(exclude_categories=())), inner, max_size=4)
    ),
    max_leaves=12,
)


def read_back(stream: bytes) -> list[httpx_sse.ServerSentEvent]:
    response = httpx.Response(200, headers={"content-type": "text/event-stream"}, content=stream)
    return list(httpx_sse.EventSource(response).iter_sse())


@given(st.lists(st.tuples(st.sampled_from(sorted(DURABLE_TYPES)), ANYTHING), max_size=5))
def test_whatever_an_event_says_it_stays_one_event_in_one_line(events: list[tuple[str, Any]]) -> None:
    records = [Record(number, name, encode({"event": name, "x": x})) for number, (name, x) in enumerate(events, 1)]
    assert all(b"\n" not in record.data and b"\r" not in record.data for record in records)
    found = read_back(b": comment\n".join([b"", *map(frame, records), b""]))
    assert [(event.id, event.event) for event in found] == [(str(record.seq), record.type) for record in records]
    assert [event.data.encode() for event in found] == [record.data for record in records]
    assert all(len(record.data.decode().splitlines()) == 1 for record in records)
    for record in records:
        orjson.loads(record.data)


@given(ANYTHING)
def test_any_value_becomes_json_that_javascript_parses(value: Any) -> None:
    data = encode(value)
    json.loads(data, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


def test_a_volatile_event_has_no_id() -> None:
    for name in VOLATILE_TYPES:
        assert frame(Record(None, name, b"{}")) == b"event: %b\ndata: {}\n\n" % name.encode()
    assert frame(Record(7, "log", b"{}")) == b"id: 7\nevent: log\ndata: {}\n\n"


def test_depth_counts_what_stands_in_each_other() -> None:
    assert not is_deeper({"a": [1]}, 2)
    assert is_deeper({"a": [1]}, 1)
    assert not is_deeper(1, 0)
    assert is_deeper([], 0)
