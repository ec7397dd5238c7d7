"""What most tests need: a store, a fake-free service on a real socket, and programs instead of trainings."""

import asyncio
import contextlib
import os
import socket
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
from tests.client import follow

if TYPE_CHECKING:
    from playwright.async_api import Browser

    from tests.browser import Tab


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

    async def events(self, job_id: str, after: int = 0) -> list[dict[str, Any]]:
        """All events of a job up to its final one, checked for gaps."""
        return [event async for event in follow(self.http, f"/jobs/{job_id}/events", after)]

    async def snapshot(self, job_id: str) -> dict[str, Any]:
        return (await self.http.get(f"/jobs/{job_id}")).json()


class _Server(uvicorn.Server):
    """A server that leaves the process' signal handlers alone and hands out the lifespan's state."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def serve(data: Path, *, at: int = 0, **options: Any) -> AsyncIterator[Running]:
    """The real application under a real uvicorn, on a free port or on `at`; programs of `tests.trainings` train."""
    settings = Settings(data_dir=data, **{"program": "tests.trainings:steer", "heartbeat_seconds": 60.0, **options})
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
            async with httpx.AsyncClient(base_url=url, limits=limits, timeout=30) as http:
                yield Running(http, url, listener.getsockname()[1], state, data, server.server_state.connections)
        finally:
            state["hub"].close()
            server.should_exit = True
            await task


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Running]:
    async with serve(tmp_path / "data") as running:
        yield running


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

    async with tab(browser, shown.url) as opened:
        yield opened
