"""What clients are made of, held against a service that runs: it answers what its document says.

schemathesis asks for whatever the document allows, and runs all its checks on the answer. `GET /events` never ends, and
has its own tests.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import CHECKS, load_all_checks

from tests.conftest import Running, serve

#: What a problem may say of a request that the document allows: what only the machine knows.
OF_THE_MACHINE = {
    *("cannot_train", "job_not_found", "artifact_not_found", "queue_full", "too_many_checks", "check_failed"),
    *("job_final", "job_not_running", "job_not_final", "nothing_to_resume", "invalid_range", "range_not_satisfiable"),
    *("precondition_failed", "key_reused", "not_found", "invalid_parameter"),
}


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
        if response.status_code >= 400 and response.json()["code"] in OF_THE_MACHINE:
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
