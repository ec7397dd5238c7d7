"""The reader of docs/protocol.md, as it stands there, through cuts and a restart."""

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.client import until
from tests.conftest import serve

pytestmark = pytest.mark.timeout(60)  # the first start of a worker imports torch

PROTOCOL = (Path(__file__).parent.parent / "docs" / "protocol.md").read_text()


class Relay:
    """An address that stays while the service behind it changes, and that can cut all connections."""

    def __init__(self) -> None:
        self.target = 0
        self.accepted = 0
        self._writers: list[asyncio.StreamWriter] = []

    async def serve(self) -> asyncio.Server:
        return await asyncio.start_server(self._relay, "127.0.0.1", 0)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            inner_reader, inner = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        self.accepted += 1
        self._writers += [writer, inner]
        await asyncio.gather(_copy(reader, inner), _copy(inner_reader, writer))

    def cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


def sample(address: str, job_id: str, told: Callable[..., None]) -> None:
    """Run the documented reader against this job."""
    (code,) = re.findall(r"```python\n(.*?)```", PROTOCOL, re.DOTALL)
    for old, new in (("http://127.0.0.1:8000", address), ("<id>", job_id), ("time.sleep(pause)", "time.sleep(0.05)")):
        assert old in code
        code = code.replace(old, new)
    exec(compile(code, "protocol.md", "exec"), {"print": told, "__name__": "sample"})


async def test_the_documented_reader_reads_each_event_once_through_cuts_and_a_restart(tmp_path: Path) -> None:
    relay = Relay()
    server = await relay.serve()
    address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    seen: list[dict[str, Any]] = []
    gate = tmp_path / "gate"
    async with serve(tmp_path / "data") as service:
        relay.target = service.port
        job_id = await service.submit("speak_and_wait", gate=str(gate))
        reader = asyncio.create_task(asyncio.to_thread(sample, address, job_id, lambda *about: seen.append(about[2])))
        for times in (1, 2, 3):
            await until(
                lambda times=times: relay.accepted == times and any(event["event"] == "started" for event in seen)
            )
            relay.cut()
        await until(lambda: relay.accepted == 4)
    async with serve(tmp_path / "data") as service:
        relay.target = service.port
        gate.touch()
        await reader
        whole = (await service.http.get(f"/jobs/{job_id}/events", headers={"Accept": "application/json"})).json()
    server.close()
    numbers = [event["seq"] for event in seen if "seq" in event]
    assert numbers == list(range(1, whole["last_seq"] + 1))
    assert {"interrupted", "completed"} <= {event["event"] for event in seen}
