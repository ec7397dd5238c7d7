"""The service as a process of its own, and what becomes of processes."""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx
import psutil

from tests import light
from tests.client import follow

ROOT = Path(__file__).parent.parent


@dataclass
class Process:
    process: asyncio.subprocess.Process
    http: httpx.AsyncClient
    url: str
    #: Lines on its stderr.
    said: list[str]

    async def submit(self, data: Path, **hyperparameters: Any) -> str:
        fit_params = {"data": str(data)}
        payload = {"model": "yolov8n.yaml", "hyperparameters": hyperparameters, "fit_params": fit_params}
        response = await self.http.post("/train", json=payload)
        assert response.status_code == 202, response.text
        return response.json()["job_id"]

    async def snapshot(self, job_id: str) -> dict[str, Any]:
        return (await self.http.get(f"/jobs/{job_id}")).json()

    async def events(self, job_id: str, after: int = 0) -> list[dict[str, Any]]:
        return [event async for event in follow(self.http, f"/jobs/{job_id}/events", after)]

    async def first_epoch(self, job_id: str) -> dict[str, Any]:
        async for event in follow(self.http, f"/jobs/{job_id}/events"):
            if event["event"] == "epoch_end":
                return event
        raise AssertionError("it ended before its first epoch")


@asynccontextmanager
async def run(
    data_dir: Path,
    *arguments: str,
    program: str = "wait_in_folder",
    uvicorn: bool = False,
    environment: Mapping[str, str] = MappingProxyType({}),
    within: Sequence[str] = (),
    whole: bool = False,
) -> AsyncIterator[Process]:
    """A running service, started by the command `within`; ended by SIGKILL if the test has not ended it.

    Where nothing is trained its forkserver is a light one, unless it is to be the `whole` service.
    """
    is_light = program and not whole
    if is_light:
        light.TABLE.lend(data_dir)
    environment = {**os.environ, **environment}
    if names := light.measured():
        environment["YOLO_TRAINER_WORKER_ENV"] = ",".join(
            filter(None, (environment.get("YOLO_TRAINER_WORKER_ENV"), *names))
        )
    if program:  # otherwise it trains
        environment["YOLO_TRAINER_PROGRAM"] = f"tests.trainings:{program}"
    if uvicorn:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        start = ["-c", light.UVICORN] if is_light else ["-m", "uvicorn"]
        command = [*start, "service.app:app", "--port", str(port), *arguments]
        environment["YOLO_TRAINER_DATA_DIR"] = str(data_dir)
    else:
        start = ["-c", light.COMMAND] if is_light else ["-m", "service"]
        command = [*start, "serve", "--port", "0", "--data-dir", str(data_dir), *arguments]
    process = await asyncio.create_subprocess_exec(
        *within, sys.executable, *command, env=environment, cwd=ROOT, stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    stderr, url = process.stderr, ""
    said: list[str] = []

    async def listen() -> None:
        said.extend([line.decode() async for line in stderr])

    try:
        async for line in stderr:
            said.append(line.decode())
            _, found, address = said[-1].partition("running on " if uvicorn else "listening on ")
            if found:
                url = address.split()[0]
                break
        assert url, said
        drain = asyncio.create_task(listen())
        async with httpx.AsyncClient(base_url=url, timeout=60) as http:
            yield Process(process, http, url, said)
        light.TABLE.take(data_dir)
        await process.wait()
        await drain
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def family(pid: int) -> list[int]:
    """The living processes of a worker's session."""
    return [process.pid for process in psutil.process_iter() if _session(process.pid) == pid and not gone(process.pid)]


def _session(pid: int) -> int:
    try:
        return os.getsid(pid)
    except OSError:
        return -1
