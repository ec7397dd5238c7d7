"""Real tiny trainings through HTTP, in real workers."""

import asyncio
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from AI.model_trainer import build_model
from AI.model_trainer.cpu_cores import usable_cores
from tests.conftest import Running, serve
from tests.tiny import TASKS, make_dataset, tiny_model

pytestmark = pytest.mark.timeout(60)  # the first start of a worker imports torch


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Running]:
    async with serve(tmp_path / "data", program="service.workers.programs:train") as running:
        yield running


async def test_a_training_through_http_tells_all_and_keeps_its_files_together(service: Running, tmp_path: Path) -> None:
    data, model = make_dataset(tmp_path / "set"), tiny_model(tmp_path)
    here = sorted(os.listdir())
    before = sorted(path for path in (tmp_path / "set").rglob("*"))
    events = await service.train(data, model)
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


async def test_the_log_has_the_rows_of_ultralytics_bars_under_their_headers(service: Running, tmp_path: Path) -> None:
    events = await service.train(make_dataset(tmp_path / "set"), tiny_model(tmp_path), plots=True, epochs=2)
    lines = (await service.http.get(f"/jobs/{events[-1]['job_id']}/logs")).text.splitlines()
    for split, count in (("train", 8), ("val", 4)):
        (scan,) = [line for line in lines if line.startswith(f"{split}: Scanning")]
        assert f"... {count} images, 0 backgrounds, 0 corrupt: {count}/{count} " in scan
    headers = [at for at, line in enumerate(lines) if line.split()[:2] == ["Epoch", "GPU_mem"]]
    assert len(headers) == 2
    for epoch, at in enumerate(headers, 1):
        header, row, validation, found = lines[at : at + 4]
        values = row.partition(":")[0]
        assert row.split()[:2] == [f"{epoch}/2", "0G"]
        assert ends(values) == ends(header), "each value ends where its name ends"
        assert validation.split()[:3] == ["Class", "Images", "Instances"]
        assert found.split()[:3] == ["all", "4", "4"]
        assert ends(found)[:3] == ends(validation)[:3]


async def test_what_is_in_the_dataset_is_an_event_in_the_snapshot_and_aloud(service: Running, tmp_path: Path) -> None:
    data = make_dataset(tmp_path / "set", train=12)
    for number in (0, 2, 4, 6):
        (tmp_path / "set" / "images" / "train" / f"{number}.png").write_bytes(b"<html>")
    events = await service.train(data, tiny_model(tmp_path), epochs=1)
    (told,) = [event for event in events if event["event"] == "dataset"]
    split = told["splits"]["train"]
    assert (split["images"], split["labelled"], split["dropped"], split["corrupt"]) == (12, 8, 4, 4)
    assert split["bad"][0]["reason"].startswith("this is not an image: an HTML page")
    assert [each["instances"]["train"] for each in told["classes"]] == [2, 6]
    (warning,) = told["warnings"]
    spoken = [event for event in events if event["event"] == "log" and event["level"] == "warning"]
    assert [line for event in spoken for line in event["lines"]] == [warning]
    shown = (await service.snapshot(events[-1]["job_id"]))["dataset"]
    assert shown == {name: told[name] for name in ("seq", "splits", "classes", "class_count", "warnings")}
    (listed,) = (await service.http.get("/jobs")).json()["jobs"]
    assert listed["dataset"]["splits"]["train"]["dropped"] == 4
    assert listed["dataset"]["warnings"] == [warning]
    assert "bad" not in listed["dataset"]["splits"]["train"], "lists are short"


async def test_strict_data_fails_a_training_that_would_drop_an_image(service: Running, tmp_path: Path) -> None:
    data = make_dataset(tmp_path / "set", train=24)
    (tmp_path / "set" / "images" / "train" / "0.png").write_bytes(b"")
    fit_params = {"data": str(data), "strict_data": True}
    payload = {
        "model": str(tiny_model(tmp_path)),
        "hyperparameters": {"epochs": 1, "imgsz": 32},
        "fit_params": fit_params,
    }
    events = await service.events((await service.http.post("/train", json=payload)).json()["job_id"])
    final = events[-1]
    assert (final["event"], final["reason"]) == ("failed", "invalid_data")
    assert final["error"].startswith("train: 1 of 24 images are dropped: ")
    assert final["error"].endswith("0.png: this is not an image: an empty file")
    assert not [event for event in events if event["event"] == "epoch_end"]
    assert [event["splits"]["train"]["dropped"] for event in events if event["event"] == "dataset"] == [1]


def ends(line: str) -> list[int]:
    """Where the words of a line end."""
    return [word.end() for word in re.finditer(r"\S+", line)]


async def test_all_cores_train_unless_stock_is_asked_for(tmp_path: Path) -> None:
    data, model = make_dataset(tmp_path / "set"), tiny_model(tmp_path)
    counts = {}
    for threads in ("all", "stock", "3"):
        async with serve(tmp_path / threads, program="tests.trainings:train_and_count", threads=threads) as service:
            events = await service.train(data, model, epochs=1)
            (counts[threads],) = [
                int(line.split()[0])
                for event in events
                if event["event"] == "log"
                for line in event["lines"]
                if line.endswith(" threads")
            ]
    assert counts["3"] == 3
    assert counts["stock"] == min(8, max(1, (os.cpu_count() or 2) - 1))
    assert counts["all"] == usable_cores()


async def test_a_training_that_cannot_start_fails_with_ultralytics_own_words(service: Running, tmp_path: Path) -> None:
    data = make_dataset(tmp_path / "set")
    for path in (tmp_path / "set" / "images").rglob("*.png"):
        path.write_bytes(b"no picture")
    events = await service.train(data, tiny_model(tmp_path))
    final = events[-1]
    assert (final["event"], final["reason"]) == ("failed", "invalid_data"), final
    assert final["failure"]["log_tail"]
    # The traceback and the logger travel on two ways: which of them is last is nobody's promise.
    assert any(final["error"].splitlines()[-1] in line for line in final["failure"]["log_tail"])


async def test_what_a_dataset_s_folder_planted_is_neither_run_nor_removed(service: Running, tmp_path: Path) -> None:
    data = make_dataset(tmp_path / "set")
    marker = tmp_path / "ran"
    planted = tmp_path / "set" / "labels" / "train.cache"
    payload = f"cos\nsystem\n(S'touch {marker}'\ntR.".encode()
    planted.write_bytes(payload)
    events = await service.train(data, tiny_model(tmp_path), epochs=1)
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
    weights.write_bytes(pickle.dumps({"model": Hostile()}, protocol=2))
    events = await service.train(make_dataset(tmp_path / "set"), weights, epochs=1)
    assert (events[-1]["event"], marker.exists()) == ("failed", False)
    assert "outside the supported Ultralytics checkpoint format" in events[-1]["error"]


async def test_a_checkpoint_that_would_run_code_fails_the_resume(service: Running, tmp_path: Path) -> None:
    import pickle

    marker = tmp_path / "ran"

    class Hostile:
        def __reduce__(self) -> Any:
            return os.system, (f"touch {marker}",)

    events = await service.train(make_dataset(tmp_path / "set"), tiny_model(tmp_path), epochs=2)
    job_id = events[-1]["job_id"]
    planted = list((service.data / "jobs" / job_id).rglob("*.pt"))
    assert planted
    for path in planted:
        path.write_bytes(pickle.dumps({"model": Hostile()}, protocol=2))
    response = await service.http.post(f"/jobs/{job_id}/resume", json={"epochs": 3})
    assert response.status_code == 202, response.text
    final = (await service.events(job_id, events[-1]["seq"]))[-1]
    assert (final["event"], marker.exists()) == ("failed", False)
    assert "outside the supported Ultralytics checkpoint format" in final["error"]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("nc: 2", "nc: 2\nactivation: __import__('os').mkdir('{marker}')", "unsupported activation"),
        ("Conv, [8, 3, 2]", "check_requirements, [['nothing']]", "is not a permitted model layer"),
    ],
)
async def test_a_model_file_that_would_run_code_fails_the_job(
    service: Running, tmp_path: Path, old: str, new: str, words: str
) -> None:
    marker, model = tmp_path / "ran", tiny_model(tmp_path)
    model.write_text(model.read_text().replace(old, new.format(marker=marker), 1))
    events = await service.train(make_dataset(tmp_path / "set"), model, epochs=1)
    assert (events[-1]["event"], marker.exists()) == ("failed", False)
    assert words in events[-1]["error"]


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


@pytest.mark.parametrize("task", [task for task in TASKS if task != "detect"])
async def test_every_task_trains_with_its_own_losses_and_metrics(service: Running, tmp_path: Path, task: str) -> None:
    data, model = make_dataset(tmp_path / "set", task=task), tiny_model(tmp_path, task=task)
    events = await service.train(data, model, epochs=1)
    final = events[-1]
    assert final["event"] == "completed", final
    (epoch,) = [event for event in events if event["event"] == "epoch_end"]
    loss, metric = {
        "segment": ("seg_loss", "metrics/mAP50(M)"),
        "classify": ("loss", "metrics/accuracy_top1"),
        "pose": ("pose_loss", "metrics/mAP50(P)"),
        "obb": ("angle_loss", "metrics/mAP50(B)"),
    }[task]
    assert loss in epoch["train_losses"]
    assert metric in epoch["metrics"]
    assert metric in final["metrics"]


async def test_phases_weights_and_pictures_are_events_with_addresses(service: Running, tmp_path: Path) -> None:
    data, model = make_dataset(tmp_path / "set"), tiny_model(tmp_path)
    settings = {"epochs": 2, "imgsz": 32, "batch": 4, "plots": True}
    fit_params = {"data": str(data), "preview": 2}
    payload = {"model": str(model), "hyperparameters": settings, "fit_params": fit_params}
    job_id = (await service.http.post("/train", json=payload)).json()["job_id"]
    events = await service.events(job_id)
    phases = [event["phase"] for event in events if event["event"] == "phase"]
    assert phases[0] == "checking_data"
    assert phases[-1] == "finishing"
    assert phases.count("training") == phases.count("validating") == 2
    checkpoints = [event for event in events if event["event"] == "checkpoint"]
    assert [event["epoch"] for event in checkpoints] == [1, 2]
    images = [event for event in events if event["event"] == "image"]
    assert [event["name"] for event in images if event["kind"] == "preview"] == ["epoch_0001.jpg", "epoch_0002.jpg"]
    assert {"labels", "train_batch", "results", "preview"} <= {event["kind"] for event in images}
    for event in images:
        response = await service.http.get(event["url"])
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("image/")
        assert len(response.content) == event["size_bytes"]
    assert (await service.http.get(checkpoints[-1]["last_url"])).status_code == 200
    machine = next(event for event in events if event["event"] == "tick")["machine"]
    assert machine["memory_total_bytes"] > machine["process_memory_bytes"] > 0
    assert machine["gpu"] is None or machine["gpu"]["memory_total_bytes"] > 0
    assert (await service.snapshot(job_id))["phase"] is None


async def test_addresses_hold_where_the_data_folder_is_a_link(tmp_path: Path) -> None:
    (tmp_path / "real ü").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real ü")
    async with serve(tmp_path / "link" / "data", program="service.workers.programs:train") as service:
        events = await service.train(make_dataset(tmp_path / "set"), tiny_model(tmp_path), epochs=1, plots=True)
        addresses = [event["url"] for event in events if event["event"] == "image"]
        addresses += [event["last_url"] for event in events if event["event"] == "checkpoint"]
        assert len(addresses) > 2
        assert {(await service.http.head(address)).status_code for address in addresses} == {200}


async def test_official_weights_are_taken_from_the_service_s_folder(service: Running, tmp_path: Path) -> None:
    """A file under an official name; its model is a small one, since nothing can be downloaded here."""
    weights = service.data / "weights"
    (weights / "a folder.pt").mkdir(parents=True)
    await asyncio.to_thread(lambda: build_model(tiny_model(tmp_path)).save(weights / "yolov8n.pt"))
    models = (await service.http.get("/models")).json()
    assert models["weights"] == ["yolov8n.pt"]
    (row,) = [model for model in models["models"] if model["name"] == "yolov8n"]
    assert (row["task"], row["size"], row["weights"], row["downloaded"]) == ("detect", "n", True, True)
    assert {model["task"] for model in models["models"]} >= {"detect", "segment", "classify", "pose", "obb"}
    events = await service.train(make_dataset(tmp_path / "set"), "yolov8n", epochs=1)
    assert events[-1]["event"] == "completed", events[-1]
    assert "downloading" not in [event.get("phase") for event in events]


async def test_weights_that_cannot_be_downloaded_fail_the_job_in_one_sentence(service: Running, tmp_path: Path) -> None:
    events = await service.train(make_dataset(tmp_path / "set"), "yolo11n")
    final = events[-1]
    assert final["event"] == "failed"
    assert final["error"].startswith("yolo11n.pt is missing and cannot be downloaded (")
    assert f"put it into {service.data / 'weights'}" in final["error"]
    assert "yolo11n.yaml" in final["error"]
    assert "downloading" in [event.get("phase") for event in events]
    assert not list((service.data / "weights").glob("*"))


async def test_offline_missing_weights_are_refused_at_once(tmp_path: Path) -> None:
    data = make_dataset(tmp_path / "set")
    async with serve(tmp_path / "data", offline=True) as service:
        payload = {"model": "yolo11n", "fit_params": {"data": str(data)}}
        response = await service.http.post("/train", json=payload)
        assert response.status_code == 422
        (error,) = response.json()["errors"]
        assert (error["pointer"], error["suggestion"]) == ("/model", "yolo11n.yaml")
