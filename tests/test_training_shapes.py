"""Datasets in the shapes that people have them in, trained through HTTP: what `yolo train` does with them untouched."""

import os
import shutil
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml

from tests.conftest import Running, serve
from tests.tiny import TINY, make_dataset, tiny_model

HYPERPARAMETERS = {name: value for name, value in TINY.items() if name not in ("amp", "verbose", "workers")}
#: Path of the data.yaml of a dataset of boxes that a person made.
REAL = "YOLO_TRAINER_TEST_DATASET"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    async with serve(tmp_path_factory.mktemp("service") / "data", program="service.workers.programs:train") as running:
        yield running


pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(60)]  # the service imports torch


async def post(
    service: Running, data: object, model: object, fit_params: dict[str, Any], **hyperparameters: Any
) -> Any:
    payload = {
        "model": str(model),
        "hyperparameters": HYPERPARAMETERS | hyperparameters,
        "fit_params": {"data": str(data), **fit_params},
    }
    return await service.http.post("/train", json=payload)


async def train(service: Running, data: object, model: object, **hyperparameters: Any) -> tuple[str, list[Any]]:
    """Train to the end; the job's id and its events."""
    response = await post(service, data, model, {}, **hyperparameters)
    assert response.status_code == 202, response.text
    job_id = response.json()["job_id"]
    return job_id, await service.events(job_id)


async def refused(service: Running, data: object, model: object, **hyperparameters: Any) -> list[dict[str, str]]:
    response = await post(service, data, model, {}, **hyperparameters)
    assert response.status_code == 422, response.text
    errors: list[dict[str, str]] = response.json()["errors"]
    return errors


def log_of(events: list[Any]) -> str:
    return "\n".join(line for event in events if event["event"] == "log" for line in event["lines"])


def exported(folder: Path) -> Path:
    """A dataset as Roboflow exports it."""
    made = make_dataset(folder / "made").parent
    home = folder / "Squares.v1i.yolov8"
    for split, name in (("train", "train"), ("val", "valid")):
        for kind in ("images", "labels"):
            shutil.copytree(made / kind / split, home / name / kind)
    (home / "README.roboflow.txt").write_text("Squares > v1\n")
    (home / "data.yaml").write_text(
        "train: ../train/images\nval: ../valid/images\ntest: ../test/images\n\nnc: 2\nnames: ['red', 'green']\n\n"
        "roboflow:\n  workspace: me\n  project: squares\n  version: 1\n  license: CC BY 4.0\n"
    )
    return home


async def test_an_export_of_roboflow_trains_untouched(service: Running, tmp_path: Path) -> None:
    home = exported(tmp_path)
    before = {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}
    arguments = {"optimizer": "adamw", "label_smoothing": 0.1, "augmentations": None}
    job_id, events = await train(service, home / "data.yaml", tiny_model(tmp_path), **arguments)
    assert events[-1]["event"] == "completed", events[-1]
    assert "'label_smoothing' is deprecated" in log_of(events)
    assert "AdamW(" in log_of(events)
    copy = yaml.safe_load((service.data / "jobs" / job_id / "data.yaml").read_text())
    assert (copy["train"], copy["names"]) == (str(home / "train" / "images"), {0: "red", 1: "green"})
    assert {path: path.read_bytes() for path in home.rglob("*") if path.is_file()} == before


async def test_a_zip_trains_and_is_unpacked_once(service: Running, tmp_path: Path) -> None:
    home = exported(tmp_path)
    archive = tmp_path / "export.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for file in sorted(home.rglob("*")):
            packed.write(file, file.relative_to(home))
        packed.writestr("__MACOSX/data.yaml", "x")
    places = set()
    for _ in range(2):
        job_id, events = await train(service, archive, tiny_model(tmp_path))
        assert events[-1]["event"] == "completed", events[-1]
        assert f"unpacking {archive}" in log_of(events)
        places.add(yaml.safe_load((service.data / "jobs" / job_id / "data.yaml").read_text())["path"])
    (place,) = places
    assert Path(place).is_relative_to(service.data / "datasets" / "unpacked")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["Squares.v1i.yolov8", "export.zip", "made", "tiny.yaml"]


async def test_a_zip_of_another_dataset_fails_in_one_sentence(service: Running, tmp_path: Path) -> None:
    """What is in it is known when it is unpacked."""
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("data.yaml", "train: /etc\nval: images\nnames: [a]\n")
    _, events = await train(service, archive, tiny_model(tmp_path))
    assert (events[-1]["event"], events[-1]["reason"]) == ("failed", "invalid_data")
    assert events[-1]["error"] == "/etc is outside of the unpacked archive"


async def test_classes_without_a_split_train_from_links(service: Running, tmp_path: Path) -> None:
    made = make_dataset(tmp_path / "made", "classify", train=20, val=1)
    home = shutil.copytree(made / "train", tmp_path / "classes")
    job_id, events = await train(service, home, tiny_model(tmp_path, "classify"), cache="disk")
    assert events[-1]["event"] == "completed", events[-1]
    folder = service.data / "jobs" / job_id / "dataset"
    assert [len(list((folder / part).rglob("*.png"))) for part in ("train", "val")] == [16, 4]
    assert sorted(path.suffix for path in home.rglob("*.*")) == [".png"] * 20, "nothing was written beside them"
    with zipfile.ZipFile(tmp_path / "classes.zip", "w") as packed:
        for file in sorted(home.rglob("*")):
            packed.write(file, file.relative_to(tmp_path))
    _, events = await train(service, tmp_path / "classes.zip", tiny_model(tmp_path, "classify"))
    assert events[-1]["event"] == "completed", events[-1]


async def test_a_split_to_evaluate_on_must_be_there(service: Running, tmp_path: Path) -> None:
    data = make_dataset(tmp_path / "set")
    model = tiny_model(tmp_path)
    (fault,) = await refused(service, data, model, split="test")
    assert fault["pointer"] == "/hyperparameters/split"
    response = await post(service, data, model, {"split": "test"})
    assert [error["pointer"] for error in response.json()["errors"]] == ["/fit_params/split"]
    data.write_text(data.read_text() + "test: images/val\n")
    _, events = await train(service, data, model, split="test")
    assert events[-1]["event"] == "completed", events[-1]


async def test_all_that_is_wrong_is_told_in_one_answer(service: Running, tmp_path: Path) -> None:
    data = make_dataset(tmp_path / "set")
    data.write_text(data.read_text().replace("names: [red, green]", "nc: many"))
    found = await refused(service, data, "yolo8n", epochs=0)
    told = {fault["pointer"]: fault for fault in found}
    assert told.keys() == {"/model", "/hyperparameters/epochs", "/fit_params/data"}
    assert told["/model"]["suggestion"] == "yolov8n"
    (fault,) = await refused(service, "coco8", "yolov8n.yaml")
    assert fault["suggestion"] == "coco8.yaml"


async def test_boxes_for_a_segment_model_are_the_data_s_fault(service: Running, tmp_path: Path) -> None:
    data = make_dataset(tmp_path / "set")
    (fault,) = await refused(service, data, tiny_model(tmp_path, "segment"))
    assert "the task segment needs polygons" in fault["detail"]
    # Where it is not certain, the training finds out: here it might take other images.
    for number in range(20, 40):
        shutil.copy(tmp_path / "set/images/train/0.png", tmp_path / f"set/images/train/{number}.png")
    (tmp_path / "set/labels/train/20.txt").write_text("0 0.2 0.2 0.8 0.2 0.8 0.8\n")
    for number in range(4):
        (tmp_path / f"set/labels/val/{number}.txt").write_text("0 0.2 0.2 0.8 0.2 0.8 0.8\n")
    _, events = await train(service, data, tiny_model(tmp_path, "segment"))
    assert (events[-1]["event"], events[-1]["reason"]) == ("failed", "invalid_data")


async def test_a_dataset_that_a_person_made_trains(service: Running, tmp_path: Path) -> None:
    if not (data := os.environ.get(REAL)):
        pytest.skip(f"{REAL} names no data.yaml")
    _, events = await train(service, data, "yolov8n.yaml", fraction=8)
    assert events[-1]["event"] == "completed", events[-1]
    assert events[-1]["metrics"]
