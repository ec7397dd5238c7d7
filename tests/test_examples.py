import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from examples import fastapi_polling
from tests.tiny import TINY, make_dataset, tiny_model

pytestmark = pytest.mark.timeout(60)  # the first start of a worker imports torch


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@pytest.fixture
def http() -> Iterator[httpx.Client]:
    """The example under a real uvicorn on a free port."""
    config = uvicorn.Config(fastapi_polling.app, port=0, ws="none", log_config=None)
    server = _Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        thread.join(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False) as client:
        yield client
    server.should_exit = True
    thread.join()


@pytest.fixture
def payload(tmp_path: Path) -> dict[str, Any]:
    fit_params = {
        "data": str(make_dataset(tmp_path / "data")),
        "save_dir": str(tmp_path / "run"),
        "tick_interval": 0.01,
    }
    return {"model": str(tiny_model(tmp_path)), "hyperparameters": {**TINY, "epochs": 3}, "fit_params": fit_params}


def follow(http: httpx.Client, job: dict[str, Any]) -> list[dict[str, Any]]:
    """Poll until the job has ended; returns every different snapshot."""
    seen = [job]
    while seen[-1]["status"] in ("queued", "running"):
        snapshot = http.get(f"/jobs/{job['job_id']}").json()
        if snapshot != seen[-1]:
            seen.append(snapshot)
    return seen


def statuses(seen: list[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(snapshot["status"] for snapshot in seen))


def test_polling_shows_a_training_from_its_queue_to_its_score(http: httpx.Client, payload: dict[str, Any]) -> None:
    fastapi_polling.one_at_a_time.acquire()  # as if another one were being trained
    answer = http.post("/train", json=payload)
    assert (answer.status_code, answer.json()["status"]) == (202, "queued")
    queued = http.get(f"/jobs/{answer.json()['job_id']}").json()
    assert (queued["status"], queued["progress"]) == ("queued", None)
    fastapi_polling.one_at_a_time.release()
    seen = follow(http, queued)
    assert statuses(seen) == ["queued", "running", "completed"]
    assert {"tick", "epoch_end"} & {job["progress"]["event"] for job in seen if job["progress"]}
    end = seen[-1]
    assert (end["progress"]["event"], end["progress"]["score"], end["error"]) == ("train_end", end["score"], None)


def test_two_trainings_after_each_other_in_one_process(
    http: httpx.Client, payload: dict[str, Any], tmp_path: Path
) -> None:
    payload["fit_params"]["save_dir"] = str(tmp_path / "1")
    first = http.post("/train", json=payload).json()
    payload["fit_params"]["save_dir"] = str(tmp_path / "2")
    second = http.post("/train", json=payload).json()
    ends = [follow(http, job)[-1] for job in (first, second)]
    assert [(end["status"], end["progress"]["save_dir"]) for end in ends] == [
        ("completed", str(tmp_path / "1")),
        ("completed", str(tmp_path / "2")),
    ]


def test_training_that_raises_has_failed(http: httpx.Client, payload: dict[str, Any]) -> None:
    payload["fit_params"]["data"] = "/nowhere/data.yaml"
    seen = follow(http, http.post("/train", json=payload).json())
    assert statuses(seen)[-1] == "failed"
    assert "/nowhere/data.yaml" in seen[-1]["error"]


def test_many_queued_trainings_do_not_hold_up_who_polls(http: httpx.Client, payload: dict[str, Any]) -> None:
    payload["fit_params"]["data"] = "/nowhere/data.yaml"
    with fastapi_polling.one_at_a_time:
        jobs = [http.post("/train", json=payload).json() for _ in range(50)]  # more than there are threads
        assert {http.get(f"/jobs/{job['job_id']}").json()["status"] for job in jobs} == {"queued"}
    assert {follow(http, job)[-1]["status"] for job in jobs} == {"failed"}


def test_unknown_job_is_not_found(http: httpx.Client) -> None:
    assert http.get("/jobs/nobody").status_code == 404
