"""Requests that make no sense, over every route: the service stays up, and nothing appears outside of its folder."""

import asyncio
import os
import random
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from starlette.routing import Mount, Route

from service.web.calls import ROUTES
from tests.conftest import Running, serve
from tests.sockets import send
from tests.tiny import make_dataset

pytestmark = pytest.mark.timeout(60)  # the first start of a worker imports torch

METHODS = [*["GET"] * 12, *["POST"] * 10, "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "get", "X" * 40, "GÉT"]
PATHS = [route.path for route in ROUTES if isinstance(route, Route | Mount)] + ["/static/app.js", "/nothing", "*", ""]
PIECES = [
    *(
        "..",
        "../..",
        "%2e%2e",
        "%2e%2e%2f",
        "..%5c",
        "%00",
        "%0d%0aX-Evil:%201",
        "%ff",
        "%c0%ae",
        "~",
        "//",
        "/./",
        ";a=b",
    ),
    *(
        "a" * 300,
        "🦭",
        "%F0%9F%A6%AD",
        "-1",
        "0",
        "1" * 40,
        "None",
        "{}",
        "[",
        "'",
        '"',
        "<script>",
        "$(id)",
        "|",
        "\\",
    ),
]
QUERIES = ["last_event_id", "types", "limit", "cursor", "status", "tail", "follow", "x"]
HEADERS = [
    *("Last-Event-ID", "Range", "If-None-Match", "If-Range", "Accept", "Content-Type", "Content-Length", "Origin"),
    *(
        "Transfer-Encoding",
        "Host",
        "Cookie",
        "Authorization",
        "X-Forwarded-For",
        "X-Forwarded-Host",
        "Upgrade",
        "Expect",
    ),
    *("Connection", "Sec-Fetch-Site", "Accept-Encoding", "Idempotency-Key", "X-HTTP-Method-Override", "Forwarded"),
]
VALUES = [
    *(
        "",
        "0",
        "-1",
        "1",
        "9" * 30,
        "bytes=0-",
        "bytes=5-2",
        "bytes=-1",
        "bytes=0-0,1-1," * 50,
        "*",
        "application/json",
    ),
    *(
        "text/event-stream",
        "text/plain",
        "chunked",
        "identity, chunked",
        "evil.example",
        "https://evil.example",
        "null",
    ),
    *("websocket", "100-continue", "close", "cross-site", "a" * 4_000, "é", '"x"', 'W/"x"', "127.0.0.1", "localhost:1"),
]
BODIES = [
    b"",
    b"{}",
    b"[]",
    b"null",
    b"\x00" * 100,
    b"a=b&c=d",
    b'{"model": "yolov8n.yaml", "fit_params": {"data": "/etc/passwd"}}',
    b'{"model": "../../etc/passwd", "hyperparameters": {"project": "/tmp/evil"}, "fit_params": {"data": "x"}}',
    b"[" * 5_000,
    b'{"a":' * 2_000,
    b"5\r\nhello\r\n0\r\n\r\n",
    bytes(range(256)),
]


def request(rng: random.Random, job_id: str) -> bytes:
    """One request as bytes, more or less HTTP/1.1."""
    path = rng.choice(PATHS).replace("{job_id}", rng.choice([*[job_id] * 40, *PIECES]))
    path = path.replace("{path:path}", "/".join(rng.choices(PIECES, k=rng.randint(1, 4))))
    if rng.random() < 0.3:
        path += rng.choice(["", "/"]) + rng.choice(PIECES)
    if rng.random() < 0.4:
        pairs = (f"{rng.choice(QUERIES)}={rng.choice(PIECES + VALUES)}" for _ in range(rng.randint(1, 4)))
        path += "?" + "&".join(pairs)
    if rng.random() < 0.8:  # as a client would write it
        path = quote(path, safe="/?&=%")
    body = rng.choice(BODIES)
    headers = [("Host", "localhost")] if rng.random() < 0.95 else []
    headers += [(rng.choice(HEADERS), rng.choice(VALUES)) for _ in range(rng.choice([0, 0, 1, 1, 2, 4]))]
    if rng.random() < 0.9:
        headers[1:1] = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    version = rng.choice(["HTTP/1.1"] * 50 + ["HTTP/1.0", "HTTP/9.9", ""])
    lines = [f"{rng.choice(METHODS)} {path} {version}", *(f"{name}: {value}" for name, value in headers)]
    content = "\r\n".join(lines).encode() + b"\r\n\r\n" + body
    if rng.random() < 0.05:  # noise
        position = rng.randrange(len(content))
        content = content[:position] + rng.randbytes(rng.randint(1, 8)) + content[position:]
    return content


def listing(folder: Path, apart: Path) -> dict[str, Any]:
    return {str(path): path.lstat().st_mtime_ns for path in folder.rglob("*") if apart not in path.parents}


async def fuzz(tmp_path: Path, count: int, caplog: pytest.LogCaptureFixture) -> None:
    make_dataset(tmp_path / "set")
    places = ("/", ".")
    names = [sorted(os.listdir(place)) for place in places]
    data = tmp_path / "data"
    async with serve(data, program="tests.trainings:count", heartbeat_seconds=0.05) as service:
        job_id = await service.submit("count", epochs=3)
        await service.events(job_id)
        await asyncio.wait_for(asyncio.shield(service.state["readiness"].catalog), 40)
        before = listing(tmp_path, data)
        rng = random.Random(0)
        statuses: dict[bytes, int] = {}
        for _ in range(count // 50):
            asked = [request(rng, job_id) for _ in range(50)]
            for content, answer in zip(
                asked, await asyncio.gather(*(send(service.port, c) for c in asked)), strict=True
            ):
                status = answer[9:12]
                assert not status.startswith(b"5") or status == b"501", (content, answer)
                assert b"\r\nx-evil" not in answer.lower(), content
                assert b"root:" not in answer, content
                statuses[status] = statuses.get(status, 0) + 1
        assert {b"200", b"400", b"403", b"404", b"405", b"422"} <= statuses.keys(), statuses
        assert [record.getMessage() for record in caplog.records if record.exc_info] == []
        await healthy(service, str(tmp_path / "set" / "data.yaml"))
        assert {path: when for path, when in listing(tmp_path, data).items() if path not in before} == {}
        assert [sorted(os.listdir(place)) for place in places] == names
        assert {path.name for path in data.iterdir()} <= {
            *("log.db", "log.db-wal", "log.db-shm", "lock", "jobs", "cache", "config", "weights", "demo", "reserve")
        }


async def healthy(service: Running, data: str) -> None:
    """A training still goes from its POST to its last event."""
    assert (await service.http.get("/readyz")).status_code == 200
    response = await service.http.post("/train", json={"model": "yolov8n.yaml", "fit_params": {"data": data}})
    assert response.status_code == 202
    assert (await service.events(response.json()["job_id"]))[-1]["event"] == "completed"


async def test_a_thousand_wild_requests_leave_the_service_healthy(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await fuzz(tmp_path, 1_000, caplog)


@pytest.mark.slow
@pytest.mark.timeout(600)  # 10,000 requests
async def test_ten_thousand_wild_requests_leave_the_service_healthy(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await fuzz(tmp_path, 10_000, caplog)
