"""Pages of other sites: what is let through, what their scripts may send and read, and how refusals reach them."""

import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import ValidationError

from service.__main__ import main
from service.settings import Settings
from service.web import server
from tests.conftest import Running, serve

pytestmark = pytest.mark.timeout(60)  # the first start of a worker imports torch

OPS = "https://ops.example"
SENT = "If-None-Match, Cache-Control, Authorization, Range, Content-Type, Idempotency-Key, Last-Event-ID"
SHOWN = "Location, Idempotent-Replayed, ETag, Content-Range, Content-Disposition, Retry-After, Log-Seq"


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Running]:
    async with serve(tmp_path / "data", allowed_origin=(OPS,)) as running:
        yield running


async def test_a_preflight_of_an_allowed_page_is_granted_what_the_calls_take(service: Running) -> None:
    asked = {
        "Origin": OPS,
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": SENT,
        "Access-Control-Request-Private-Network": "true",
    }
    response = await service.http.options("/jobs", headers=asked)
    assert (response.status_code, response.headers["access-control-allow-origin"]) == (200, OPS)
    assert response.headers["access-control-allow-private-network"] == "true"
    refused = await service.http.options("/jobs", headers={**asked, "Origin": "https://evil.example"})
    assert (refused.status_code, "access-control-allow-origin" in refused.headers) == (400, False)


async def test_an_allowed_page_reads_headers_and_refusals_and_a_foreign_one_neither(service: Running) -> None:
    shown = (await service.http.get("/jobs", headers={"Origin": OPS})).headers["access-control-expose-headers"]
    assert set(SHOWN.split(", ")) <= set(shown.split(", "))
    refusals = [
        ({"Host": "evil.example"}, "GET", "/jobs", 403),
        ({"Content-Type": "text/plain"}, "POST", "/train", 415),
        ({"Content-Type": "application/json"}, "POST", "/jobs/x/resume", 422),
        ({}, "GET", "/nothing", 404),
    ]
    for headers, method, path, expected in refusals:
        sent = {**headers, "Origin": OPS}
        response = await service.http.request(method, path, headers=sent, content=b"{}" if expected == 415 else b"[]")
        assert (response.status_code, response.headers["access-control-allow-origin"]) == (expected, OPS), path
        foreign = await service.http.request(method, path, headers={**sent, "Origin": "https://evil.example"})
        assert foreign.status_code in (403, 404)
        assert "access-control-allow-origin" not in foreign.headers


async def test_an_allowed_page_reads_a_fault_of_the_service_s_own(
    service: Running, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def crash(self: object) -> bytes:
        raise RuntimeError("no such luck")

    monkeypatch.setattr("service.web.metrics.Metrics.text", crash)
    response = await service.http.get("/metrics", headers={"Origin": OPS})
    assert (response.status_code, response.json()["code"]) == (500, "internal")
    assert response.headers["access-control-allow-origin"] == OPS
    assert "no such luck" in caplog.text


async def test_a_picture_is_shown_in_allowed_pages_only(service: Running) -> None:
    asked = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}  # an <img>: no Origin
    for referer, expected in (
        (f"{OPS}/", 200),
        ("https://evil.example/", 403),
        (f"{OPS}.evil.example/", 403),
        ("http://[", 403),
        (None, 403),
    ):
        headers = asked | ({"Referer": referer} if referer else {})
        assert (await service.http.get("/jobs", headers=headers)).status_code == expected, referer
        assert (await service.http.post("/demo", headers=headers)).status_code == 403
    link = {**asked, "Sec-Fetch-Mode": "navigate"}
    assert (await service.http.get("/", headers=link)).status_code == 200


async def test_behind_a_proxy_that_changes_host_the_page_is_there_and_says_what_is_wrong(tmp_path: Path) -> None:
    async with serve(tmp_path / "data") as service:
        proxied = {"Origin": "http://train.lan"}  # Host is the service's own address
        assert (await service.http.get("/static/main.js", headers=proxied)).status_code == 200
        response = await service.http.post("/demo", headers=proxied)
        assert response.status_code == 403
        assert "a proxy must pass on Host and X-Forwarded-Proto" in response.json()["detail"]
        assert (await service.http.get("/jobs", headers=proxied)).status_code == 403


# The two options


def test_hosts_and_origins_are_kept_as_browsers_write_them() -> None:
    settings = Settings(
        allowed_host=("Train.LAN", "::1", "10.0.0.1"),
        allowed_origin=("https://Ops.example/", "https://ops.example:443", "http://x:8080"),
    )
    assert settings.allowed_host == ("train.lan", "::1", "10.0.0.1")
    assert settings.allowed_origin == (OPS, OPS, "http://x:8080")


@pytest.mark.parametrize("host", ["train.lan:8443", "http://train.lan", "train.lan/", "*", "[::1]", "a b", ""])
def test_a_host_that_could_never_match_is_refused_at_the_start(host: str) -> None:
    with pytest.raises(ValidationError, match=r"must be a name or an address, without scheme, port and path"):
        Settings(allowed_host=(host,))


@pytest.mark.parametrize(
    "origin", ["*", "null", "ops.example", "https://x/y", "https://x:port", "https://", "ftp://x", ""]
)
def test_an_origin_that_could_never_match_is_refused_at_the_start(origin: str) -> None:
    with pytest.raises(ValidationError, match=r"must be a scheme, a host and perhaps a port"):
        Settings(allowed_origin=(origin,))


@pytest.mark.parametrize(("host", "warned"), [("0.0.0.0", True), ("127.0.0.1", False)])
def test_a_start_that_reaches_nobody_says_so(
    host: str, warned: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(server.Server, "run", lambda self, sockets: [listener.close() for listener in sockets])
    with caplog.at_level(logging.WARNING):
        main(["serve", "--host", host, "--port", "0", "--data-dir", str(tmp_path)])
    assert ("only requests to a loopback address of this machine are answered" in caplog.text) is warned
