"""What clients are made of, held against a service that runs: it answers what its document says.

schemathesis asks for what the document allows and for what it does not allow: the edges of every schema one by one,
values at random, and calls after each other with the ids of the answers before. It runs all its checks on each answer.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from schemathesis.core.failures import AcceptedNegativeData, Failure
from schemathesis.engine import events, from_schema
from schemathesis.openapi.checks import RejectedPositiveData

from service.web.calls import CALLS
from service.web.openapi import address
from tests.conftest import Running, serve

OF_FILES = frozenset({"precondition_failed", "range_not_satisfiable"})
#: Call → what it may say of a request that the document allows: what only the machine knows. Of every call that names
#: a job, that there is none (`job_not_found`): no document can tell which jobs there are.
OF_THE_MACHINE: Mapping[str, frozenset[str]] = {
    # Which models and datasets are here, how many jobs wait, and what came before under the same key.
    "POST /train": frozenset({"cannot_train", "queue_full", "key_reused"}),
    "POST /demo": frozenset({"queue_full", "key_reused"}),
    # Which datasets are here, and what lies in them.
    "POST /datasets/check": frozenset({"cannot_train", "too_many_checks", "check_failed"}),
    # How long a file is, and which version of it there is.
    "GET /jobs/{job_id}/artifacts.zip": OF_FILES,
    "GET /jobs/{job_id}/artifacts/{path}": OF_FILES,
    # How long a log is.
    "GET /jobs/{job_id}/logs": frozenset({"beyond_log"}),
}
#: Parameters of a log that exclude each other: OpenAPI has no words for that.
ONE_OF = frozenset({"tail", "after", "offset"})


def may_say(label: str, query: Mapping[str, Any]) -> frozenset[str]:
    """The codes with which a call may refuse what the document allows."""
    found = OF_THE_MACHINE.get(label, frozenset()) | ({"job_not_found"} if "{job_id}" in label else set())
    several = label == "GET /jobs/{job_id}/logs" and len(ONE_OF & query.keys()) > 1
    return found | ({"invalid_parameter"} if several else set())


def is_fault(
    context: schemathesis.HookContext, failure: Failure, case: schemathesis.Case, response: schemathesis.Response
) -> bool:
    """Whether what a check has found is one, and not what no document can say."""
    match failure:
        case RejectedPositiveData():
            return response.json()["code"] not in may_say(case.operation.label, case.query or {})
        case AcceptedNegativeData():
            # A header that is not known is passed over (RFC 9110, 5.1). schemathesis knows that; but with a number
            # among the headers that are known it does not see that nothing else is wrong. And an empty one is none:
            # there is `allowEmptyValue` for a query only.
            assert case.meta is not None
            is_empty = case.headers.get("Last-Event-ID") == ""
            return not is_empty and case.meta.phase.data.description != "Object with unexpected properties"
    return True


@dataclass
class Asked:
    """What has been asked, and what came back that the document does not say."""

    #: Phase and generation mode → requests; and call → requests.
    ways: Counter[tuple[str, str]] = field(default_factory=Counter)
    calls: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def note(self, scenario: events.ScenarioFinished) -> None:
        for node in scenario.recorder.cases.values():
            assert node.value.meta is not None
            self.ways[scenario.phase.value, node.value.meta.generation.mode.value] += 1
            self.calls[node.value.operation.label] += 1
        for checks in scenario.recorder.checks.values():
            self.faults += [f"{check.name}: {check.failure_info}" for check in checks if check.failure_info]


def ask_everything(url: str, document: dict[str, Any], examples: int, edges_of_train: bool) -> Asked:
    """Ask the service; the edges of a training's some hundred arguments are four fifths of all requests."""
    told = {
        "base-url": url,
        "max-stream-events": 1,
        "request-timeout": 30,
        "continue-on-failure": True,
        "generation": {"mode": "all", "max-examples": examples, "deterministic": True, "no-shrink": True},
        "suppress-health-check": ["all"],
        "operations": [{"include-name": "POST /train", "phases": {"coverage": {"enabled": edges_of_train}}}],
    }
    schema = schemathesis.openapi.from_dict(document, config=schemathesis.Config.from_dict(told))
    schema.hook("filter_failure")(is_fault)
    asked = Asked()
    for event in from_schema(schema).execute():
        match event:
            case events.ScenarioFinished():
                asked.note(event)
            case events.NonFatalError():
                asked.faults.append(f"{event.label}: {event.value!r}")
            case events.FatalError():
                raise event.exception
    return asked


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Running]:
    async with serve(tmp_path / "data", program="tests.trainings:count", max_waiting=2) as running:
        await asyncio.wait_for(asyncio.shield(running.state["readiness"].catalog), 50)
        yield running


@pytest.mark.parametrize(
    ("examples", "edges_of_train"),
    [
        pytest.param(8, False, marks=pytest.mark.timeout(180)),  # some eight hundred requests
        pytest.param(60, True, marks=[pytest.mark.slow, pytest.mark.timeout(1_800)]),
    ],
)
async def test_whatever_is_asked_the_answer_is_what_the_document_says(
    service: Running, examples: int, edges_of_train: bool
) -> None:
    document = (await service.http.get("/openapi.json?version=3.2")).json()  # it has words for streams
    asked = await asyncio.to_thread(ask_everything, service.url, document, examples, edges_of_train)
    assert not asked.faults, "\n\n".join(asked.faults)
    assert asked.calls.keys() == {f"{call.method} {address(call)}" for call in CALLS}
    assert {
        (phase, mode) for phase in ("coverage", "fuzzing") for mode in ("positive", "negative")
    } <= asked.ways.keys()
    assert asked.ways["stateful", "positive"] > 10
