"""Why it failed: each reason provoked for real, in a worker, and what its failure says."""

import errno
import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest

import AI.model_trainer
from AI.model_trainer import errors as library_errors
from AI.model_trainer.errors import BadArchive, DatasetUnavailable, TrainerError, UnknownArgument, UnsafeFile
from service.failures import HINTS, failed, reason_in, reason_of
from tests.conftest import Running, serve
from tests.house import House
from tests.tiny import TINY, make_dataset, tiny_model

pytestmark = pytest.mark.timeout(60)  # the first start of a worker imports torch


@pytest.mark.parametrize(
    ("what", "reason", "evidence"),
    [
        ("raise_no_memory", "out_of_memory", "MemoryError"),
        ("allocate_too_much", "out_of_memory", "can't allocate memory"),
        ("import_nothing", "import_error", "No module named 'no_such_module'"),
        ("write_to_full_device", "disk_full", "No space left on device"),
        ("outgrow_file_limit", "disk_full", "File too large"),
        ("complain", "error", "no such luck"),
        ("abort_without_memory", "out_of_memory", "SIGABRT"),
        ("abort_without_memory_as_rust_does", "out_of_memory", "SIGABRT"),
    ],
)
def test_a_reason_is_found_from_what_happened(house: House, what: str, reason: str, evidence: str) -> None:
    final = house.end(house.submit("come_to_grief", what=what))
    failure = final["failure"]
    assert (final["reason"], failure["reason"]) == (reason, reason)
    assert evidence in failure["evidence"]
    assert failure["hint"] == HINTS[reason]
    assert failure["log_tail"]


def test_the_kernel_tells_of_a_kill_for_want_of_memory(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = iter([7, 8])
    monkeypatch.setattr("service.workers.supervisor.out_of_memory_kills", lambda: next(counts))
    final = house.end(house.submit("come_to_grief", what="kill"))
    assert (final["reason"], final["failure"]["signal"]) == ("out_of_memory", "SIGKILL")


def test_the_reason_may_lie_behind_the_exception() -> None:
    try:
        try:
            raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))
        except OSError as error:
            raise RuntimeError("could not save") from error
    except RuntimeError as raised:
        assert reason_of(raised) == "disk_full"
    assert reason_of(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling")) == "out_of_memory"
    assert reason_of(RuntimeError("Training failed: NaN persisted for 4 epochs")) == "nan"
    assert reason_of(BadArchive(Path("set.zip"), "two files of one name")) == "invalid_data"
    assert reason_of(ValueError("anything else")) == "error"
    assert reason_in(["all is well"]) is None


def test_a_last_batch_of_one_image_has_its_own_hint() -> None:
    import torch

    with pytest.raises(ValueError, match="1 value per channel") as caught:
        torch.nn.BatchNorm2d(2)(torch.zeros(1, 2, 1, 1))
    failure = failed(reason_of(caught.value), f"ValueError: {caught.value}")["failure"]
    assert failure["reason"] == "error"
    assert failure["hint"].startswith("At this size, batch norm needs more than one image")


# With Ultralytics


@pytest.fixture
async def service(tmp_path: Path) -> Any:
    async with serve(tmp_path / "data", program="service.workers.programs:train") as running:
        yield running


async def fail(service: Running, model: str, data: Path, **hyperparameters: Any) -> dict[str, Any]:
    payload = {"model": model, "hyperparameters": hyperparameters, "fit_params": {"data": str(data)}}
    response = await service.http.post("/train", json=payload)
    assert response.status_code == 202, response.text
    final = (await service.events(response.json()["job_id"]))[-1]
    assert final["event"] == "failed", final
    assert final["failure"]["hint"] == HINTS[final["reason"]]
    return final


async def test_a_dataset_that_breaks_after_the_check(service: Running, tmp_path: Path) -> None:
    """The service has looked at the folder; what is in the files only Ultralytics finds."""
    data = make_dataset(tmp_path / "set")
    for image in (tmp_path / "set").rglob("*.png"):
        image.write_bytes(image.read_bytes()[:60])
    assert (await fail(service, str(tiny_model(tmp_path)), data, epochs=1, imgsz=32))["reason"] == "invalid_data"


async def test_weights_that_cannot_be_had(service: Running, tmp_path: Path) -> None:
    final = await fail(service, "yolov8n", make_dataset(tmp_path / "set"), epochs=1)
    assert final["reason"] == "weights_unavailable"
    assert str(service.data / "weights") in final["error"]


async def test_losses_that_are_nan(tmp_path: Path) -> None:
    """Ultralytics goes back to its last checkpoint three times, then gives up."""
    async with serve(tmp_path / "data", program="tests.trainings:train_with_nan") as service:
        settings = {name: value for name, value in TINY.items() if name not in ("device", "verbose")}
        data = make_dataset(tmp_path / "set")
        final = await fail(service, str(tiny_model(tmp_path)), data, **settings | {"epochs": 8})
        assert final["reason"] == "nan", final["error"]


def test_every_reason_has_a_hint_and_stands_in_the_protocol() -> None:
    protocol = (Path(__file__).parent.parent / "docs" / "protocol.md").read_text()
    for reason, hint in HINTS.items():
        assert f"| `{reason}` |" in protocol
        assert hint.endswith(".")


def test_a_signal_from_outside_is_told_by_name(house: House) -> None:
    job_id = house.submit("rehearse", epochs=1, fault=["training", 1, "hang"])
    house.until(lambda: house.store.job(job_id).phase == "training")
    os.kill(house.store.job(job_id).pid or 0, signal.SIGKILL)
    final = house.end(job_id)
    assert (final["reason"], final["failure"]["signal"]) == ("killed", "SIGKILL")


def test_the_librarys_errors_know_their_reason() -> None:
    """By the class and its parents, whatever another class of that name may be."""
    missing = DatasetUnavailable("coco8.zip", Path("/datasets"), "downloads are off")
    assert (reason_of(missing), missing.folder) == ("dataset_unavailable", Path("/datasets"))
    assert reason_of(UnsafeFile("hostile.pt")) == "unsafe_file"
    assert reason_of(UnknownArgument("epoch", "epochs")) == "error"
    stranger = type("InvalidDataset", (RuntimeError,), {})
    assert reason_of(stranger("of another library")) == "error"


def test_the_librarys_errors_are_drawn_and_exported() -> None:
    tree = [TrainerError, *_below(TrainerError)]
    drawn = re.findall(r"[├└]── (\w+)", library_errors.__doc__ or "")
    assert sorted(["TrainerError", *drawn]) == sorted(kind.__name__ for kind in tree)
    assert {kind.__name__ for kind in tree} <= set(AI.model_trainer.__all__)
    assert {kind.reason for kind in tree} - {None} <= set(HINTS)


def _below(kind: type[TrainerError]) -> list[type[TrainerError]]:
    return [each for child in kind.__subclasses__() for each in (child, *_below(child))]
