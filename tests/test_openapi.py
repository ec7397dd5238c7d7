"""The calls, described: for programs, and for people."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from openapi_spec_validator import OpenAPIV31SpecValidator, OpenAPIV32SpecValidator

from service.web.calls import CALLS
from tests.conftest import Running, serve
from tests.typescript import TYPES, typescript

PROBLEM = {"$ref": "#/components/schemas/Problem"}

pytestmark = pytest.mark.timeout(60)  # the first start of a worker imports torch


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    async with serve(tmp_path_factory.mktemp("openapi"), program="tests.trainings:count") as running:
        await asyncio.wait_for(asyncio.shield(running.state["readiness"].catalog), 50)
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def document(service: Running) -> dict[str, Any]:
    return (await service.http.get("/openapi.json")).json()


@pytest.fixture
def paths(document: dict[str, Any]) -> dict[str, Any]:
    return document["paths"]


pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(60),  # the first start of a worker imports torch
]


def parameters(call: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {parameter["name"]: parameter for parameter in call["parameters"]}


def strings(value: Any, key: str) -> Iterator[Any]:
    """Everything that stands under a key, at any depth."""
    if isinstance(value, dict):
        if key in value:
            yield value[key]
        for inside in value.values():
            yield from strings(inside, key)
    elif isinstance(value, list):
        for inside in value:
            yield from strings(inside, key)


async def test_the_document_is_valid_in_both_forms(service: Running, document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1.")
    OpenAPIV31SpecValidator(document).validate()
    newer = (await service.http.get("/openapi.json?version=3.2")).json()
    OpenAPIV32SpecValidator(newer).validate()
    frame = newer["paths"]["/jobs/{job_id}/events"]["get"]["responses"]["200"]["content"]["text/event-stream"]
    assert frame["itemSchema"]["properties"]["data"]["contentSchema"] == {"$ref": "#/components/schemas/JobEvent"}
    assert (await service.http.get("/openapi.json?version=2")).json()["code"] == "invalid_parameter"


async def test_every_call_is_in_the_document_and_on_the_page(service: Running, paths: dict[str, Any]) -> None:
    described = {(path, method) for path, calls in paths.items() for method in calls}
    assert described == {(call.path.replace("{path:path}", "{path}"), call.method.lower()) for call in CALLS}
    page = await service.http.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert "<code>POST /jobs/{job_id}/resume</code>" in page.text
    assert '<a href="#type-Snapshot">Snapshot</a>' in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]


async def test_nothing_refers_to_another_document(document: dict[str, Any]) -> None:
    names = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert {*strings(document, "$ref")} <= names
    assert {*(place for mapping in strings(document, "mapping") for place in mapping.values())} <= names


async def test_every_answer_and_every_problem_has_a_type(paths: dict[str, Any]) -> None:
    for path, calls in paths.items():
        for method, call in calls.items():
            for status, answer in call["responses"].items():
                for media, content in answer.get("content", {}).items():
                    where = f"{method} {path} {status} {media}"
                    if media in ("application/json", "text/event-stream"):
                        assert content["schema"], where
                    if status == "default" or status >= "400":
                        assert (media, content["schema"]) == ("application/problem+json", PROBLEM), where
    assert paths["/jobs/{job_id}"]["get"]["responses"]["200"]["content"]["application/json"]["schema"] == {
        "$ref": "#/components/schemas/Snapshot"
    }


async def test_a_client_that_fills_in_defaults_trains_what_was_asked_for(document: dict[str, Any]) -> None:
    payload = document["components"]["schemas"]["TrainRequest"]["properties"]
    assert payload["hyperparameters"]["properties"]["epochs"]["default"] == 100
    assert len(payload["fit_params"]["properties"]) > 90
    assert [*strings(payload["fit_params"], "default")] == []
    # Weights bring these, and classification has a size of its own.
    for name in ("imgsz", "single_cls"):
        assert "default" not in payload["hyperparameters"]["properties"][name]


async def test_choices_are_of_one_type_each_and_differ_in_more_than_case(document: dict[str, Any]) -> None:
    for options in strings(document["components"]["schemas"], "enum"):
        assert len({type(option) for option in options}) == 1, options
        assert len({str(option).upper() for option in options}) == len(options), options


async def test_events_are_told_apart_by_their_type(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    events = schemas["JobEvent"]
    assert events["discriminator"]["propertyName"] == "event"
    assert events["discriminator"]["mapping"]["epoch_end"] == "#/components/schemas/EpochEndEvent"
    assert len(events["oneOf"]) == len(events["discriminator"]["mapping"])
    assert schemas["EpochEndEvent"]["properties"]["event"]["const"] == "epoch_end"
    assert "seq" in schemas["EpochEndEvent"]["required"]
    assert "seq" not in schemas["TickEvent"]["properties"]


async def test_a_start_tells_of_its_key_its_job_and_its_replay(paths: dict[str, Any]) -> None:
    for path in ("/train", "/demo"):
        call = paths[path]["post"]
        assert parameters(call)["Idempotency-Key"]["schema"]["pattern"] == "^[ -~]+$"
        assert {"200", "202", "429", "503", "default"} <= set(call["responses"])
        assert set(call["responses"]["202"]["headers"]) == {"Location"}
        assert set(call["responses"]["200"]["headers"]) == {"Location", "Idempotent-Replayed"}
        assert "Retry-After" in call["responses"]["429"]["headers"]
    assert "cannot_train" in paths["/train"]["post"]["responses"]["422"]["description"]


async def test_the_payload_is_the_schema_that_bodies_are_checked_against(
    service: Running, document: dict[str, Any]
) -> None:
    shown = (await service.http.get("/schema/train")).json()
    assert shown.pop("$schema") == "https://json-schema.org/draft/2020-12/schema"
    assert json.dumps(document["components"]["schemas"]["TrainRequest"], sort_keys=True) == json.dumps(
        shown, sort_keys=True
    )
    resume = document["components"]["schemas"]["ResumeRequest"]["properties"]["epochs"]
    assert (resume["type"], resume["minimum"], resume["maximum"]) == (["integer", "null"], 1, 1_000_000)


async def test_parameters_have_types_and_bounds(paths: dict[str, Any]) -> None:
    for calls in paths.values():
        for call in calls.values():
            assert all(parameter["schema"]["type"] for parameter in call["parameters"])
            of_query = [parameter for parameter in call["parameters"] if parameter["in"] == "query"]
            assert all(parameter["allowEmptyValue"] for parameter in of_query), "as good as none"
    events = parameters(paths["/jobs/{job_id}/events"]["get"])
    assert events["last_event_id"]["schema"]["type"] == events["Last-Event-ID"]["schema"]["type"] == "integer"
    assert "epoch_end" in events["types"]["schema"]["items"]["enum"]
    assert events["types"]["explode"] is False
    jobs = parameters(paths["/jobs"]["get"])
    assert jobs["status"]["schema"]["items"]["enum"] == ["queued", "running", "completed", "failed", "cancelled"]
    assert jobs["limit"]["schema"] == {"type": "integer", "minimum": 1, "maximum": 1_000, "default": 100}
    assert parameters(paths["/jobs/{job_id}/logs"]["get"])["tail"]["schema"]["maximum"] == 10_000


async def test_answers_have_their_media_types_and_statuses(service: Running, paths: dict[str, Any]) -> None:
    for path in ("/", "/docs", "/openapi.json", "/metrics", "/jobs", "/models"):
        said = paths[path]["get"]["responses"]["200"]["content"]
        assert (await service.http.get(path)).headers["content-type"].partition(";")[0] in said, path
    events = paths["/jobs/{job_id}/events"]["get"]["responses"]
    assert set(events["200"]["content"]) == {"text/event-stream", "application/json"}
    assert {"204", "304"} <= events.keys()
    file = paths["/jobs/{job_id}/artifacts/{path}"]["get"]["responses"]
    assert {"200", "206", "304", "400", "412", "416"} <= file.keys()


async def test_a_form_is_refused_as_every_call_says(service: Running, paths: dict[str, Any]) -> None:
    for path, calls in paths.items():
        for method in calls.keys() & {"post", "delete"}:
            answer = await service.http.request(method.upper(), path, headers={"Content-Type": "text/plain"})
            assert (answer.status_code, "415" in calls[method]["responses"]) == (415, True), (method, path)


async def test_a_problem_is_described_as_it_comes(service: Running, document: dict[str, Any]) -> None:
    schema = document["components"]["schemas"]["Problem"]
    problem = (await service.http.get("/jobs/nobody")).json()
    assert set(schema["required"]) == set(problem) <= set(schema["properties"])
    assert problem["code"] in schema["properties"]["code"]["enum"]


async def test_the_page_s_types_are_those_of_the_document(document: dict[str, Any], tmp_path: Path) -> None:
    made = await asyncio.to_thread(typescript, document, tmp_path)
    assert made == TYPES.read_text(), "make types"
