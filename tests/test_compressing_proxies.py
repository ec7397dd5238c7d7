"""Proxies that compress: they let streams through as they come, since a stream looks like nothing to compress.

Caddy's `encode` decides by the first write, and what it has taken on it holds back until its buffer is full.
"""

import asyncio
import os
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.client import until
from tests.conftest import Running
from tests.sockets import leave
from tests.stand_in import append, create, finish

pytestmark = pytest.mark.timeout(60)  # the first start of a worker imports torch


@pytest.fixture
def service(both_ways: Running) -> Running:
    return both_ways


#: Bytes from which Caddy compresses.
WORTH_IT = 512


async def first_chunk(service: Running, path: str) -> bytes:
    """What is written first, by itself."""
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip\r\n\r\n".encode())
    async with asyncio.timeout(20):
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"content-encoding: identity\r\n" in head.lower()
        chunk = await reader.readexactly(int(await reader.readline(), 16))
    await leave(writer)
    return chunk


async def test_what_is_written_first_is_not_worth_compressing(service: Running) -> None:
    create(service)
    append(service, 500, lines=["a line that is not short at all"]).result()
    for path, begins in (
        ("/events", b"retry: "),
        ("/jobs/job/events", b"retry: "),
        ("/jobs/job/events?last_event_id=9999", b"retry: "),
        ("/jobs/job/logs?follow=1", b"a line that"),
        ("/jobs/job/logs?follow=1&tail=400", b"a line that"),
    ):
        chunk = await first_chunk(service, path)
        assert chunk.startswith(begins)
        assert len(chunk) < WORTH_IT, path
        assert b"event: " not in chunk


@asynccontextmanager
async def caddy(service: Running, folder: Path) -> AsyncIterator[int]:
    """Caddy before the service, with compression as its handbook shows it; its port."""
    program = shutil.which("caddy")
    if program is None:
        pytest.skip("caddy is not installed: nothing was tried with it")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    site = f"http://127.0.0.1:{port} {{\n encode gzip\n reverse_proxy 127.0.0.1:{service.port}\n}}\n"
    (folder / "Caddyfile").write_text("{\n admin off\n auto_https off\n}\n" + site)
    process = await asyncio.create_subprocess_exec(
        *(program, "run", "--config", "Caddyfile", "--adapter", "caddyfile"),
        cwd=folder,
        env={**os.environ, "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)},
        stderr=asyncio.subprocess.DEVNULL,
    )

    def listens() -> bool:
        with socket.socket() as tried:
            return tried.connect_ex(("127.0.0.1", port)) == 0

    try:
        await until(listens)
        yield port
    finally:
        process.kill()
        await process.wait()


async def test_caddy_passes_streams_and_followed_logs_on_as_they_come(service: Running, tmp_path: Path) -> None:
    create(service)
    append(service, 300, lines=["a line that is not short at all"]).result()
    async with caddy(service, tmp_path) as port:
        paths = {
            "/events": b"event: jobs",
            "/jobs/job/events": b"id: 301\n",
            "/jobs/job/logs?follow=1": b"at all\na line",
            "/jobs/job/logs?follow=1&tail=200": b"at all\na line",
        }
        for path, awaited in paths.items():
            for _ in range(2):  # from the disk, and from memory
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAccept-Encoding: gzip\r\n\r\n".encode())
                async with asyncio.timeout(20):
                    received = b""
                    while awaited not in received:
                        more = await reader.read(65_536)
                        assert more, received[-500:]
                        received += more
                await leave(writer)
    finish(service)
