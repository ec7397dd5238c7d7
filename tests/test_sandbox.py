"""What a worker is left with."""

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from service.workers import limits
from tests.conftest import serve
from tests.tiny import make_dataset, tiny_model

pytestmark = pytest.mark.timeout(60)  # the first start of a worker imports torch

linux = pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_DATA and no_new_privs are Linux'")

SECRETS = ("HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "WANDB_API_KEY", "DATABASE_URL", "SSH_AUTH_SOCK")
SECRETS += (
    "GITHUB_TOKEN",
    "PYTHON_KEYRING_PASSWORD",
    "TORCH_TOKEN",
    "ULTRALYTICS_API_KEY",
    "YOLO_TRAINER_DATA_DIR",
    "X",
)


@pytest.mark.parametrize("name", SECRETS)
def test_what_may_be_a_secret_is_withheld(name: str) -> None:
    assert name in limits.withheld([name])
    assert name not in limits.withheld([name], passed=[name])


@pytest.mark.parametrize(
    "name",
    [
        "PATH",
        "HOME",
        "LANG",
        "LC_ALL",
        "TMPDIR",
        "PYTHONPATH",
        "LD_LIBRARY_PATH",
        "XDG_CACHE_HOME",
        "https_proxy",
        "NO_PROXY",
        "YOLO_CONFIG_DIR",
        "OMP_NUM_THREADS",
        "CUDA_VISIBLE_DEVICES",
        "NCCL_DEBUG",
        "PYTORCH_CUDA_ALLOC_CONF",
    ],
)
def test_what_a_training_needs_is_not(name: str) -> None:
    assert not limits.withheld([name])


@linux
async def test_a_worker_has_no_more_than_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SECRETS:
        monkeypatch.setenv(name, f"hunter2-{name}")
    options: dict[str, Any] = {"max_memory_bytes": 3_000_000_000, "max_file_bytes": 50_000_000, "worker_env": ("X",)}
    # A forkserver has the environment of its own start, which another test may have caused.
    async with serve(tmp_path / "data", start_method="spawn", **options) as service:
        job_id = await service.submit("look_around")
        final = (await service.events(job_id))[-1]
        assert final["event"] == "completed", final["error"]
        found = json.loads((service.data / "jobs" / job_id / "found.json").read_text())
        assert [name for name, value in found["environment"].items() if "hunter2" in value] == ["X"]
        assert found["environment"]["ULTRALYTICS_SAFE_LOAD"] == "1"
        assert Path(found["environment"]["TORCHINDUCTOR_CACHE_DIR"]).is_relative_to(tmp_path)
        assert found["environment"]["PATH"] == os.environ["PATH"]
        data = found["limits"].pop("DATA")
        assert found["limits"] == {"CORE": [0, 0], "FSIZE": [50_000_000] * 2}
        assert data[0] == data[1]
        assert 3_000_000_000 <= data[0] < 5_000_000_000, "with what it began with"
        assert (found["no_new_privs"], found["own_session"]) == ("1", True)
        everything = b"".join(path.read_bytes() for path in service.data.rglob("*") if path.is_file())
        assert set(re.findall(rb"hunter2-\w+", everything)) == {b"hunter2-X"}


@linux
@pytest.mark.parametrize("by", ["python", "torch"])
async def test_memory_beyond_the_limit_fails_the_training_alone(tmp_path: Path, by: str) -> None:
    async with serve(tmp_path / "data", whole=by == "torch", max_memory_bytes=500_000_000) as service:
        final = (await service.events(await service.submit("use_memory", by=by)))[-1]
        assert (final["event"], final["reason"]) == ("failed", "out_of_memory"), final
        assert (await service.events(await service.submit("count")))[-1]["event"] == "completed"


async def test_a_file_beyond_the_limit_fails_the_training(tmp_path: Path) -> None:
    async with serve(tmp_path / "data", max_file_bytes=1_000_000) as service:
        final = (await service.events(await service.submit("write_a_large_file")))[-1]
        assert (final["event"], "File too large" in final["error"]) == ("failed", True), final


@linux
async def test_a_training_fits_into_limits(tmp_path: Path) -> None:
    data, model = make_dataset(tmp_path / "set"), tiny_model(tmp_path)
    options: dict[str, Any] = {"max_memory_bytes": 700_000_000, "max_file_bytes": 100_000_000}
    async with serve(tmp_path / "data", program="service.workers.programs:train", **options) as service:
        assert (await service.train(data, model, epochs=1))[-1]["event"] == "completed"
