"""The devices that trainings get. NVIDIA's management library tells, so that the web process needs no torch."""

import os

import pynvml


def slots(wanted: int | None) -> list[str | None]:
    """One entry per slot: a GPU, as CUDA_VISIBLE_DEVICES names it, in turn, or None for the CPU.

    Default: one slot per GPU, one on a machine without. Where the operator has set CUDA_VISIBLE_DEVICES, only those.
    """
    gpus: list[str | None] = [*gpus_to_use()] or [None]
    return [gpus[number % len(gpus)] for number in range(wanted or len(gpus))]


def gpus_to_use() -> list[str]:
    """The GPUs of this machine that the service may use; none where there is no driver."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return []
    try:
        there = [str(index) for index in range(pynvml.nvmlDeviceGetCount())]
    finally:
        pynvml.nvmlShutdown()
    allowed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if allowed is None or not there:
        return there
    return [name.strip() for name in allowed.split(",") if name.strip() not in ("", "-1")]
