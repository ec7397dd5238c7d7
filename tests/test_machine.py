"""What ticks tell of the machine."""

from types import SimpleNamespace
from typing import Any

import pynvml
import pytest

from service.machine import Machine


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
