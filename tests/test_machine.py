"""What ticks tell of the machine."""

from collections import namedtuple
from threading import Thread
from types import SimpleNamespace
from typing import Any

import psutil
import pynvml
import pytest

from service.workers.readings import Machine

Times = namedtuple("Times", "user system idle")


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A stand-in for NVIDIA's library; what is in the dict under a function's name is its answer, or raised."""
    answers: dict[str, Any] = {
        "nvmlInit": None,
        "nvmlDeviceGetHandleByIndex": "gpu",
        "nvmlDeviceGetHandleByUUID": "part of a gpu",
        "nvmlDeviceGetMemoryInfo": SimpleNamespace(used=3, total=4),
        "nvmlDeviceGetUtilizationRates": SimpleNamespace(gpu=25),
    }

    def answer(name: str) -> Any:
        if isinstance(answers[name], Exception):
            raise answers[name]
        return answers[name]

    for name in answers:
        monkeypatch.setattr(pynvml, name, lambda *_, name=name: answer(name))
    return answers


def test_the_processor_and_the_memory_are_told_without_a_gpu() -> None:
    told = Machine(None).read()
    assert 0 <= told["cpu"] <= 1
    assert 0 < told["process_memory_bytes"] < told["memory_total_bytes"]
    assert told["gpu"] is None


def test_a_thread_that_reads_first_is_told_the_use_of_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "cpu_times", lambda: Times(10.0, 0.0, 90.0))
    machine = Machine(None)
    monkeypatch.setattr(psutil, "cpu_times", lambda: Times(13.0, 0.0, 91.0))
    told: list[float] = []
    thread = Thread(target=lambda: told.append(machine.read()["cpu"]))
    thread.start()
    thread.join()
    assert told == [0.75]
    assert machine.read()["cpu"] == 0.75  # no time has passed


def test_a_gpu_is_told(gpu: dict[str, Any]) -> None:
    machine = Machine("1")
    assert machine.read()["gpu"] == {"use": 0.25, "memory_used_bytes": 3, "memory_total_bytes": 4}
    gpu["nvmlDeviceGetMemoryInfo"] = pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)
    assert machine.read()["gpu"] is None


def test_a_part_of_a_gpu_tells_its_memory_only(gpu: dict[str, Any]) -> None:
    gpu["nvmlDeviceGetUtilizationRates"] = pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
    assert Machine("MIG-1").read()["gpu"] == {"use": None, "memory_used_bytes": 3, "memory_total_bytes": 4}


def test_a_gpu_without_a_driver_is_none(gpu: dict[str, Any]) -> None:
    gpu["nvmlInit"] = pynvml.NVMLError(pynvml.NVML_ERROR_DRIVER_NOT_LOADED)
    assert Machine("0").read()["gpu"] is None
