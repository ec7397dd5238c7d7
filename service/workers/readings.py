"""What the machine is doing: processor, memory, and the GPU of a training where there is one."""

from typing import Any

import psutil
import pynvml

from service import new_events

#: Seconds of all cores between two readings of their use that mean something: the counters go in steps of 0.01.
LEAST_CPU_SECONDS = 0.1


class Machine:
    """Readings for events; each takes well under a millisecond, in whichever thread.

    `device` is the GPU as CUDA_VISIBLE_DEVICES names it (index or UUID), None for a training on the CPU.
    """

    def __init__(self, device: str | None) -> None:
        self._process = psutil.Process()
        self._process.cpu_percent()  # the first call only sets the point from which the next one counts
        self._cpu = 0.0
        self._idle, self._total = _cpu_seconds()
        self._gpu = _open_gpu(device)

    def read(self) -> new_events.Machine:
        """Shares are 0 to 1; the process' share of CPU counts cores (2.0 is two of them busy); memory is in bytes."""
        memory = psutil.virtual_memory()
        return {
            "cpu": self._cpu_use(),
            "memory_used_bytes": memory.total - memory.available,
            "memory_total_bytes": memory.total,
            "process_cpu": self._process.cpu_percent() / 100,
            "process_memory_bytes": self._process.memory_info().rss,
            "gpu": self._read_gpu(),
        }

    def _cpu_use(self) -> float:
        """Since the last reading. psutil's own counts for each thread apart, and tells 0 to one that asks first."""
        idle, total = _cpu_seconds()
        if total - self._total > LEAST_CPU_SECONDS:
            self._cpu = min(1.0, max(0.0, 1 - (idle - self._idle) / (total - self._total)))
            self._idle, self._total = idle, total
        return self._cpu

    def _read_gpu(self) -> new_events.Gpu | None:
        if self._gpu is None:
            return None
        try:
            memory = pynvml.nvmlDeviceGetMemoryInfo(self._gpu)
        except pynvml.NVMLError:  # the driver was restarted, or the GPU has fallen off its bus
            return None
        return {"use": self._gpu_use(), "memory_used_bytes": memory.used, "memory_total_bytes": memory.total}

    def _gpu_use(self) -> float | None:
        try:
            return float(pynvml.nvmlDeviceGetUtilizationRates(self._gpu).gpu) / 100
        except pynvml.NVMLError:  # a part of a GPU (MIG) does not tell
            return None


def _cpu_seconds() -> tuple[float, float]:
    """Seconds for which cores had nothing to do, and all their seconds, since the machine was started."""
    times = psutil.cpu_times()
    guests = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)  # counted as user and nice too
    return times.idle + getattr(times, "iowait", 0.0), sum(times) - guests


def _open_gpu(device: str | None) -> Any:
    if device is None:
        return None
    try:
        pynvml.nvmlInit()
        if device.isdigit():
            return pynvml.nvmlDeviceGetHandleByIndex(int(device))
        return pynvml.nvmlDeviceGetHandleByUUID(device)
    except pynvml.NVMLError:
        return None
