"""What is taken from a worker's queue: what its type has, and nothing else."""

from typing import Any

import pytest

from service.encoding import encode
from service.events import DURABLE_TYPES, EVENT_TYPES, FINAL_TYPES, UNFILTERED_TYPES, VOLATILE_TYPES
from service.workers.messages import decode_worker_event
from tests import said


def test_the_kinds_of_events_follow_from_their_types() -> None:
    assert {"completed", "failed", "cancelled"} == FINAL_TYPES
    assert {"tick", "queue_position"} == VOLATILE_TYPES
    assert {*FINAL_TYPES, "interrupted"} == UNFILTERED_TYPES
    assert EVENT_TYPES - VOLATILE_TYPES == DURABLE_TYPES


@pytest.mark.parametrize(
    "event", [said.tick(), said.epoch_end(), said.phase("training"), said.checkpoint(), said.log("a"), said.completed()]
)
def test_what_a_worker_says_comes_as_it_was_said(event: dict[str, Any]) -> None:
    assert decode_worker_event(encode((1.5, event))) == (1.5, event)


def test_fields_that_a_type_does_not_have_are_left_out() -> None:
    deep: Any = []
    for _ in range(100):
        deep = [deep]
    forged = {**said.log("a"), "seq": 7, "job_id": "x", "deep": deep}
    assert decode_worker_event(encode((1.5, forged))) == (1.5, said.log("a"))


@pytest.mark.parametrize(
    "event",
    [
        said.started(),
        said.cancelled(),
        {"event": "unheard of"},
        {"event": "epoch_end", "epoch": 1},
        {**said.tick(), "epoch": "1"},
        {**said.log(), "lines": [1]},
        {**said.phase("training"), "phase": "resting"},
        {**said.epoch_end(), "metrics": {"m": [[1]]}},
    ],
)
def test_what_a_worker_may_not_say_is_nothing(event: dict[str, Any]) -> None:
    assert decode_worker_event(encode((1.5, event))) is None


@pytest.mark.parametrize("message", [b"", b"{", b"[]", b"[1.5]", b"[1.5, 1]", b"[" * 10_000, b'{"event": "log"}'])
def test_what_is_no_message_is_nothing(message: bytes) -> None:
    assert decode_worker_event(message) is None


@pytest.mark.parametrize(
    ("field", "number"),
    [
        *[("epoch", number) for number in ("1" + "0" * 400, str(2**64), str(-(2**63) - 1), "1e20")],
        *[("epoch_seconds", number) for number in ("NaN", "Infinity", "-1e999")],
    ],
)
def test_a_number_that_the_log_cannot_keep_is_nothing(field: str, number: str) -> None:
    """In the log it would be null or a float, and the row of its job would not parse any more."""
    message = encode((1.5, {**said.epoch_end(), field: "here"})).replace(b'"here"', number.encode())
    assert decode_worker_event(message) is None


@pytest.mark.parametrize("when", [b"NaN", b"1e999", b"null", b'"1"'])
def test_a_time_that_is_no_number_is_nothing(when: bytes) -> None:
    assert decode_worker_event(encode((1.5, said.log("a"))).replace(b"1.5", when)) is None
