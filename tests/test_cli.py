"""The service as a process of its own: started, found, killed, started again."""

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path

import httpx
import pytest

from service.__main__ import Serve, main
from service.demo import Demo
from tests.client import follow, until
from tests.process import ROOT, gone, run
from tests.tiny import make_dataset

pytestmark = pytest.mark.timeout(120)  # services start and end


async def test_it_says_where_it_listens_and_leaves_on_sigterm(tmp_path: Path) -> None:
    async with run(tmp_path / "data", whole=True) as service:
        assert service.url.startswith("http://127.0.0.1:")
        assert (await service.http.get("/healthz")).status_code == 200
        service.process.send_signal(signal.SIGTERM)
        assert await service.process.wait() in (0, -signal.SIGTERM)


@pytest.mark.parametrize("uvicorn", [False, True])
@pytest.mark.parametrize("readers", [50, pytest.param(500, marks=pytest.mark.slow)])
async def test_sigterm_ends_open_streams_cleanly_and_every_worker(tmp_path: Path, readers: int, uvicorn: bool) -> None:
    """Also beside readers that take nothing, of a stream that is longer than what the system buffers for them."""
    data = make_dataset(tmp_path / "set")
    async with (
        run(tmp_path / "data", program="talk_for_ever", uvicorn=uvicorn) as service,
        asyncio.TaskGroup() as group,
    ):
        job_id = await service.submit(data)
        pid = int((await service.first_epoch(job_id))["metrics"]["pid"])
        opened: list[asyncio.StreamWriter] = []

        async def read(path: str) -> bytes:
            reader, writer = await asyncio.open_connection("127.0.0.1", httpx.URL(service.url).port)
            writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
            first = await reader.readuntil(b"\n\n" if "events" in path else b"\r\n\r\n")
            opened.append(writer)
            try:
                return first + await reader.read()
            finally:
                writer.close()
                await writer.wait_closed()

        async def stall() -> None:
            with socket.create_connection(("127.0.0.1", httpx.URL(service.url).port)) as idle:
                idle.send(f"GET /jobs/{job_id}/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
                await service.process.wait()

        streams = [group.create_task(read(f"/jobs/{job_id}/events?types=started")) for _ in range(readers)]
        group.create_task(read(f"/jobs/{job_id}/logs?follow=1"))
        group.create_task(read("/events"))
        for _ in range(5):
            group.create_task(stall())
        await until(lambda: len(opened) == readers + 2)
        began = asyncio.get_running_loop().time()
        service.process.send_signal(signal.SIGTERM)
        await service.process.wait()
        took = asyncio.get_running_loop().time() - began
        assert took < 10 or readers < 500, "the promise of docs/operations.md, looked at in the long run only"
        for stream in streams:
            said = await stream
            assert said.count(b"retry: ") == 2, "one at the start, one at the end"
            assert said.endswith(b"0\r\n\r\n"), "the end of the last chunk"
        assert gone(pid)


async def test_sigterm_ends_streams_that_the_stock_class_carries(tmp_path: Path) -> None:
    """Where the protocol is not ours, and sse-starlette sees the signal too."""
    async with run(tmp_path / "data", "--http", "h11", uvicorn=True) as service, asyncio.TaskGroup() as group:
        opened: list[bytes] = []

        async def read() -> str:
            async with service.http.stream("GET", "/events") as response:
                opened.append(b"")
                return (await response.aread()).decode()

        streams = [group.create_task(read()) for _ in range(5)]
        await until(lambda: len(opened) == len(streams))
        service.process.send_signal(signal.SIGTERM)
        for stream in streams:
            assert (await stream).count("retry: ") == 2, "one at the start, one at the end"


async def test_a_second_service_on_the_same_folder_is_refused_in_one_line(tmp_path: Path) -> None:
    async with run(tmp_path / "data") as service:
        second = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "service", "serve", "--port", "0", "--data-dir", str(tmp_path / "data")),
            cwd=ROOT,
            stderr=asyncio.subprocess.PIPE,
        )
        _, said = await second.communicate()
        assert second.returncode == 1
        assert said.decode().count("\n") == 1
        assert said.decode().startswith("error: another service (or make demo) runs on")
        service.process.send_signal(signal.SIGTERM)


async def test_a_killed_service_loses_no_job_and_no_event(tmp_path: Path) -> None:
    data = make_dataset(tmp_path / "set")
    async with run(tmp_path / "data") as service:
        running = await service.submit(data)
        queued = [await service.submit(data) for _ in range(2)]
        epoch = await service.first_epoch(running)
        seen = epoch["seq"]
        before = (await service.http.get(f"/jobs/{running}/events", headers={"Accept": "application/json"})).json()
        service.process.kill()
    async with run(tmp_path / "data", program="count") as service:
        rest = await service.events(running, seen)
        kinds = [event["event"] for event in rest if event["event"] not in ("log", "tick", "epoch_end")]
        assert kinds == ["interrupted", "queued", "started", "completed"]
        assert [event["seq"] for event in rest if event["event"] != "tick"] == list(
            range(seen + 1, rest[-1]["seq"] + 1)
        )
        everything = await service.events(running)
        assert everything[: len(before["events"])] == before["events"]
        assert gone(int(epoch["metrics"]["pid"]))
        for job_id in queued:
            assert (await service.events(job_id))[-1]["event"] == "completed"
        service.process.send_signal(signal.SIGTERM)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--port", "99999"], "port: Input should be less than or equal to 65535"),
        (["--threads", "many"], "threads: "),
        (["--slots", "0"], "slots: "),
        (["--port", "x", "--slots", "x"], "port: Input should be a valid integer"),
        (["--port", "x", "--slots", "x"], "; slots: Input should be a valid integer"),
        (["--nonsense"], "unrecognized arguments: --nonsense; python -m service serve --help names the options"),
        (["--offline", "yes"], "unrecognized arguments: yes"),
        (["--data", "x"], "unrecognized arguments: --data x"),
    ],
)
async def test_a_wrong_option_is_told_by_name(tmp_path: Path, arguments: list[str], said: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "service", "serve", "--data-dir", str(tmp_path / "data"), *arguments),
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "200", "NO_COLOR": "1"},
        stderr=asyncio.subprocess.PIPE,
    )
    _, output = await process.communicate()
    assert process.returncode == 2
    assert said in output.decode()
    assert (output[:7], output.count(b"\n")) == (b"error: ", 1)


@pytest.mark.parametrize(
    ("arguments", "field", "value"),
    [
        (["--data-dir", "x y"], "data_dir", Path("x y")),
        (["--allowed-host", "A.example", "--allowed-host", "b"], "allowed_host", ("a.example", "b")),
        (["--allowed-host", "a,b"], "allowed_host", ("a", "b")),
        (["--data-root", "/x", "--data-root", "/y z"], "data_root", (Path("/x"), Path("/y z"))),
        (["--no-auto-resume"], "auto_resume", False),
        (["--offline"], "offline", True),
        (["--keep-days", "0.5"], "keep_days", 0.5),
        ([], "slots", 3),
        (["--slots", "2"], "slots", 2),
    ],
)
def test_flags_are_the_settings_and_beat_the_environment(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], field: str, value: object
) -> None:
    given: list[Serve] = []
    monkeypatch.setattr(Serve, "cli_cmd", given.append)
    monkeypatch.setenv("YOLO_TRAINER_SLOTS", "3")
    main(["serve", *arguments])
    assert getattr(given[0], field) == value


@pytest.mark.parametrize(
    ("arguments", "folder", "port"), [([], "given", 0), (["--data-dir", "other", "--port", "1"], "other", 1)]
)
def test_the_demo_has_the_folder_of_the_service_and_a_port_of_its_own(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], folder: str, port: int
) -> None:
    given: list[Demo] = []
    monkeypatch.setattr(Demo, "cli_cmd", given.append)
    monkeypatch.setenv("YOLO_TRAINER_DATA_DIR", "given")
    monkeypatch.setenv("YOLO_TRAINER_PORT", "8000")
    monkeypatch.setenv("PORT", "8000")
    main(["demo", *arguments])
    assert (given[0].data_dir, given[0].port) == (Path(folder), port)


def test_the_commands_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--help"])
    said = capsys.readouterr().out
    assert all(f"  {name}  " in said for name in ("serve", "demo", "mend "))
    with pytest.raises(SystemExit):
        main(["serv"])
    assert capsys.readouterr().err == "error: there is no command 'serv'; the commands are serve, demo, mend\n"


@pytest.mark.slow
@pytest.mark.timeout(900)  # services start and end
async def test_twenty_kills_in_a_row_lose_nothing(tmp_path: Path) -> None:
    """Every life of the service ends by SIGKILL at another moment; each log stays whole and each job gets its end."""
    data = make_dataset(tmp_path / "set")
    jobs: list[str] = []
    for life in range(20):
        async with run(tmp_path / "data", program="count_slowly") as service:
            jobs.append(await service.submit(data))
            reader = follow(service.http, f"/jobs/{jobs[-1]}/events")
            for _ in range(1 + life % 7):
                await anext(reader)
            service.process.kill()
            await reader.aclose()
    async with run(tmp_path / "data", program="count") as service:
        for job_id in jobs:
            events = await service.events(job_id)
            assert [event["event"] for event in events if event["event"] in ("completed", "failed")] == [
                events[-1]["event"]
            ]
        service.process.send_signal(signal.SIGTERM)
