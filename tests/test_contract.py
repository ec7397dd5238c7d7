"""What clients are made of, held against a service that runs: it answers what its document says.

schemathesis asks for whatever the document allows, and runs all its checks on the answer. `GET /events` never ends, and
has its own tests.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import CHECKS, load_all_checks

from tests.conftest import Running, serve

#: Call → what it may say of a request that the document allows: what only the machine knows. Of every call that names
#: a job, that there is none (`job_not_found`): no document can tell which jobs there are.
OF_THE_MACHINE: Mapping[str, frozenset[str]] = {
    # Which models and datasets are here, how many jobs wait, and what came before under the same key.
    "POST /train": frozenset({"cannot_train", "queue_full", "key_reused"}),
    "POST /demo": frozenset({"queue_full", "key_reused"}),
    # Which datasets are here, and what lies in them.
    "POST /datasets/check": frozenset({"cannot_train", "too_many_checks", "check_failed"}),
}


def may_say(label: str) -> frozenset[str]:
    """The codes that only the machine knows, of a call by its method and path."""
    return OF_THE_MACHINE.get(label, frozenset()) | ({"job_not_found"} if "{job_id}" in label else set())


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Running]:
    async with serve(tmp_path / "data", program="tests.trainings:count", max_waiting=2) as running:
        await asyncio.wait_for(asyncio.shield(running.state["readiness"].catalog), 50)
        yield running


def ask_everything(url: str, examples: int) -> tuple[int, list[str]]:
    """How many requests were made, and what came back that the document does not say."""
    load_all_checks()
    asked, found = 0, []

    def once(case: schemathesis.Case) -> None:
        nonlocal asked
        asked += 1
        response = case.call(timeout=20)
        checks = CHECKS.get_all()
        if response.status_code >= 400 and response.json()["code"] in may_say(case.operation.label):
            checks = [check for check in checks if check.__name__ != "positive_data_acceptance"]
        try:
            case.validate_response(response, checks=checks)
        except BaseExceptionGroup as error:
            found.append(f"{case.as_curl_command()}\n{response.text[:500]}\n{error.exceptions}")

    asking = settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    for operation in schemathesis.openapi.from_url(f"{url}/openapi.json").exclude(path="/events").get_all_operations():
        asking(given(case=operation.ok().as_strategy())(once))()
    return asked, found


@pytest.mark.timeout(120)
@pytest.mark.parametrize("examples", [5, pytest.param(100, marks=[pytest.mark.slow, pytest.mark.timeout(900)])])
async def test_whatever_is_asked_the_answer_is_what_the_document_says(service: Running, examples: int) -> None:
    asked, found = await asyncio.to_thread(ask_everything, service.url, examples)
    assert not found, "\n\n".join(found)
    assert asked > 10 * examples
