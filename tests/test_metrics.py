"""What Prometheus is told, and the service's own log."""

import io
import json
import logging
import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from service.log_format import JsonFormatter
from tests.conftest import Running

pytestmark = pytest.mark.timeout(60)  # the first start of a worker imports torch

OPERATIONS = (Path(__file__).parent.parent / "docs" / "operations.md").read_text()


async def values(service: Running) -> dict[tuple[str, ...], float]:
    """Each sample by its name and label values."""
    answer = await service.http.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.headers["cache-control"] == "no-store"
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


async def test_the_numbers_are_those_of_the_service(service: Running, tmp_path: Path) -> None:
    done = await service.submit("count", epochs=2)
    await service.events(done)
    running = await service.submit("wait", gate=str(tmp_path / "gate"))
    waiting = await service.submit("count")
    async with service.http.stream("GET", f"/jobs/{waiting}/events") as stream:
        chunks = stream.aiter_bytes()
        await anext(chunks)
        found = await values(service)
        assert found["yolo_trainer_subscribers",] == 1
    assert found["yolo_trainer_jobs", "completed"] == 1
    assert found["yolo_trainer_jobs", "running"] + found["yolo_trainer_jobs", "queued"] == 2
    assert found["yolo_trainer_jobs", "failed"] == 0
    assert (found["yolo_trainer_slots",], found["yolo_trainer_slots_busy",], found["yolo_trainer_queue_length",]) == (
        1,
        1,
        1,
    )
    assert found["yolo_trainer_events_total", "completed"] == 1
    assert found["yolo_trainer_events_total", "epoch_end"] >= 2
    assert found["yolo_trainer_commit_seconds_count",] >= 5
    assert found["yolo_trainer_event_delay_seconds_count",] >= 2
    assert found["yolo_trainer_replays_total",] >= 1
    assert found["yolo_trainer_log_failing",] == 0
    assert found["yolo_trainer_forkserver_up",] == 1
    assert found["yolo_trainer_worker_starts_total",] >= 2
    (tmp_path / "gate").touch()
    for job_id in (running, waiting):
        await service.events(job_id)


async def test_the_documentation_has_every_metric_and_no_other(service: Running) -> None:
    table = set(re.findall(r"^\| `(yolo_trainer_\w+)`", OPERATIONS, re.MULTILINE))
    there = {metric.name.removesuffix("_total") for metric in service.state["metrics"].registry.collect()}
    assert {name.removesuffix("_total") for name in table} == there


def test_the_log_as_json_has_the_job() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    logger = logging.Logger("service.test")
    logger.addHandler(handler)
    logger.warning("settled %s", "twice", extra={"job_id": "abc", "action": "settled"})
    try:
        raise ValueError("a\nb")
    except ValueError:
        logger.exception("broken")
    first, second = map(json.loads, stream.getvalue().splitlines())
    assert first.pop("time") > 0
    assert first == {
        "level": "warning",
        "logger": "service.test",
        "message": "settled twice",
        "job_id": "abc",
        "action": "settled",
    }
    assert "ValueError: a\nb" in second["exception"]


async def test_metrics_are_for_this_machine_only(service: Running) -> None:
    answer = await service.http.get("/metrics", headers={"Host": "evil.example"})
    assert answer.status_code == 403
