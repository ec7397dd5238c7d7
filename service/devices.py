"""The devices that trainings get. NVIDIA's management library tells, so that the web process needs no torch."""

import pynvml


def slots(wanted: int | None) -> list[int | None]:
    """One entry per slot: the GPU's index, in turn, or None for the CPU. Default: one slot per GPU, else one."""
    gpus: list[int | None] = [*range(count_gpus())] or [None]
    return [gpus[number % len(gpus)] for number in range(wanted or len(gpus))]


def count_gpus() -> int:
    """GPUs that NVIDIA's driver reports; 0 where there is no driver."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return 0
    try:
        return int(pynvml.nvmlDeviceGetCount())
    finally:
        pynvml.nvmlShutdown()
