"""What a hostile client, or a hostile page in a user's browser, can send: byte by byte, to a real socket."""

import asyncio
import io
import logging
import threading
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from service.datasets import description
from service.web.uvicorn_seam import MAX_HEAD_BYTES
from tests.client import until
from tests.conftest import Running, serve
from tests.sockets import get, send, status

pytestmark = pytest.mark.timeout(60)  # the first start of a worker imports torch

JSON = b"Content-Type: application/json\r\n"
HOST = b"Host: localhost\r\n"


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Running]:
    async with serve(tmp_path / "data", program="tests.trainings:count") as running:
        yield running


def post(*headers: bytes, path: bytes = b"/train", body: bytes = b"{}") -> bytes:
    lines = b"".join(header + b"\r\n" for header in headers)
    return b"POST %b HTTP/1.1\r\n%b%b\r\n%b" % (path, HOST, lines, body)


# Names of hosts: a page may have its own name rebound to 127.0.0.1


STRANGE_HOSTS = (
    *(b"evil.example", b"localhost.evil.example", b"evil.example@localhost", b"localhost/evil", b"localhost#evil"),
    *(b"localhost?evil", b"localhost\\evil", b"local\thost", b"localhost.", b"0.0.0.0", b"0177.0.0.1", b"127.1", b""),
    *(b"[::ffff:127.0.0.1]", b"[::1", b"localhost:", b"localhost:x", b"localhost:80:80", b"2130706433", b"%6cocalhost"),
    *("ｌocalhost".encode(), "localhost。".encode(), b"localhost, evil.example"),
)


async def test_a_host_that_is_not_quite_ours_is_refused(service: Running) -> None:
    for host in STRANGE_HOSTS:
        assert await status(service, get(b"Host: " + host)) == 403, host


async def test_two_hosts_are_none(service: Running) -> None:
    assert await status(service, get(b"Host: localhost")) == 200
    assert await status(service, get(b"Host: localhost", b"Host: evil.example")) == 400
    assert await status(service, get(b"Host: evil.example", b"Host: localhost")) == 400
    assert await status(service, get(b"Host: localhost", b"Host: localhost")) == 400
    assert await status(service, get(b"X-Forwarded-Host: localhost")) == 400
    assert await status(service, get(b"Host: evil.example", path=b"http://localhost/jobs")) == 403


# Pages of other sites


async def test_a_form_starts_nothing_even_where_a_browser_hides_its_origin(service: Running) -> None:
    types = (b"text/plain", b"application/x-www-form-urlencoded", b"multipart/form-data; boundary=x", b"Text/Plain;a=b")
    for path in (b"/train", b"/demo", b"/jobs/x/cancel", b"/jobs/x/stop", b"/jobs/x/resume"):
        for content_type in types:
            for body in (b"{}", b""):
                headers = b"Content-Type: " + content_type, b"Content-Length: %d" % len(body)
                assert await status(service, post(*headers, path=path, body=body)) == 415, (path, content_type)
    assert (await service.http.get("/jobs")).json()["jobs"] == []


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
async def test_another_site_s_page_gets_nothing_but_what_its_user_follows(service: Running, site: str) -> None:
    asked = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "no-cors"}  # an image, a script, a fetch that hides its origin
    for path in ("/jobs", "/events", "/", "/static/app.js"):
        assert (await service.http.get(path, headers=asked)).status_code == 403
    assert (await service.http.get("/jobs", headers={**asked, "Sec-Fetch-Site": "same-origin"})).status_code == 200
    assert (await service.http.get("/", headers={**asked, "Sec-Fetch-Mode": "navigate"})).status_code == 200
    assert (await service.http.post("/demo", headers={**asked, "Sec-Fetch-Mode": "navigate"})).status_code == 403


async def test_a_page_of_another_origin_gets_no_websocket(service: Running) -> None:
    upgrade = (b"Upgrade: websocket", b"Connection: Upgrade", b"Sec-WebSocket-Key: eA==", b"Sec-WebSocket-Version: 13")
    assert await status(service, get(b"Host: localhost", b"Origin: https://evil.example", *upgrade)) == 403


# Two readings of one request


SECOND = get(b"Host: localhost")
TWO_READINGS = (
    post(JSON[:-2], b"Content-Length: 5", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n" + SECOND),
    post(JSON[:-2], b"Transfer-Encoding: xchunked", body=b"0\r\n\r\n"),
    post(JSON[:-2], b"Transfer-Encoding: chunked, identity", body=b"0\r\n\r\n"),
    post(JSON[:-2], b"Content-Length: 2", b"Content-Length: 3", body=b"{}x"),
    post(JSON[:-2], b"Content-Length: +2"),
    post(JSON[:-2], b"Content-Length: 99999999999999999999999"),
    post(JSON[:-2], b"Transfer-Encoding: chunked", body=b"fffffffffffffffff\r\n"),
    get(b"Host : localhost"),
    get(b"Host: localhost", b"X: a", b" folded"),
    get(b"Host: localhost", b"X: a\x00b"),
    get(b"Host: localhost", b"Last-Event-ID: 1\x0b2"),
    get(b"Host: localhost").replace(b"\r\n", b"\n"),
    b"CONNECT evil.example:443 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
)


async def test_a_request_with_two_readings_has_none(service: Running) -> None:
    for content in TWO_READINGS:
        assert await status(service, content) == 400, content


async def test_no_address_leads_out_or_into_a_header(service: Running) -> None:
    for path in (
        *(b"/jobs%0d%0aX-Evil:%201", b"/static%0d%0aX-Evil:%201", b"//evil.example/", b"/static//evil.example/%2e%2e"),
        *(b"/static/..%2f..%2fpyproject.toml", b"/static/%2e%2e/pyproject.toml", b"/static/..%5cx", b"/static/%00"),
    ):
        answer = await send(service.port, get(b"Host: localhost", path=path))
        assert answer.startswith((b"HTTP/1.1 404", b"HTTP/1.1 405")), path
        assert b"\r\nx-evil" not in answer.lower()
        assert b"\r\nlocation" not in answer.lower()


async def test_nothing_that_is_sent_in_a_header_comes_back_as_one(service: Running) -> None:
    job_id = await service.submit("count")
    await service.events(job_id)
    value = "1%0d%0aX-Evil: 1\t\\r\\nX-Evil: 1"
    for name in ("Last-Event-ID", "Idempotency-Key", "Origin", "If-None-Match", "Range"):
        for path in (f"/jobs/{job_id}/events", f"/jobs/{job_id}/artifacts", "/static/app.js"):
            answer = await send(service.port, get(b"Host: localhost", f"{name}: {value}".encode(), path=path.encode()))
            assert b"\r\nx-evil" not in answer.lower()


# Too much


async def test_a_head_that_does_not_end_is_hung_up_on(service: Running) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
    writer.write(b"GET /jobs HTTP/1.1\r\n" + HOST + b"X: ")
    sent = 0
    with pytest.raises(ConnectionError):
        while sent < 100 * MAX_HEAD_BYTES:
            writer.write(b"a" * 8_192)
            await writer.drain()
            sent += 8_192
            if reader.at_eof() or b"400" in await _at_once(reader):
                raise ConnectionError
    assert sent < 10 * MAX_HEAD_BYTES
    writer.close()


async def _at_once(reader: asyncio.StreamReader) -> bytes:
    try:
        return await asyncio.wait_for(reader.read(100), 0.01)
    except TimeoutError:
        return b""


async def test_a_long_body_and_many_requests_in_a_row_are_no_long_head(service: Running) -> None:
    body = b" " * 900_000
    for _ in range(3):
        response = await service.http.post("/train", content=body, headers={"Content-Type": "application/json"})
        assert response.status_code == 400
    for _ in range(200):
        assert (await service.http.get("/healthz", headers={"X": "a" * 1_000})).status_code == 200


async def test_a_body_that_is_announced_too_long_is_not_waited_for(service: Running) -> None:
    assert await status(service, post(JSON[:-2], b"Content-Length: 10000000000")) == 413


async def test_datasets_that_take_long_to_look_at_hold_up_nobody_else(
    service: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = await service.submit("count")
    await service.events(job_id)
    gate = threading.Event()

    def read(*_: Any, **__: Any) -> None:
        gate.wait()

    monkeypatch.setattr(description, "read", read)
    body = {"model": "yolov8n.yaml", "fit_params": {"data": "/d.yaml"}}
    posts = [asyncio.create_task(service.http.post("/train", json=body)) for _ in range(60)]
    try:
        await until(lambda: service.state["checkers"].statistics().tasks_waiting >= 50)
        async with asyncio.timeout(10):
            assert (await service.http.get(f"/jobs/{job_id}")).status_code == 200
            assert (await service.http.get(f"/jobs/{job_id}/artifacts")).status_code == 200
    finally:
        gate.set()
    assert {response.status_code for response in await asyncio.gather(*posts)} == {202}


async def test_what_is_answered_repeats_little_of_what_was_sent(service: Running) -> None:
    for path in (f"/jobs/{'x' * 50_000}", f"/jobs/x/events?types={'x' * 50_000}", f"/jobs?status={'x' * 50_000}"):
        assert len((await service.http.get(path)).content) < 1_000


async def test_a_client_that_leaves_amid_its_body_leaves_no_traceback(
    service: Running, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        for path in (b"/train", b"/jobs/x/resume"):
            _, writer = await asyncio.open_connection("127.0.0.1", service.port)
            writer.write(post(JSON[:-2], b"Content-Length: 100", path=path, body=b"{"))
            await writer.drain()
            writer.close()
            await writer.wait_closed()
        assert (await service.http.get("/healthz")).status_code == 200
    assert "Traceback" not in caplog.text


# What is answered, and what a download brings


async def test_no_answer_is_taken_for_something_else(service: Running) -> None:
    job_id = await service.submit("count")
    await service.events(job_id)
    pages = {"Accept": "application/json"}
    for path in ("/", "/jobs", f"/jobs/{job_id}", f"/jobs/{job_id}/logs", "/jobs/<script>", "/nothing", "/models"):
        assert (await service.http.get(path)).headers["x-content-type-options"] == "nosniff", path
    response = await service.http.get(f"/jobs/{job_id}/events", headers=pages)
    assert response.headers["x-content-type-options"] == "nosniff"
    async with service.http.stream("GET", f"/jobs/{job_id}/events") as stream:
        assert stream.headers["x-content-type-options"] == "nosniff"


async def test_a_zip_unpacks_below_its_folder_on_every_system(service: Running) -> None:
    job_id = await service.submit("count")
    await service.events(job_id)
    run = service.data / "jobs" / job_id / "run"
    run.mkdir(parents=True)
    for name in ("..\\..\\evil.exe", "C:evil.exe", "sound.csv"):
        (run / name).touch()
    content = (await service.http.get(f"/jobs/{job_id}/artifacts.zip")).content
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert sorted(archive.namelist()) == [".._.._evil.exe", "C_evil.exe", "sound.csv"]


async def test_a_run_folder_that_is_a_link_has_no_files(service: Running, tmp_path: Path) -> None:
    job_id = await service.submit("count")
    await service.events(job_id)
    (tmp_path / "secret.csv").touch()
    (service.data / "jobs" / job_id).mkdir(parents=True, exist_ok=True)
    (service.data / "jobs" / job_id / "run").symlink_to(tmp_path)
    assert (await service.http.get(f"/jobs/{job_id}/artifacts")).json()["artifacts"] == []
    assert (await service.http.get(f"/jobs/{job_id}/artifacts/secret.csv")).status_code == 404
