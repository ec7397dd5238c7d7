"""What most tests need: a store, a fake-free service on a real socket, and programs instead of trainings."""

import asyncio
import contextlib
import os
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import pytest_asyncio
import uvicorn

from service.app import create_app
from service.settings import Settings
from service.store.store import Store
from service.web import sse_response
from tests import light
from tests.client import follow
from tests.house import House
from tests.releases import Releases
from tests.tiny import OFFLINE

if TYPE_CHECKING:
    from playwright.async_api import Browser

    from tests.browser import Tab

# Before a test imports Ultralytics, which reads it then.
os.environ.update(OFFLINE)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "data")
    yield opened
    opened.close()


@dataclass
class Running:
    """A service that runs in this process, and a client for it."""

    http: httpx.AsyncClient
    url: str
    port: int
    state: dict[str, Any]
    data: Path
    #: As the server keeps them.
    connections: set[Any]

    async def submit(self, do: str = "count", **hyperparameters: Any) -> str:
        """Queue the program `do` of `tests.trainings` past the payload's check; returns the job's id."""
        from service.job import Job

        name = f"{do}-{os.urandom(3).hex()}"
        request = {"model": "none", "hyperparameters": {"do": do, **hyperparameters}, "fit_params": {}}
        await asyncio.to_thread(self.state["runner"].submit, Job(id=name, request=request))
        return name

    async def train(self, data: Path, model: Path | str, **hyperparameters: Any) -> list[dict[str, Any]]:
        """All events of a small training of a model, where the service's program is the true one."""
        settings = {"epochs": 2, "imgsz": 32, "batch": 4, "plots": False, "cache": False} | hyperparameters
        fit_params = {"data": str(data), "tick_interval": 0.1}
        payload = {"model": str(model), "hyperparameters": settings, "fit_params": fit_params}
        response = await self.http.post("/train", json=payload)
        assert response.status_code == 202, response.text
        return await self.events(response.json()["job_id"])

    async def events(self, job_id: str, after: int = 0) -> list[dict[str, Any]]:
        """All events of a job up to its final one, checked for gaps."""
        return [event async for event in follow(self.http, f"/jobs/{job_id}/events", after)]

    async def clear(self) -> None:
        """End what a failed test has left running, or the module's other tests would wait behind it."""
        jobs = (await self.http.get("/jobs", params={"status": "queued,running"})).json()["jobs"]
        for job in jobs:
            await self.http.post(f"/jobs/{job['job_id']}/cancel")
        for job in jobs:
            await self.events(job["job_id"])

    async def snapshot(self, job_id: str) -> dict[str, Any]:
        return (await self.http.get(f"/jobs/{job_id}")).json()


class _Server(uvicorn.Server):
    """A server that leaves the process' signal handlers alone and hands out the lifespan's state."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def serve(
    data: Path, *, at: int = 0, table: bool = True, whole: bool = False, **options: Any
) -> AsyncIterator[Running]:
    """The real application under a real uvicorn, on a free port or on `at`; programs of `tests.trainings` train.

    It finds the table of Ultralytics' arguments in its cache, unless it is to read it anew. Where nothing is trained
    its forkserver may be a light one, unless it is to be the `whole` service.
    """
    usual = {"program": "tests.trainings:steer", "heartbeat_seconds": 60.0, "worker_env": light.measured()}
    settings = Settings(data_dir=data, **{**usual, **options})
    if table:
        light.TABLE.lend(data)
    whole = whole or not (table and light.TABLE.is_read() and settings.program.startswith("tests."))
    with light.preloaded(whole=whole):
        async with _served(settings, at) as running:
            try:
                yield running
            finally:
                if table:
                    light.TABLE.take(data)


@asynccontextmanager
async def _served(settings: Settings, at: int) -> AsyncIterator[Running]:
    app = create_app(settings)
    config = uvicorn.Config(app, loop="none", lifespan="on", log_config=None, access_log=False)
    server = _Server(config)
    with socket.create_server(("127.0.0.1", at)) as listener:
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as the service's own does
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        task = asyncio.create_task(server.serve(sockets=[listener]))
        while not server.started and not task.done():
            await asyncio.sleep(0.005)
        if task.done():
            await task
        state = dict(server.lifespan.state)
        limits = httpx.Limits(max_connections=None)
        try:
            async with httpx.AsyncClient(base_url=url, limits=limits, timeout=60) as http:
                port, connections = listener.getsockname()[1], server.server_state.connections
                yield Running(http, url, port, state, settings.data_dir, connections)
        finally:
            state["hub"].close()
            server.should_exit = True
            await task


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Running]:
    async with serve(tmp_path / "data") as running:
        yield running


@pytest.fixture(params=["transport", "stock"])
async def both_ways(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Running]:
    """A service that writes its streams to the transport, and one that leaves it to Starlette."""
    if request.param == "stock":
        monkeypatch.setattr(sse_response, "wire_of", lambda scope: None)
    async with serve(tmp_path / "data") as running:
        yield running


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    opened = House(tmp_path / "data")
    yield opened
    opened.close()


# Datasets


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Images and labels of three splits."""
    for split in ("train", "val", "test"):
        images = tmp_path / "images" / split
        images.mkdir(parents=True)
        (images / "a.PNG").touch()
        labels = tmp_path / "labels" / split
        labels.mkdir(parents=True)
        (labels / "a.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    return tmp_path


@pytest.fixture
def classes(tmp_path: Path) -> Path:
    """A classification dataset: a folder for each class of each split."""
    for split in ("train", "val"):
        for name in ("cat", "dog"):
            (tmp_path / "classes" / split / name).mkdir(parents=True)
            (tmp_path / "classes" / split / name / "a.jpg").touch()
    return tmp_path / "classes"


@pytest.fixture
def outside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder beside the dataset's, which no dataset may lead to."""
    folder = tmp_path_factory.mktemp("outside")
    (folder / "secret.png").touch()
    (folder / "secret.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    (folder / "data.yaml").write_text("names: [a]")
    return folder


# The net


@pytest.fixture
def net(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """No net; returns the hosts that were asked for."""

    def refuse(host: str, *_: Any, **__: Any) -> None:
        asked.append(host)
        raise socket.gaierror(socket.EAI_NONAME, "no net in tests")

    asked: list[str] = []
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    return asked


@pytest.fixture
def releases(monkeypatch: pytest.MonkeyPatch) -> Iterator[Releases]:
    """The web server that official weights come from."""
    from AI.model_trainer.ultralytics import downloads

    releases = Releases()
    thread = threading.Thread(target=releases.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setattr(downloads, "RELEASES", releases.url)
    monkeypatch.setenv("NO_PROXY", "*")
    yield releases
    releases.server.shutdown()
    releases.server.server_close()
    thread.join()


# The page


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator["Browser"]:
    from tests.browser import chromium

    async with chromium() as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shown(tmp_path_factory: pytest.TempPathFactory, browser: "Browser") -> AsyncIterator[Running]:
    """A service for a module's tests of the page. It needs the browser: where that is skipped, nothing starts."""
    async with serve(tmp_path_factory.mktemp("shown"), slots=2, program="tests.showcase:steer") as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def page(browser: "Browser", shown: Running) -> AsyncIterator["Tab"]:
    from tests.browser import tab

    try:
        async with tab(browser, shown.url) as opened:
            yield opened
    finally:
        await shown.clear()
