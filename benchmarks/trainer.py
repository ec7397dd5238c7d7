"""The service as its users run it, and the training that the benchmarks ask it for."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
from httpx_sse import connect_sse

from benchmarks.load import expect, process

#: Seconds for which an answer, or the next event of a stream, may take.
PATIENCE_SECONDS = 120


class Trainer:
    """A running service, spoken to over HTTP."""

    def __init__(self, url: str, pid: int) -> None:
        self.url = url
        self.port = httpx.URL(url).port or 80
        #: The service's own process, not its workers.
        self.process = psutil.Process(pid)
        self._http = httpx.Client(base_url=url, timeout=PATIENCE_SECONDS)

    @classmethod
    @contextmanager
    def running(cls, folder: Path, *options: str) -> "Iterator[Trainer]":
        """Start it on a free port with its data in `folder`; it ends with the block."""
        command = [sys.executable, "-m", "service", "serve", "--port", "0", "--data-dir", folder, *options]
        with process(command, stderr=subprocess.PIPE) as started:
            trainer = cls(expect(started.stderr, "listening on"), started.pid)
            threading.Thread(target=started.stderr.read, daemon=True).start()  # so that it never waits to log
            yield trainer

    def post(self, model: str, hyperparameters: Mapping[str, Any], fit_params: Mapping[str, Any]) -> str:
        """Ask for a training; returns the path of its job. While the service warms up, it waits."""
        body = {"model": model, "hyperparameters": dict(hyperparameters), "fit_params": dict(fit_params)}
        answer = self._http.post("/train", json=body)
        if answer.status_code != 202:
            raise RuntimeError(f"POST /train: {answer.status_code} {answer.text}")
        return str(answer.json()["links"]["self"])

    def events(self, job: str) -> Iterator[tuple[float, dict[str, Any]]]:
        """The job's events as they come, each with the moment (monotonic seconds) when it came."""
        with connect_sse(self._http, "GET", f"{job}/events") as source:
            for message in source.iter_sse():
                yield time.monotonic(), json.loads(message.data)
