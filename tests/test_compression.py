"""What is compressed, for whom, and what never is."""

import gzip
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from service.web import compression
from tests.conftest import Running, serve

pytestmark = pytest.mark.timeout(60)  # the first start of a worker imports torch

GZIP = {"Accept-Encoding": "gzip"}
PLAIN = {"Accept-Encoding": "gzip;q=0"}


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Running]:
    async with serve(tmp_path / "data") as running:
        yield running


async def test_long_text_comes_compressed_to_those_who_take_it(service: Running) -> None:
    job_id = await service.submit("flood")
    await service.events(job_id)
    pages = {"Accept": "application/json"}
    for path in (
        f"/jobs/{job_id}/events",
        f"/jobs/{job_id}/logs",
        "/schema/train",
        "/metrics",
        "/docs",
        "/static/views/job.js",
        "/",
    ):
        async with service.http.stream("GET", path, headers={**GZIP, **pages}) as answer:
            raw = b"".join([piece async for piece in answer.aiter_raw()])
        assert answer.headers["content-encoding"] == "gzip", path
        assert "content-length" not in answer.headers or int(answer.headers["content-length"]) == len(raw)
        plain = await service.http.get(path, headers={**PLAIN, **pages})
        assert "content-encoding" not in plain.headers
        for response in (answer, plain):
            assert "Accept-Encoding" in response.headers["vary"], path
        if path != "/metrics":  # which tell of this request, too
            assert gzip.decompress(raw) == plain.content
            assert len(raw) < 0.6 * len(plain.content)


async def test_what_is_short_compressed_or_followed_comes_as_it_is(service: Running) -> None:
    job_id = await service.submit("flood")
    await service.events(job_id)
    run = service.data / "jobs" / job_id / "run"
    run.mkdir(parents=True, exist_ok=True)
    for name in ("results.csv", "best.pt", "labels.jpg"):
        (run / name).write_bytes(b"1," * 5_000)
    files = [f"artifacts/{name}" for name in ("results.csv", "best.pt", "labels.jpg")]
    paths = ["/healthz", *(f"/jobs/{job_id}/{rest}" for rest in ("events", "logs?follow=1", "artifacts.zip", *files))]
    for path in paths:
        async with service.http.stream("GET", path, headers=GZIP) as answer:
            assert answer.status_code == 200
            assert answer.headers.get("content-encoding", "identity") == "identity", path
            await answer.aread()
    part = await service.http.get(f"/jobs/{job_id}/artifacts/results.csv", headers={**GZIP, "Range": "bytes=0-999"})
    assert (part.status_code, len(part.content), "content-encoding" in part.headers) == (206, 1_000, False)


async def test_a_followed_log_is_no_proxy_s_to_transform(service: Running) -> None:
    job_id = await service.submit("count")
    for path in (f"/jobs/{job_id}/logs?follow=1", f"/jobs/{job_id}/events", "/events"):
        async with service.http.stream("GET", path, headers=GZIP) as answer:
            assert "no-transform" in answer.headers["cache-control"], path
    await service.events(job_id)


async def test_a_page_file_has_an_etag_for_each_form(service: Running) -> None:
    packed = await service.http.get("/static/views/job.js", headers=GZIP)
    plain = await service.http.get("/static/views/job.js", headers=PLAIN)
    assert packed.headers["etag"] != plain.headers["etag"]
    assert packed.content == plain.content
    for form, response in ((GZIP, packed), (PLAIN, plain)):
        again = await service.http.get(
            "/static/views/job.js", headers={**form, "If-None-Match": response.headers["etag"]}
        )
        assert (again.status_code, again.headers["vary"]) == (304, "Accept-Encoding")


async def test_each_piece_of_a_stream_can_be_read_when_it_comes() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for number in range(3):
            yield b"line %d\n" % number * 10_000

    reader = zlib.decompressobj(16 + zlib.MAX_WBITS)
    read = [reader.decompress(piece) async for piece in compression.squeezed(pieces())]
    assert [len(text) for text in read] == [70_000, 70_000, 70_000, 0]
    assert reader.eof
