"""Real tiny trainings through HTTP, in real workers."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from AI.model_trainer.threads import usable_cores
from tests.conftest import Running, serve
from tests.tiny import make_dataset, tiny_model


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Running]:
    async with serve(tmp_path / "data", program="service.worker:train") as running:
        yield running


async def train(service: Running, data: Path, model: Path | str, **hyperparameters: Any) -> list[dict[str, Any]]:
    """All events of a training."""
    settings = {"epochs": 2, "imgsz": 32, "batch": 4, "plots": False, "cache": False} | hyperparameters
    fit_params = {"data": str(data), "tick_interval": 0.1}
    payload = {"model": str(model), "hyperparameters": settings, "fit_params": fit_params}
    response = await service.http.post("/train", json=payload)
    assert response.status_code == 202, response.text
    return await service.events(response.json()["job_id"])


async def test_a_training_through_http_tells_all_and_keeps_its_files_together(service: Running, tmp_path: Path) -> None:
    data, model = make_dataset(tmp_path / "set"), tiny_model(tmp_path)
    here = sorted(os.listdir())
    before = sorted(path for path in (tmp_path / "set").rglob("*"))
    events = await train(service, data, model)
    final = events[-1]
    assert (final["event"], final["reason"]) == ("completed", "finished"), events[-3:]
    folder = service.data / "jobs" / final["job_id"]
    assert final["save_dir"] == str(folder / "run")
    assert (folder / "run" / "weights" / "best.pt").is_file()
    epochs = [event for event in events if event["event"] == "epoch_end"]
    assert [(event["epoch"], event["total_epochs"]) for event in epochs] == [(1, 2), (2, 2)]
    assert "metrics/mAP50(B)" in epochs[0]["metrics"]
    ticks = [event for event in events if event["event"] == "tick"]
    assert {"batch", "batches", "losses", "lr", "elapsed_seconds", "remaining_seconds", "images_per_second"} <= set(
        ticks[-1]
    )
    (end,) = [event for event in events if event["event"] == "train_end"]
    assert end["score"] == final["score"] == (await service.snapshot(final["job_id"]))["score"]
    lines = [line for event in events if event["event"] == "log" for line in event["lines"]]
    assert any("Starting training for 2 epochs" in line for line in lines)
    assert not any("\x1b" in line or "\r" in line for line in lines)
    assert sorted(os.listdir()) == here
    assert sorted(path for path in (tmp_path / "set").rglob("*")) == before, "a dataset's folder is only read"
    assert list((service.data / "cache" / "labels").iterdir()), "label caches are the service's"


async def test_all_cores_train_unless_stock_is_asked_for(tmp_path: Path) -> None:
    data, model = make_dataset(tmp_path / "set"), tiny_model(tmp_path)
    counts = {}
    for threads in ("all", "stock", "3"):
        async with serve(tmp_path / threads, program="tests.trainings:train_and_count", threads=threads) as service:
            events = await train(service, data, model, epochs=1)
            counts[threads] = events[-1]["threads"]
    assert counts["3"] == 3
    assert counts["stock"] == min(8, max(1, (os.cpu_count() or 2) - 1))
    assert counts["all"] == usable_cores()


async def test_a_training_that_cannot_start_fails_with_ultralytics_own_words(service: Running, tmp_path: Path) -> None:
    data = make_dataset(tmp_path / "set")
    labels = tmp_path / "set" / "labels"
    for path in labels.rglob("*.txt"):
        path.write_text("7 0.5 0.5 0.2 0.2\n")  # a class that the dataset does not have
    events = await train(service, data, tiny_model(tmp_path))
    final = events[-1]
    assert (final["event"], final["reason"]) == ("failed", "error"), final
    assert final["failure"]["log_tail"]
    assert final["error"].splitlines()[-1] in final["failure"]["log_tail"][-1]


async def test_what_a_dataset_s_folder_planted_is_neither_run_nor_removed(service: Running, tmp_path: Path) -> None:
    data = make_dataset(tmp_path / "set")
    marker = tmp_path / "ran"
    planted = tmp_path / "set" / "labels" / "train.cache"
    payload = f"cos\nsystem\n(S'touch {marker}'\ntR.".encode()
    planted.write_bytes(payload)
    events = await train(service, data, tiny_model(tmp_path), epochs=1)
    assert events[-1]["event"] == "completed"
    assert not marker.exists()
    assert planted.read_bytes() == payload


async def test_weights_that_would_run_code_fail_the_job(service: Running, tmp_path: Path) -> None:
    import pickle

    marker = tmp_path / "ran"

    class Hostile:
        def __reduce__(self) -> Any:
            return os.system, (f"touch {marker}",)

    weights = tmp_path / "hostile.pt"
    weights.write_bytes(pickle.dumps({"model": Hostile()}))
    events = await train(service, make_dataset(tmp_path / "set"), weights, epochs=1)
    assert (events[-1]["event"], marker.exists()) == ("failed", False)


async def test_cancel_ends_a_real_training(service: Running, tmp_path: Path) -> None:
    data, model = make_dataset(tmp_path / "set"), tiny_model(tmp_path)
    settings = {"epochs": 10_000, "imgsz": 32, "batch": 4, "plots": False}
    payload = {"model": str(model), "hyperparameters": settings, "fit_params": {"data": str(data)}}
    job_id = (await service.http.post("/train", json=payload)).json()["job_id"]
    async with service.http.stream("GET", f"/jobs/{job_id}/events") as response:
        async for line in response.aiter_lines():
            if line == "event: epoch_end":
                break
    await service.http.post(f"/jobs/{job_id}/cancel")
    async with asyncio.timeout(10):
        assert (await service.events(job_id))[-1]["event"] == "cancelled"
