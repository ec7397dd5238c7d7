"""The recipes of docs/proxies.md, each with the program that it is for."""

import asyncio
import contextlib
import os
import re
import shutil
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.client import until
from tests.conftest import Running, serve

pytestmark = pytest.mark.timeout(60)  # the first start of a worker imports torch

RECIPES = (Path(__file__).parent.parent / "docs" / "proxies.md").read_text()
NAME = "train.example.org"
PAGE = {"Host": NAME, "Origin": f"http://{NAME}"}
MODULES = Path(os.environ.get("APACHE_MODULES", "/usr/lib/apache2/modules"))
APACHE = ("mpm_event", "authz_core", "proxy", "proxy_http", "headers")


@dataclass(frozen=True)
class Proxy:
    """How a recipe becomes a whole configuration, and the command that runs one."""

    program: str
    #: The recipe's line with the port, and what stands there in a test.
    port: tuple[str, str]
    whole: Callable[[str, Path], str]
    command: Callable[[Path], list[str]]


def _nginx(recipe: str, folder: Path) -> str:
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    paths = "".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)
    return f"daemon off; pid {folder}/pid; error_log stderr; events {{}} http {{ access_log off; {paths}\n{recipe} }}"


def _apache(recipe: str, folder: Path) -> str:
    modules = "\n".join(f"LoadModule {name}_module {MODULES}/mod_{name}.so" for name in APACHE)
    user = "User nobody\nGroup nogroup\nServerName localhost"  # as root it runs as somebody else
    return f"{modules}\n{user}\nPidFile {folder}/pid\nErrorLog /dev/stderr\nListen 127.0.0.1:PORT\n{recipe}"


PROXIES = {
    "nginx": Proxy(
        "nginx", ("listen 80;", "listen 127.0.0.1:PORT;"), _nginx,
        lambda file: ["-p", str(file.parent), "-c", str(file)],
    ),
    "caddy": Proxy(
        "caddy",
        (f"http://{NAME}:80 {{", f"http://{NAME}:PORT {{\n    bind 127.0.0.1"),
        lambda recipe, folder: f"{{\n    admin off\n}}\n{recipe}",
        lambda file: ["run", "--adapter", "caddyfile", "--config", str(file)],
    ),
    "haproxy": Proxy(
        "haproxy", ("bind :80", "bind 127.0.0.1:PORT"), lambda recipe, _: recipe, lambda file: ["-db", "-f", str(file)]
    ),
    "apache": Proxy(
        "apache2", ("<VirtualHost *:80>", "<VirtualHost 127.0.0.1:PORT>"), _apache,
        lambda file: ["-X", "-d", str(file.parent), "-f", str(file)],
    ),
}  # fmt: skip


@asynccontextmanager
async def running(name: str, service: Running, folder: Path) -> AsyncIterator[str]:
    """The proxy of this recipe in front of the service; its address."""
    proxy = PROXIES[name]
    program = shutil.which(proxy.program, path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
    if program is None:
        pytest.skip(f"{proxy.program} is not installed: its recipe is not tried")
    (recipe,) = re.findall(rf"```{name}\n(.*?)```", RECIPES, re.DOTALL)
    port = _free_port()
    for old, new in (proxy.port, ("127.0.0.1:8000", f"127.0.0.1:{service.port}")):
        assert old in recipe
        recipe = recipe.replace(old, new)
    file = folder / "proxy.conf"
    file.write_text(proxy.whole(recipe, folder).replace("PORT", str(port)))
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "XDG_DATA_HOME": str(folder)}
    errors = (folder / "stderr").open("wb")
    process = await asyncio.create_subprocess_exec(program, *proxy.command(file), env=environment, stderr=errors)
    try:
        await until(lambda: process.returncode is not None or _listens(port))
        assert process.returncode is None, (folder / "stderr").read_text()
        yield f"http://127.0.0.1:{port}"
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()
        errors.close()


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def _listens(port: int) -> bool:
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0


async def first(http: httpx.AsyncClient, path: str, text: str) -> httpx.Response:
    """The answer of a stream, once this text has come, while the stream is still open."""
    async with asyncio.timeout(20), http.stream("GET", path, headers={"Accept-Encoding": "gzip"}) as response:
        read = ""
        async for piece in response.aiter_text():
            read += piece
            if text in read:
                return response
    raise AssertionError(f"{path} ended without {text!r}")


@pytest.mark.parametrize("name", PROXIES)
async def test_page_api_and_streams_work_through_the_documented_proxy(name: str, tmp_path: Path) -> None:
    async with (
        serve(tmp_path / "data", allowed_host=(NAME,), heartbeat_seconds=0.5) as service,
        running(name, service, tmp_path) as address,
    ):
        job_id = await service.submit("speak_and_wait", gate=str(tmp_path / "gate"))
        async with httpx.AsyncClient(base_url=address, headers=PAGE, timeout=20) as http:
            for path in ("/", "/static/main.js", "/jobs"):
                assert (await http.get(path)).status_code == 200, path
            assert (await http.post("/jobs/nobody/cancel")).status_code == 404  # what another origin gets is a 403
            # The job goes on, and so do these: whatever held the first pieces back would hold them for good.
            await first(http, f"/jobs/{job_id}/events", "event: epoch_end")
            await first(http, "/events", job_id)
            await first(http, f"/jobs/{job_id}/logs?follow=1", "last words")
            page = await http.get(f"/jobs/{job_id}/events", headers={"Accept": "application/json"})
            assert page.json()["events"][0]["event"] == "queued"
            assert page.headers["content-type"] == "application/json"
            stream = await first(http, f"/jobs/{job_id}/events", "event: queued")
            assert stream.headers["content-type"].startswith("text/event-stream")
        (tmp_path / "gate").touch()
        await service.events(job_id)
