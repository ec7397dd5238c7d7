"""Disks that are full, files that go away: a real small file system, filled and emptied."""

import asyncio
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.errors import StoreUnavailable
from tests import said
from tests.client import until
from tests.conftest import serve
from tests.events import epochs
from tests.house import House
from tests.process import gone
from tests.tiny import make_dataset

pytestmark = pytest.mark.timeout(60)  # the first start of a worker imports torch

MEGABYTE = 1_000_000


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of four megabytes."""
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    mounted = subprocess.run(command, capture_output=True, text=True)
    if mounted.returncode or not os.path.ismount(folder):
        pytest.skip(f"NOT TESTED: a full disk (needs the right to mount a tmpfs: {mounted.stderr.strip()})")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Take all the room there is."""
    assert os.path.ismount(folder)
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4_096)
        except OSError:
            return filler


def test_a_final_event_is_tried_until_there_is_room(small: Path, tmp_path: Path) -> None:
    house = House(small / "data")
    job_id = house.submit("wait", gate=str(tmp_path / "gate"))
    house.until(lambda: house.store.job(job_id).progress)
    filler = fill(small)
    pid = house.store.job(job_id).pid or 0
    while house.store.failing is None:  # what has room in the log's own pages is still written
        house.store.append(job_id, 1, said.log("x" * 60_000))
        house.until(lambda: house.store.waiting == 0 or house.store.failing)
    (tmp_path / "gate").touch()
    house.until(lambda: gone(pid))
    assert house.store.job(job_id).status == "running", "nothing is shown that is not written"
    with pytest.raises(StoreUnavailable, match="full"):
        house.submit("count")
    filler.unlink()
    assert house.end(job_id)["event"] == "completed"
    assert house.store.failing is None
    assert house.end(house.submit("count"))["event"] == "completed"
    house.close()
    again = House(small / "data")
    assert again.store.job(job_id).status == "completed"
    again.close()


def test_a_training_goes_on_without_room_for_its_checkpoints(small: Path, tmp_path: Path) -> None:
    """The log has its own room here; only the job's folder is full."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "jobs").symlink_to(small)
    house = House(tmp_path / "data")
    gate = tmp_path / "gate"
    job_id = house.submit("save_as_the_library_does", epochs=4, bytes=1 * MEGABYTE, gate=str(gate))
    house.until(lambda: house.store.job(job_id).checkpoint)
    filler = fill(small)
    gate.touch()
    house.until(lambda: (house.store.job(job_id).progress or {}).get("epoch") == 3)
    filler.unlink()
    (tmp_path / "gate2").touch()
    final = house.end(job_id)
    assert (final["event"], epochs(house.events(job_id))) == ("completed", [1, 2, 3, 4])
    told = [event["epoch"] for event in house.events(job_id) if event["event"] == "checkpoint"]
    assert told == [1, 4]
    assert any("could not be kept: [Errno 28]" in line for line in house.lines(job_id))
    house.close()


async def test_requests_are_refused_with_the_reason_and_leave_nothing(small: Path, tmp_path: Path) -> None:
    payload = {"model": "yolov8n.yaml", "fit_params": {"data": str(make_dataset(tmp_path / "set"))}}
    async with serve(small / "data", program="tests.trainings:count") as service:
        first = (await service.http.post("/train", json=payload)).json()["job_id"]
        await service.events(first)
        before = service.state["store"].read(first)
        filler = fill(small)
        refused = await service.http.post("/train", json=payload)
        assert refused.status_code == 503
        assert refused.headers["retry-after"]
        assert "full" in refused.json()["detail"] or "No space left" in refused.json()["detail"]
        assert len(list((small / "data" / "jobs").iterdir())) == 1
        assert (await service.http.get("/healthz")).status_code == 200
        assert (await service.http.get(f"/jobs/{first}")).json()["status"] == "completed"
        filler.unlink()
        taken = await service.http.post("/train", json=payload)
        assert taken.status_code == 202, taken.text
        assert (await service.events(taken.json()["job_id"]))[-1]["event"] == "completed"
        assert service.state["store"].read(first) == before


async def test_a_start_without_room_answers_and_goes_on_once_there_is_some(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.app.START_SECONDS", 0.1)
    house = House(small / "data")
    cut_off = house.submit("rehearse", epochs=2, gate=str(tmp_path / "gate"))
    house.until(lambda: house.store.job(cut_off).checkpoint)
    left = sqlite3.connect(small / "data" / "log.db")
    left.execute("SELECT * FROM jobs").fetchall()  # as after a crash, the log's files stay as they are
    house.close()
    filler = fill(small)
    (tmp_path / "gate").touch()
    async with serve(small / "data", table=False) as service:  # it can also leave without room
        assert (await service.http.get("/healthz")).status_code == 200
    async with serve(small / "data", table=False) as service:
        assert (await service.snapshot(cut_off))["status"] == "running", "as it was left"
        asked = ["/jobs/x/cancel", f"/jobs/{cut_off}/cancel", f"/jobs/{cut_off}/stop"]
        assert [(await service.http.post(path)).status_code for path in asked] == [503] * 3
        assert (await service.http.get("/readyz")).status_code == 503
        filler.unlink()
        assert (await service.events(cut_off))[-1]["event"] == "completed"
        await until(lambda: service.state["runner"].has_recovered)
    left.close()


async def test_a_full_disk_is_no_reason_not_to_delete(small: Path) -> None:
    async with serve(small / "data") as service:
        await asyncio.wait_for(service.state["readiness"].catalog, 60)  # it is written to the disk
        first, second, third = [await service.submit("rehearse", epochs=2) for _ in range(3)]
        for job_id in (first, second, third):
            await service.events(job_id)
        await until(lambda: (small / "data" / "reserve").exists())
        filler = fill(small)
        for job_id in (first, second):
            assert (await service.http.delete(f"/jobs/{job_id}")).status_code == 204
        await until(lambda: not service.state["store"].deletions())
        assert [path.name for path in (small / "data" / "jobs").iterdir()] == [third]
        filler.unlink()
        assert (await service.http.delete(f"/jobs/{third}")).status_code == 204
        await until(lambda: (small / "data" / "reserve").exists())
        fill(small)
    async with serve(small / "data") as service:  # nor not to start
        assert (await service.http.get("/jobs")).json()["jobs"] == []


async def test_the_data_folder_is_removed_under_a_running_service(tmp_path: Path) -> None:
    payload = {"model": "yolov8n.yaml", "fit_params": {"data": str(make_dataset(tmp_path / "set"))}}
    async with serve(tmp_path / "data", program="tests.trainings:count") as service:
        first = (await service.http.post("/train", json=payload)).json()["job_id"]
        await service.events(first)
        shutil.rmtree(tmp_path / "data")
        refused = await service.http.post("/train", json=payload)
        assert (refused.status_code, "log.db is gone" in refused.json()["detail"]) == (503, True)
        assert (await service.http.get("/readyz")).status_code == 503
        assert (await service.http.get("/healthz")).status_code == 200


async def test_a_job_whose_folder_is_removed_fails_with_a_reason(tmp_path: Path) -> None:
    async with serve(tmp_path / "data") as service:
        job_id = await service.submit("save_as_the_library_does", epochs=3, gate=str(tmp_path / "gate"))
        await until(lambda: service.state["store"].job(job_id).checkpoint)
        await asyncio.to_thread(shutil.rmtree, tmp_path / "data" / "jobs")
        (tmp_path / "gate").touch()
        final = (await service.events(job_id))[-1]
        assert (final["event"], final["reason"]) == ("failed", "error")
        assert "No such file or directory" in final["error"]
        assert (await service.events(await service.submit("count")))[-1]["event"] == "completed"
