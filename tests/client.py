"""Readers of event streams: a strict one of our own, and the conditions that tests wait for."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import orjson

from tests.vocabulary import checked, checked_of_board

FINAL = {"completed", "failed", "cancelled"}


async def frames(response: httpx.Response) -> AsyncIterator[dict[str, str]]:
    """The fields of each frame of a stream, its event checked; comments and `retry` by themselves make none."""
    check = checked_of_board if response.url.path == "/events" else checked
    fields: dict[str, str] = {}
    async for line in response.aiter_lines():
        if not line:
            if fields.keys() - {"retry"}:
                assert check(fields["data"])["event"] == fields["event"]
                yield fields
            fields = {}
        elif not line.startswith(":"):
            name, _, value = line.partition(": ")
            assert name in {"id", "event", "data", "retry"}, line
            fields[name] = value


async def follow(http: httpx.AsyncClient, path: str, after: int = 0, **query: Any) -> AsyncIterator[dict[str, Any]]:
    """Every event after `after` up to the end of the stream, each id exactly one above the one before."""
    last = after
    async with http.stream("GET", path, headers={"Last-Event-ID": str(after)}, params=query) as response:
        assert response.status_code == 200, response.status_code
        async for fields in frames(response):
            event = orjson.loads(fields["data"])
            if event["event"] in ("tick", "queue_position"):
                assert "id" not in fields
            elif event["event"] != "reset":
                assert int(fields["id"]) == event["seq"] == last + 1, f"{fields['id']} after {last}"
                last += 1
            yield event


async def until(condition: Callable[[], Any], seconds: float = 20) -> Any:
    """Wait for a condition of this process; its value."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "the condition never became true"
        await asyncio.sleep(0.005)
    return value
