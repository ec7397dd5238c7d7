"""How workers start: their environment, their main module, and the other way to start them."""

import os
import sys
from pathlib import Path

import orjson
import pytest

from service.workers.launcher import EventQueue, Launcher
from tests.house import House

pytestmark = pytest.mark.timeout(60)  # the first start of a worker imports torch


def tell(queue: EventQueue) -> None:
    queue.put(
        orjson.dumps(
            {
                "environment": dict(os.environ),
                "main": getattr(sys.modules["__main__"], "__file__", None),
                "modules": sorted(sys.modules),
            }
        )
    )


def ask(launcher: Launcher) -> dict[str, object]:
    queue = EventQueue()
    process = launcher.start(tell, queue)
    answer = orjson.loads(queue.get())
    with pytest.raises(EOFError):
        queue.get()
    process.join()
    assert process.exitcode == 0
    queue.reader.close()
    process.close()
    return answer


def test_a_worker_s_environment_is_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("YOLO_TRAINER_TEST_SECRET", "x")
    before = dict(os.environ)
    changes = {"YOLO_TRAINER_TEST_SECRET": None, "YOLO_TRAINER_TEST_GIVEN": "1"}
    answer = ask(Launcher(environment=changes, method="spawn"))
    environment = answer["environment"]
    assert isinstance(environment, dict)
    assert environment["YOLO_TRAINER_TEST_GIVEN"] == "1"
    assert "YOLO_TRAINER_TEST_SECRET" not in environment
    assert dict(os.environ) == before


def test_a_worker_does_not_import_the_main_module_of_its_service() -> None:
    answer = ask(Launcher(method="spawn"))
    assert answer["main"] is None


def test_a_queue_carries_bytes_and_unpickles_nothing() -> None:
    queue = EventQueue()
    queue.put(b"cos\nsystem\n(S'false'\ntR.")
    assert queue.get() == b"cos\nsystem\n(S'false'\ntR."
    queue.close_writer()
    queue.reader.close()


def test_jobs_run_where_there_is_no_forkserver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    house = House(tmp_path / "data")
    monkeypatch.setattr(house.runner, "_launcher", Launcher(method="spawn"))
    job_id, after = house.submit("segfault"), house.submit("count")
    final = house.end(job_id)
    assert (final["reason"], final["failure"]["signal"]) == ("crashed", "SIGSEGV")
    assert house.end(after)["event"] == "completed"
    house.close()
