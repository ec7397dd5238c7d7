"""Clients that programs make from the OpenAPI document: they are whole, their types hold, and they work."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Running, serve

ROOT = Path(__file__).parent.parent
TSC = ROOT / "node_modules" / "typescript" / "bin" / "tsc"
#: Content that the generator does not know: it leaves those answers of the calls out, and says so.
UNKNOWN_CONTENT = "Unsupported content_type application/zip"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]  # a client of hundreds of files is written and checked


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Running]:
    async with serve(tmp_path / "service", program="tests.trainings:count") as running:
        await asyncio.wait_for(asyncio.shield(running.state["readiness"].catalog), 50)
        yield running


@pytest.fixture
def data(folder: Path) -> Path:
    file = folder / "data.yaml"
    file.write_text("train: images/train\nval: images/val\nnames: [a]\n")
    return file


async def output(*command: str | Path, folder: Path, **environment: str) -> str:
    """What a command says, which must succeed."""
    done = await asyncio.to_thread(
        subprocess.run, command, cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def read(said: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(said)
    return found


COUNTED = {"status": "completed", "epochs": [1, 2], "scores": [0.5]}


async def test_a_python_client_is_whole_typed_and_works(service: Running, data: Path, tmp_path: Path) -> None:
    document, settings = tmp_path / "openapi.json", tmp_path / "client.yaml"
    document.write_text((await service.http.get("/openapi.json")).text)
    settings.write_text("post_hooks: []\n")
    generator = (sys.executable, "-m", "openapi_python_client", "generate", "--meta", "none", "--config", settings)
    said = await output(
        *generator, "--path", document, "--output-path", tmp_path / "yolo_trainer_client", folder=tmp_path
    )
    assert "Unable to" not in said, said
    assert said.count("Cannot parse") == said.count(UNKNOWN_CONTENT), said
    script = ROOT / "tests" / "typed_client.py"
    checks = ("--strict", "--config-file=", "--follow-imports=silent", "--cache-dir", tmp_path / "mypy", script)
    await output(sys.executable, "-m", "mypy", *checks, folder=tmp_path, MYPYPATH=str(tmp_path))
    counted = await output(sys.executable, script, service.url, data, folder=tmp_path, PYTHONPATH=str(tmp_path))
    assert read(counted) == COUNTED


async def test_a_typescript_client_is_typed_and_works(service: Running, data: Path, tmp_path: Path) -> None:
    script = ROOT / "tests" / "js" / "typed_client.mts"
    language = ("--strict", "--target", "ES2023", "--lib", "ES2023,DOM", "--skipLibCheck")
    modules = ("--module", "ESNext", "--moduleResolution", "Bundler", "--outDir", tmp_path / "made")
    await output("node", TSC, *language, *modules, script, folder=ROOT)
    made = (tmp_path / "made" / "typed_client.mjs").as_uri()
    run = f"import {{ main }} from {made!r}; await main({service.url!r}, {str(data)!r})"
    assert read(await output("node", "--input-type=module", "-e", run, folder=tmp_path)) == COUNTED
