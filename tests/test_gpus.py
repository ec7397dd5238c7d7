"""Which GPUs a training may get, on a machine whose driver is a stand-in."""

from collections.abc import Iterator

import pynvml
import pytest

from service.workers import gpus


class Driver:
    """NVIDIA's management library, of a machine with three GPUs; it is open between `nvmlInit` and `nvmlShutdown`."""

    def __init__(self) -> None:
        self.is_open = False

    def open(self) -> None:
        self.is_open = True

    def close(self) -> None:
        self.is_open = False

    def count(self) -> int:
        assert self.is_open
        return 3


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Driver]:
    driver = Driver()
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(pynvml, "nvmlInit", driver.open)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetCount", driver.count)
    monkeypatch.setattr(pynvml, "nvmlShutdown", driver.close)
    yield driver
    assert not driver.is_open


@pytest.mark.usefixtures("driver")
def test_each_gpu_is_a_slot_and_more_slots_share_them_in_turn() -> None:
    assert gpus.slots(None) == ["0", "1", "2"]
    assert gpus.slots(5) == ["0", "1", "2", "0", "1"]


@pytest.mark.usefixtures("driver")
@pytest.mark.parametrize(
    ("allowed", "slots"),
    [
        ("2, 0", ["2", "0"]),
        ("GPU-5f1c", ["GPU-5f1c"]),
        ("1,", ["1"]),
        ("", [None]),
        ("-1", [None]),
    ],
)
def test_only_those_that_the_operator_allows_are_used(
    monkeypatch: pytest.MonkeyPatch, allowed: str, slots: list[str | None]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", allowed)
    assert gpus.slots(None) == slots


def test_a_driver_that_cannot_count_is_closed_again(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> int:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_UNKNOWN)

    monkeypatch.setattr(pynvml, "nvmlDeviceGetCount", fail)
    with pytest.raises(pynvml.NVMLError):
        gpus.gpus_to_use()


def test_without_a_driver_there_is_one_slot_on_the_cpu(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setattr(pynvml, "nvmlInit", fail)
    assert gpus.slots(None) == [None]
    assert gpus.slots(2) == [None, None]
