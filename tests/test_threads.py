import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from AI.model_trainer import build_model, train_model
from AI.model_trainer.cpu_cores import usable_cores
from tests.tiny import TINY, make_dataset, tiny_model

pytestmark = pytest.mark.timeout(60)  # it trains


@pytest.fixture
def torch() -> Iterator[Any]:
    import torch

    before = torch.get_num_threads()
    yield torch
    torch.set_num_threads(before)


def counts(torch: Any, tmp_path: Path, **fit_params: Any) -> set[int]:
    """torch's thread count at each training batch and each validation, the final one included."""
    model = build_model(tiny_model(tmp_path), TINY)
    seen = []
    for event in ("on_train_batch_end", "on_val_end"):
        model.add_callback(event, lambda _: seen.append(torch.get_num_threads()))
    data = make_dataset(tmp_path / "data")
    train_model(model, fit_params={"data": data, "save_dir": tmp_path / "run", **fit_params})
    assert len(seen) == 4  # two batches, two validations
    return set(seen)


def test_thread_count_holds_through_the_final_evaluation(torch: Any, tmp_path: Path) -> None:
    assert counts(torch, tmp_path, threads=3) == {3}


def test_all_usable_cores(torch: Any, tmp_path: Path) -> None:
    assert counts(torch, tmp_path, threads="all") == {usable_cores()}


def test_stock_count_is_ultralytics_own(torch: Any, tmp_path: Path) -> None:
    from ultralytics.utils import NUM_THREADS

    assert counts(torch, tmp_path) == {NUM_THREADS}


@pytest.fixture
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)


def system(root: Path, membership: str, files: dict[str, str]) -> Path:
    for name, text in {"proc/self/cgroup": membership, **files}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.mark.parametrize(
    ("membership", "files", "cores"),
    [
        ("0::/\n", {}, 8),
        ("0::/\n", {"sys/fs/cgroup/cpu.max": "max 100000\n"}, 8),
        ("0::/\n", {"sys/fs/cgroup/cpu.max": "250000 100000\n"}, 2),
        ("0::/\n", {"sys/fs/cgroup/cpu.max": "50000 100000\n"}, 1),
        ("0::/\n", {"sys/fs/cgroup/cpu.max": "gibberish"}, 8),
        (
            "0::/pod/box\n",
            {"sys/fs/cgroup/pod/cpu.max": "300000 100000\n", "sys/fs/cgroup/pod/box/cpu.max": "max 100000\n"},
            3,
        ),
        (
            "4:cpu,cpuacct:/docker/1f\n1:name=systemd:/\n0::/\n",
            {"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "400000", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000"},
            4,
        ),
        ("4:cpu:/\n", {"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1"}, 8),
    ],
)
def test_container_quota_bounds_the_cores(
    eight_cores: None, tmp_path: Path, membership: str, files: dict[str, str], cores: int
) -> None:
    assert usable_cores(system(tmp_path, membership, files)) == cores


def test_without_cgroups_affinity_decides(eight_cores: None, tmp_path: Path) -> None:
    assert usable_cores(tmp_path) == 8
