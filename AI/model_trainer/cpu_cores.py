"""How many CPU cores this process may use."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, TypeAlias

#: "stock": as Ultralytics does; "all": every usable core; or a number.
Threads: TypeAlias = Literal["stock", "all"] | int


def usable_cores(system: Path = Path("/")) -> int:
    """Cores this process may use: its affinity, bounded by the CPU quota of its cgroups, at least 1.

    `system` is where `proc` and `sys` are looked up. A quota of 2.5 cores counts as 2: a third thread would
    spend half its time throttled and the others would wait for it.
    """
    affinity = getattr(os, "sched_getaffinity", None)  # Linux only
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(1, int(min([cores, *_quotas(system)])))


def _quotas(system: Path) -> Iterator[float]:
    """CPU quotas, in cores, of this process's cgroups and all that are above them (versions 1 and 2)."""
    try:
        memberships = (system / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    mount = system / "sys/fs/cgroup"
    for membership in memberships:
        _, controllers, path = membership.split(":", 2)
        if not controllers:
            yield from _quotas_upwards(mount, path, _quota_v2)
        elif "cpu" in controllers.split(","):
            yield from _quotas_upwards(mount / "cpu", path, _quota_v1)


def _quotas_upwards(mount: Path, path: str, read: Callable[[Path], float | None]) -> Iterator[float]:
    # Inside a container the path may be the host's and not exist here; the mount itself is then the container's.
    relative = Path(path.lstrip("/"))
    for folder in (relative, *relative.parents):
        try:
            quota = read(mount / folder)
        except (OSError, ValueError):
            continue
        if quota is not None:
            yield quota


def _quota_v2(folder: Path) -> float | None:
    quota, period = (folder / "cpu.max").read_text().split()
    return None if quota == "max" else int(quota) / int(period)


def _quota_v1(folder: Path) -> float | None:
    quota = int((folder / "cpu.cfs_quota_us").read_text())
    return None if quota < 0 else quota / int((folder / "cpu.cfs_period_us").read_text())
