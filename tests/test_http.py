"""HTTP's own manners: what caches may keep, what a client has already, what is refused and in which words."""

import gzip
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from service import errors
from tests.conftest import Running, serve
from tests.sockets import get, status

pytestmark = pytest.mark.timeout(60)  # the first start of a worker imports torch

JSON = {"Accept": "application/json"}
PROTOCOL = (Path(__file__).parent.parent / "docs" / "protocol.md").read_text()


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Running]:
    async with serve(tmp_path / "data") as running:
        yield running


async def ended(service: Running, epochs: int = 3) -> str:
    """A job that has ended, with some 10 events."""
    job_id = await service.submit("count", epochs=epochs)
    await service.events(job_id)
    return job_id


# Problems


def subclasses(cls: type[errors.ServiceError]) -> list[type[errors.ServiceError]]:
    return [found for child in cls.__subclasses__() for found in (child, *subclasses(child))]


def test_every_refusal_has_a_word_of_its_own_and_it_is_documented() -> None:
    refusals = [*list(subclasses(errors.RequestRejected)), errors.StoreUnavailable]
    codes = [cls.code for cls in refusals]
    assert len(set(codes)) == len(codes)
    assert "internal" not in codes
    of_connections = ["invalid_request", "request_timeout", "too_many_connections"]
    for code in [*codes, *of_connections, "not_found", "method_not_allowed", "internal"]:
        assert f"| `{code}` |" in PROTOCOL


async def test_problems_are_told_apart_by_a_word_and_kept_by_no_cache(service: Running) -> None:
    job_id = await ended(service)
    asked = [
        ("POST", f"/jobs/{job_id}/cancel", 409, "job_final"),
        ("POST", f"/jobs/{job_id}/stop", 409, "job_not_running"),
        ("GET", "/jobs/nobody", 404, "job_not_found"),
        ("GET", f"/jobs/{job_id}/artifacts/x", 404, "artifact_not_found"),
        ("GET", "/jobs?limit=x", 400, "invalid_parameter"),
        ("GET", "/nothing", 404, "not_found"),
        ("GET", "/train", 405, "method_not_allowed"),
    ]
    for method, path, expected, code in asked:
        response = await service.http.request(method, path)
        assert (response.status_code, response.json()["code"]) == (expected, code), path
        assert response.headers["content-type"] == "application/problem+json"
        assert response.headers["cache-control"] == "no-store", path


async def test_an_address_that_is_not_there_is_answered_in_a_sentence(service: Running) -> None:
    assert (await service.http.get("/jbos")).json()["detail"] == "nothing is at /jbos; GET /docs lists the calls"
    assert (await service.http.get("/train")).json()["detail"] == "/train takes POST, got GET"
    long = (await service.http.get("/" + "x" * 5_000)).json()["detail"]
    assert len(long) < 200


async def test_allow_names_all_methods_of_an_address(service: Running) -> None:
    response = await service.http.put("/jobs/x")
    assert (response.status_code, response.headers["allow"]) == (405, "DELETE, GET, HEAD")
    response = await service.http.post("/static/train")
    assert (response.status_code, response.headers["allow"]) == (405, "GET, HEAD")


async def test_options_is_told_the_methods(service: Running) -> None:
    for path, allowed in (("/jobs/x", "DELETE, GET, HEAD"), ("/train", "POST"), ("/static/main.js", "GET, HEAD")):
        response = await service.http.options(path)
        assert (response.status_code, response.headers["allow"], response.content) == (204, allowed, b""), path
    assert (await service.http.options("/nothing")).status_code == 404


async def test_a_slash_too_many_leads_nowhere_else(service: Running) -> None:
    for path in ("/jobs/", "/docs/", "/static"):
        response = await service.http.get(path)
        assert (response.status_code, "location" in response.headers) == (404, False), path


async def test_a_request_names_one_host(service: Running) -> None:
    assert await status(service, b"GET /jobs HTTP/1.1\r\n\r\n") == 400
    assert await status(service, b"GET /jobs HTTP/1.0\r\n\r\n") == 400
    assert await status(service, get(b"Host: localhost")) == 200


# Queries


@pytest.mark.parametrize(
    "path", ["/jobs?state=failed", "/jobs/x/events?type=epoch_end", "/jobs/x?a=1", "/events?types=log"]
)
async def test_a_parameter_that_is_not_known_is_refused(service: Running, path: str) -> None:
    response = await service.http.get(path)
    assert (response.status_code, response.json()["code"]) == (400, "invalid_parameter")
    name = path.partition("?")[2].partition("=")[0]
    assert repr(name) in response.json()["detail"]
    assert "status" in response.json()["detail"] or not path.startswith("/jobs?")


async def test_an_empty_parameter_is_none(service: Running) -> None:
    job_id = await ended(service)
    assert len((await service.http.get("/jobs?limit=&cursor=&status=")).json()["jobs"]) == 1
    whole = (await service.http.get(f"/jobs/{job_id}/logs")).text
    assert (await service.http.get(f"/jobs/{job_id}/logs?tail=&follow=")).text == whole


async def test_probes_may_add_what_they_like(service: Running) -> None:
    for path in ("/healthz", "/metrics", "/"):
        assert (await service.http.get(f"{path}?probe=1")).status_code == 200


# Bodies


async def test_a_name_that_comes_twice_is_a_fault_of_the_payload(service: Running) -> None:
    body = b'{"model": "a", "fit_params": {"data": "/d", "epochs": 1, "epochs": 2}, "model": "b"}'
    response = await service.http.post("/train", content=body, headers={"Content-Type": "application/json"})
    assert response.status_code == 422
    assert [fault["pointer"] for fault in response.json()["errors"]] == ["/model", "/fit_params/epochs"]


async def test_a_compressed_body_is_refused_with_what_is_taken(service: Running) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    response = await service.http.post("/train", content=gzip.compress(b"{}"), headers=headers)
    assert (response.status_code, response.json()["code"]) == (415, "unsupported_content_coding")
    assert response.headers["accept-encoding"] == "identity"
    plain = {**headers, "Content-Encoding": "identity"}
    assert (await service.http.post("/train", content=b"{}", headers=plain)).status_code == 422


async def test_an_integer_may_be_written_with_a_point(service: Running) -> None:
    job_id = await ended(service)
    response = await service.http.post(f"/jobs/{job_id}/resume", json={"epochs": 1384.0})
    assert (response.status_code, response.json()["code"]) == (409, "nothing_to_resume")
    assert (await service.http.post(f"/jobs/{job_id}/resume", json={"epochs": 1.5})).status_code == 422


# Pages of events, and what a client has already


async def read_pages(service: Running, path: str) -> list[dict[str, Any]]:
    pages = []
    while path:
        pages.append((await service.http.get(path, headers=JSON)).json())
        path = pages[-1]["next"]
    return pages


async def test_pages_of_events_lead_from_one_to_the_next(service: Running) -> None:
    job_id = await ended(service)
    whole = (await service.http.get(f"/jobs/{job_id}/events", headers=JSON)).json()
    assert whole["next"] is None
    pages = await read_pages(service, f"/jobs/{job_id}/events?limit=2")
    assert {len(page["events"]) for page in pages[:-1]} == {2}
    assert [event for page in pages for event in page["events"]] == whole["events"]
    ends = await read_pages(service, f"/jobs/{job_id}/events?types=epoch_end&limit=2")
    assert [event["event"] for page in ends for event in page["events"]] == ["epoch_end"] * 3 + ["completed"]


async def test_a_cache_does_not_give_a_page_for_a_stream(service: Running) -> None:
    job_id = await ended(service)
    path = f"/jobs/{job_id}/events"
    page = await service.http.get(path, headers=JSON)
    stream = await service.http.get(path)
    none = await service.http.get(path, headers={"Last-Event-ID": str(page.json()["last_seq"])})
    assert (page.status_code, stream.status_code, none.status_code) == (200, 200, 204)
    for response in (page, stream, none):
        assert "Accept" in response.headers["vary"].split(", ")
        assert response.headers["cache-control"].split(", ")[0] in ("no-store", "private")


async def test_what_can_still_grow_is_kept_by_nobody(service: Running, tmp_path: Path) -> None:
    job_id = await service.submit("wait", gate=str(tmp_path / "gate"))
    page = await service.http.get(f"/jobs/{job_id}/events", headers=JSON)
    assert (page.headers["cache-control"], page.json()["next"]) == ("no-store", None)
    (tmp_path / "gate").touch()
    await service.events(job_id)


async def test_what_a_client_has_is_not_sent_again(service: Running) -> None:
    job_id = await ended(service)
    for path in (f"/jobs/{job_id}/events", f"/jobs/{job_id}", "/models", "/schema/train", "/openapi.json", "/"):
        first = await service.http.get(path, headers=JSON)
        etag = first.headers["etag"]
        again = await service.http.get(path, headers={**JSON, "If-None-Match": etag})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag), path
        assert again.headers["cache-control"] == first.headers["cache-control"]
        assert again.headers.get("vary") == first.headers.get("vary")
        assert (await service.http.get(path, headers={**JSON, "If-None-Match": 'W/"other"'})).status_code == 200


async def test_a_parameter_that_is_named_twice_is_refused(service: Running) -> None:
    response = await service.http.get("/jobs?status=queued&status=failed")
    assert (response.status_code, response.json()["code"]) == (400, "invalid_parameter")
    assert response.json()["detail"] == "status is named twice; several values are divided by commas"
    assert (await service.http.get("/jobs?status=queued,failed")).status_code == 200
    assert (await service.http.get("/healthz?at=1&at=2")).status_code == 200
