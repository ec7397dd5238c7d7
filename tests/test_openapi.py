"""The calls, described: for programs, and for people."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from starlette.routing import Route

from service.web.routes import ROUTES
from tests.conftest import Running, serve

pytestmark = pytest.mark.timeout(60)  # the first start of a worker imports torch


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Running]:
    async with serve(tmp_path / "data", program="tests.trainings:count") as running:
        yield running


@pytest.fixture
async def paths(service: Running) -> dict[str, Any]:
    return (await service.http.get("/openapi.json")).json()["paths"]


def parameters(call: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {parameter["name"]: parameter for parameter in call["parameters"]}


async def test_every_call_is_in_the_document_and_on_the_page(service: Running, paths: dict[str, Any]) -> None:
    described = {(path, method) for path, calls in paths.items() for method in calls}
    there = {
        (route.path.replace("{job_id}", "{id}").replace("{path:path}", "{path}"), method.lower())
        for route in ROUTES
        if isinstance(route, Route)
        for method in (route.methods or set()) - {"HEAD"}
    }
    assert described == there
    page = await service.http.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert "<code>/jobs/&lt;id&gt;/resume</code>" in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]


async def test_a_start_tells_of_its_key_its_job_and_its_replay(service: Running, paths: dict[str, Any]) -> None:
    for path in ("/train", "/demo"):
        call = paths[path]["post"]
        assert parameters(call)["Idempotency-Key"]["schema"]["pattern"] == "^[ -~]+$"
        assert set(call["responses"]) == {"200", "202", "default"}
        assert set(call["responses"]["202"]["headers"]) == {"Location"}
        assert set(call["responses"]["200"]["headers"]) == {"Location", "Idempotent-Replayed"}
        assert "Retry-After" in call["responses"]["default"]["headers"]
    reference = paths["/train"]["post"]["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    assert (await service.http.get(reference)).json()["required"] == ["model", "fit_params"]


async def test_parameters_have_types_and_bounds(paths: dict[str, Any]) -> None:
    events = parameters(paths["/jobs/{id}/events"]["get"])
    assert events["last_event_id"]["schema"]["type"] == events["Last-Event-ID"]["schema"]["type"] == "integer"
    assert "epoch_end" in events["types"]["schema"]["items"]["enum"]
    assert events["types"]["explode"] is False
    jobs = parameters(paths["/jobs"]["get"])
    assert jobs["status"]["schema"]["items"]["enum"] == ["queued", "running", "completed", "failed", "cancelled"]
    assert jobs["limit"]["schema"] == {"type": "integer", "minimum": 0, "maximum": 1_000, "default": 100}
    assert parameters(paths["/jobs/{id}/logs"]["get"])["tail"]["schema"]["maximum"] == 10_000


async def test_answers_have_their_media_types_and_statuses(service: Running, paths: dict[str, Any]) -> None:
    for path in ("/", "/docs", "/openapi.json", "/metrics", "/jobs", "/models"):
        said = paths[path]["get"]["responses"]["200"]["content"]
        assert (await service.http.get(path)).headers["content-type"].partition(";")[0] in said, path
    events = paths["/jobs/{id}/events"]["get"]["responses"]
    assert set(events["200"]["content"]) == {"text/event-stream", "application/json"}
    assert {"204", "304"} <= events.keys()
    file = paths["/jobs/{id}/artifacts/{path}"]["get"]["responses"]
    assert {"200", "206", "304", "400", "412", "416"} <= file.keys()
    for status in ("400", "412", "416"):
        assert list(file[status]["content"]) == ["application/problem+json"]


async def test_a_problem_is_described_as_it_comes(service: Running) -> None:
    schema = (await service.http.get("/openapi.json")).json()["components"]["schemas"]["Problem"]
    problem = (await service.http.get("/jobs/nobody")).json()
    assert set(schema["required"]) == set(problem) <= set(schema["properties"])
