"""Every command and every program of the documentation that is meant to be copied is run."""

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.conftest import Running, serve
from tests.tiny import make_dataset, tiny_model

pytestmark = pytest.mark.timeout(60)  # the first start of a worker imports torch

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
#: Page and command, for each command of a block that is marked as shell.
COMMANDS = [
    (page.name, command)
    for page in PAGES
    for block in re.findall(r"^```sh\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
    for command in re.split(r"\n(?=\S)", block.strip())
    if "train.log" not in block  # the followed log that goes on after a cut: `test_logs` runs it, with cuts
]
#: The same for the blocks that are marked as Python.
PROGRAMS = [
    (page.name, program)
    for page in PAGES
    for program in re.findall(r"^```python\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
]
#: What has to have been trained before a program that goes on from a checkpoint.
BEFORE = """
from AI.model_trainer import train_from_payload
from tests.tiny import TINY

fit_params = {"data": "/abs/data.yaml", "epochs": 2, "checkpoints_dir": "kept"}
fit_params |= {"should_stop": lambda: True, "stop_after_epoch": True}
train_from_payload({"model": "yolov8n.yaml", "hyperparameters": TINY, "fit_params": fit_params})
"""


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Running]:
    async with serve(tmp_path / "data", program="tests.trainings:count") as running:
        yield running


def test_there_are_commands_to_run() -> None:
    assert len(COMMANDS) > 12
    assert {"README.md", "protocol.md", "operations.md"} <= {page for page, _ in COMMANDS}
    assert {"README.md", "protocol.md", "library.md"} == {page for page, _ in PROGRAMS}


@pytest.mark.parametrize(("page", "command"), COMMANDS)
async def test_a_command_of_the_documentation_works(service: Running, tmp_path: Path, page: str, command: str) -> None:
    data = make_dataset(tmp_path / "set")
    payload = {"model": "yolov8n.yaml", "fit_params": {"data": str(data)}}
    job_id = (await service.http.post("/train", json=payload)).json()["job_id"]
    if "cancel" not in command:
        await service.events(job_id)
    await asyncio.wait_for(asyncio.shield(service.state["readiness"].catalog), 30)
    real = command.replace("http://127.0.0.1:8000", service.url).replace("<id>", job_id)
    real = real.replace("/abs/data.yaml", str(data)).replace("curl ", "curl --fail-with-body ", 1)
    process = await asyncio.create_subprocess_shell(
        real, cwd=tmp_path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    output, errors = await asyncio.wait_for(process.communicate(), 30)
    if "-X POST" in command and "/jobs/" in command:
        assert job_id.encode() in output or b"epochs are done" in output  # 202, or 409 where it was faster or slower
    else:
        assert process.returncode == 0, (output, errors)
        assert output or (tmp_path / "run.zip").stat().st_size > 0


@pytest.mark.slow
@pytest.mark.timeout(120)  # each imports torch anew, which takes its time on a busy machine
@pytest.mark.parametrize(("page", "program"), PROGRAMS)
async def test_a_program_of_the_documentation_works(service: Running, tmp_path: Path, page: str, program: str) -> None:
    data, model = make_dataset(tmp_path / "set"), tiny_model(tmp_path)
    job_id = await service.submit("count")
    await service.events(job_id)
    real = (BEFORE + program if "epoch-000012" in program else program).replace("epoch-000012", "epoch-000001")
    real = real.replace("http://127.0.0.1:8000", service.url).replace("<id>", job_id)
    real = real.replace("/abs/data.yaml", str(data)).replace('"yolov8n.yaml"', repr(str(model)))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", real.replace('"epochs": 30', '"epochs": 1')),
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await asyncio.wait_for(process.communicate(), 100)
    assert process.returncode == 0, (output, errors)
    assert output
