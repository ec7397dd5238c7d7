"""A log.db that is damaged is named with what to do: at the start, and where it is met while the service runs."""

import asyncio
import logging
import os
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
import uvicorn

import service.app
from service.__main__ import main
from service.app import create_app
from service.errors import DataDirInUse, LogDamaged, StoreUnavailable
from service.job import Job
from service.settings import Settings
from service.store.mend import LOST, mend
from service.store.retention import Retention
from service.store.store import Store
from service.web import server
from tests import said
from tests.conftest import serve
from tests.process import ROOT

pytestmark = pytest.mark.timeout(60)  # the first start of a worker imports torch

PAGE = 4_096


def make(data: Path) -> Path:
    """A log of some length: twenty jobs that have failed, and one that waits."""
    store = Store(data)
    for number in range(20):
        store.create(Job(id=f"job{number}", request={"model": "m", "fit_params": {"data": "x" * 3_000}}))
        for _ in range(20):
            store.append(f"job{number}", 1, said.log("x" * 500))
        store.append(f"job{number}", 1, said.failed()).result()
    store.close()
    return data / "log.db"


def write(at: Callable[[int], int], pages: int = 1) -> Callable[[Path], None]:
    """Random bytes over whole pages, from a place that is chosen by the file's length."""

    def harm(log: Path) -> None:
        with log.open("r+b") as file:
            file.seek(at(log.stat().st_size) // PAGE * PAGE)
            file.write(os.urandom(pages * PAGE))

    return harm


in_the_middle = write(lambda size: size // 2, pages=10)
HARM: dict[str, Callable[[Path], None]] = {
    "its head": write(lambda size: 0),
    "all but its first page": lambda log: write(lambda size: PAGE, log.stat().st_size // PAGE - 1)(log),
    "cut in half": lambda log: os.truncate(log, log.stat().st_size // 2),
    "cut within its first page": lambda log: os.truncate(log, 2_000),
    "no database": lambda log: log.write_text("to be done\n") and None,
}


@pytest.mark.parametrize("harm", HARM.values(), ids=HARM.keys())
def test_a_start_names_the_file_and_what_to_do(tmp_path: Path, harm: Callable[[Path], None]) -> None:
    log = make(tmp_path / "data")
    harm(log)
    for _ in range(2):  # the folder is free again
        with pytest.raises(LogDamaged) as refused:
            Store(tmp_path / "data")
        assert str(refused.value).startswith(f"{log} is damaged (")
        assert f"mend --data-dir {tmp_path / 'data'}" in str(refused.value)


def test_a_row_that_is_no_job_is_damage(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.create(Job(id="a", request={}))
    store.close()
    with sqlite3.connect(tmp_path / "log.db") as log:
        log.execute("UPDATE jobs SET state = '{\"id\": 1'")
    log.close()
    with pytest.raises(LogDamaged, match="does not parse"):
        Store(tmp_path)


def test_an_empty_log_beside_folders_of_jobs_is_damage(tmp_path: Path) -> None:
    log = make(tmp_path / "data")
    os.truncate(log, 0)
    Store(tmp_path / "data").close()  # nothing is lost yet: it has no jobs
    os.truncate(log, 0)
    (tmp_path / "data" / "jobs" / "0123456789ab" / "run").mkdir(parents=True)
    with pytest.raises(LogDamaged, match=r"it is empty, but .*jobs has the folders of 1 jobs"):
        Store(tmp_path / "data")


@pytest.mark.timeout(120)  # services start
@pytest.mark.parametrize("how", ["serve", "uvicorn"])
async def test_the_commands_say_it_in_a_line(tmp_path: Path, how: str) -> None:
    log = make(tmp_path / "data")
    HARM["cut in half"](log)
    environment = {**os.environ, "YOLO_TRAINER_DATA_DIR": str(tmp_path / "data")}
    command = {"serve": ["service", "serve", "--port", "0"], "uvicorn": ["uvicorn", "service.app:app", "--port", "0"]}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", *command[how], env=environment, cwd=ROOT, stderr=asyncio.subprocess.PIPE
    )
    _, written = await process.communicate()
    text = written.decode()
    assert "Traceback" not in text
    (line,) = [line for line in text.splitlines() if "damaged" in line]
    assert f"{log} is damaged (database disk image is malformed)" in line
    if how == "serve":
        assert (process.returncode, text.splitlines()) == (1, [line])
        assert line.startswith("error: ")
    else:
        assert process.returncode != 0


async def test_a_folder_that_another_process_has_is_a_line_too(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store(tmp_path)
    config = uvicorn.Config(create_app(Settings(data_dir=tmp_path)), lifespan="on", log_config=None, port=0)
    with pytest.raises(SystemExit):
        await server.Server(config)._serve()
    store.close()
    assert "one process owns one data folder" in caplog.text
    assert "Traceback" not in caplog.text


async def test_damage_that_is_met_while_it_runs_is_told_by_every_answer(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = make(tmp_path / "data")
    in_the_middle(log)
    caplog.set_level(logging.INFO)
    async with serve(tmp_path / "data") as service:
        await service.state["readiness"].wait(60)
        assert (await service.http.get("/readyz")).status_code == 200, "nobody has met it yet"
        seen: set[int] = set()
        for path in [
            "/jobs",
            "/events",
            *(f"/jobs/job{number}/{what}" for number in range(20) for what in ("events", "logs")),
        ]:
            async with service.http.stream("GET", path) as answer:
                seen.add(answer.status_code)
                if answer.status_code == 503:
                    problem = await answer.aread()
                    assert f"{log} is damaged".encode() in problem
                    assert b'"code":"log_damaged"' in problem
                    assert "retry-after" not in answer.headers
                elif path.endswith("/events"):
                    async for line in answer.aiter_lines():
                        if "is damaged" in line or '"failed"' in line or path == "/events":
                            break
                    else:
                        raise AssertionError("a stream ended without a word")
        assert seen == {200, 503}
        ready = await service.http.get("/readyz")
        assert (ready.status_code, "is damaged" in ready.json()["detail"]) == (503, True)
        assert "yolo_trainer_log_failing 1.0" in (await service.http.get("/metrics")).text
        with pytest.raises(LogDamaged):
            await service.submit("count")
    assert caplog.text.count(f"{log} is damaged") == 1, "once in the service's log"
    assert "Traceback" not in caplog.text


def test_folders_that_no_job_has_are_named_and_those_of_cut_off_requests_go(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store(tmp_path)
    store.create(Job(id="known", request={}))
    jobs = tmp_path / "jobs"
    for name in ("known/run", "0123456789ab/run", "aaaaaaaaaaaa", "mine"):
        (jobs / name).mkdir(parents=True)
    (jobs / "aaaaaaaaaaaa" / "data.yaml").write_text("names: [a]")
    retention = Retention(store, jobs, keep_days=None, keep_jobs=None)
    retention.tell_strangers()
    assert f"2 folders in {jobs} belong to no job in the log: 0123456789ab, mine." in caplog.text
    assert sorted(path.name for path in jobs.iterdir()) == ["0123456789ab", "known", "mine"]
    store.close()


def events_of(store: Store, job: Job) -> list[dict[str, Any]]:
    return [orjson.loads(record.data) for record in store.read(job.id, 0, 1_000)]


def test_what_can_be_read_of_a_damaged_log_is_saved_and_its_numbers_have_no_holes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = make(tmp_path / "data")
    in_the_middle(log)
    main(["mend", "--data-dir", str(tmp_path / "data")])
    told = capsys.readouterr().out.splitlines()
    saved, lost = [[int(word) for word in line.split() if word.isdigit()] for line in told]
    assert saved[0] + lost[0] == 20
    assert saved[1] > 300
    assert lost[1] > 0
    store = Store(tmp_path / "data")
    jobs = store.jobs()
    assert len(jobs) == saved[0]
    fillers = 0
    for job in jobs:
        events = events_of(store, job)
        assert [event["seq"] for event in events] == list(range(1, job.last_seq + 1))
        fillers += sum(event["event"] == "log" and event["lines"] == [LOST] for event in events)
        if job.is_final:
            assert (events[-1]["event"], job.status) == ("failed", "failed")
    assert fillers > 0
    assert store.create(Job(id="new", request={})).number > max(job.number for job in jobs)
    store.close()
    (old,) = (tmp_path / "data").glob("log.damaged-*.db")
    assert old.stat().st_size > 0


def test_a_job_whose_row_is_lost_is_what_its_events_say(tmp_path: Path) -> None:
    log = make(tmp_path)
    store = Store(tmp_path)
    before = store.job("job7")
    store.close()
    with sqlite3.connect(log) as rows:
        rows.execute("UPDATE jobs SET state = 'no job' WHERE id = 'job7'")
    rows.close()
    assert mend(tmp_path).lost_jobs == 0
    store = Store(tmp_path)
    after = store.job("job7")
    assert (after.status, after.last_seq, after.request, after.number) == ("failed", 22, before.request, before.number)
    store.close()


def test_a_log_of_which_nothing_can_be_read_stays_as_it_is(tmp_path: Path) -> None:
    log = make(tmp_path)
    write(lambda size: 0)(log)
    content = log.read_bytes()
    with pytest.raises(SystemExit, match=r"^error: .*can be read"):
        main(["mend", "--data-dir", str(tmp_path)])
    assert log.read_bytes() == content
    os.truncate(log, 0)
    with pytest.raises(StoreUnavailable, match="is empty: put a backup in its place"):
        mend(tmp_path)


def test_a_whole_log_is_the_same_after_mending(tmp_path: Path) -> None:
    make(tmp_path)
    store = Store(tmp_path)
    before = [(job, store.read(job.id, 0, 1_000)) for job in store.jobs()]
    with pytest.raises(DataDirInUse):
        mend(tmp_path)
    store.close()
    saved = mend(tmp_path)
    assert (saved.jobs, saved.lost_jobs, saved.lost_events) == (20, 0, 0)
    store = Store(tmp_path)
    assert [(job, store.read(job.id, 0, 1_000)) for job in store.jobs()] == before
    store.close()


def test_an_application_is_one_application() -> None:
    assert service.app.app is service.app.app
    assert isinstance(service.app.app, service.app.Service)


async def test_a_log_that_cannot_be_read_is_no_fault_of_the_service(tmp_path: Path) -> None:
    async with serve(tmp_path / "data") as service:
        service.state["store"]._reading.close()
        answer: httpx.Response = await service.http.get("/jobs")
        assert (answer.status_code, answer.json()["code"]) == (503, "store_unavailable")
        assert "the log cannot be read" in answer.json()["detail"]
