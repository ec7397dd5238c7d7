"""What a request will take, read as RFC 9110 has it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.web.negotiation import preferred, takes_gzip

SSE, JSON = "text/event-stream", "application/json"


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, SSE),
        ("", SSE),
        ("*/*", SSE),
        ("application/json", JSON),
        ("APPLICATION/JSON", JSON),
        ("application/json;q=0", SSE),
        ("application/json;q=0, */*", SSE),
        ("text/event-stream;q=0.1, application/json", JSON),
        ("application/json;q=0.1, text/event-stream", SSE),
        ("application/json, text/event-stream", SSE),
        ("application/json, text/plain, */*", JSON),  # what axios sends
        ("text/html, application/xhtml+xml, */*;q=0.8", SSE),
        ("application/*", JSON),
        ("application/*;q=0.5, text/*", SSE),
        ("application/json; charset=utf-8 ; Q=0.9", JSON),
        ('text/event-stream;x="a,b;q=1";q=0.2, application/json;q=0.3', JSON),
        ("application/json;q=much", SSE),
        ("image/png", SSE),  # neither: the first, and no 406
    ],
)
def test_the_form_that_is_wanted_most_is_chosen(accept: str | None, expected: str) -> None:
    assert preferred(accept, (SSE, JSON)) == expected


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, False),
        ("", False),
        ("gzip, deflate, br", True),
        ("GZIP", True),
        ("x-gzip", True),
        ("gzip;q=0", False),
        ("gzip;q=0, *", False),
        ("*", True),
        ("*;q=0", False),
        ("identity", False),
        ("br;q=1.0, gzip;q=0.001", True),
        ("gzipped", False),
    ],
)
def test_gzip_goes_to_those_who_take_it(header: str | None, expected: bool) -> None:
    assert takes_gzip(header) is expected


@given(st.text())
def test_any_text_has_an_answer(text: str) -> None:
    assert preferred(text, (SSE, JSON)) in (SSE, JSON)
    assert takes_gzip(text) in (True, False)


@pytest.mark.parametrize("piece", ['\\"', '"', '"\\', '"a'])
def test_a_head_full_of_quotes_is_read_once(piece: str) -> None:
    header = piece * 32_000  # the whole of a head; the time-out ends what reads it again and again
    assert preferred(header, (SSE, JSON)) == SSE
    assert not takes_gzip(header)
