"""Nothing is lost and nothing is left: every way to end, at every place of a training, and how it goes on.

The training is `tests.trainings.rehearse`: it has no model, but keeps real checkpoints.
"""

import asyncio
import contextlib
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from AI.model_trainer.checkpoints import generations
from service import going_on
from service.errors import JobNotRunning, NothingToResume
from service.going_on import Checkpoint
from service.job import Job
from service.snapshot import Resumable
from service.store.store import Store
from service.workers import forkserver
from service.workers.processes import ProcessGroup, start_of
from service.workers.spec import TrainSpec
from service.workers.supervisor import Supervisor
from tests import said
from tests.client import follow, until
from tests.events import epochs, finals
from tests.house import House
from tests.places import AT, PLACES, reach
from tests.process import Process, family, gone, run
from tests.tiny import make_dataset
from tests.trainings import read_weights, save

pytestmark = pytest.mark.timeout(60)  # the first start of a worker imports torch

slow = pytest.mark.slow


def cells(places: list[str], whats: list[str], fast: set[tuple[str, str]]) -> list[Any]:
    """Every place with every fault; all but the fast ones are for the long run."""
    return [
        pytest.param(place, what, marks=[] if (place, what) in fast else [slow], id=f"{place}-{what}")
        for place in places
        for what in whats
    ]


def rehearsal(fault: str) -> dict[str, str]:
    """The environment of a service whose jobs of three epochs come to this fault."""
    return {"REHEARSAL_3": fault, "YOLO_TRAINER_WORKER_ENV": "REHEARSAL_3"}


def check_over(house: House, job_id: str, final: str) -> None:
    """One final event, contiguous ids (`events` looks), no process left, and the slot is free for the next job."""
    events = house.events(job_id)
    assert all(ends == [] or len(ends) == 1 for ends in finals(events).values())
    assert events[-1]["event"] == final, events[-1]
    assert family(house.store.job(job_id).pid or -2) == []
    assert house.end(house.submit("rehearse", epochs=1))["event"] == "completed"


def check_goes_on(house: House, job_id: str, has_checkpoint: bool) -> None:
    """It resumes to its end, each epoch once; or says that there is nothing to resume."""
    if not has_checkpoint:
        with pytest.raises(NothingToResume, match="before its first checkpoint"):
            house.runner.resume(job_id)
        return
    house.runner.resume(job_id)
    final = house.end(job_id)
    assert (final["event"], final["attempt"]) == ("completed", 2), final
    assert epochs(house.events(job_id)) == [1, 2, 3]


# The worker


@pytest.mark.parametrize(
    ("place", "what"),
    cells(
        PLACES,
        ["kill", "term", "exit", "raise", "segfault"],
        set(zip(PLACES, ["raise", "kill", "segfault", "exit", "term"], strict=True)) | {("saving", "kill")},
    ),
)
def test_a_worker_comes_to_grief(house: House, place: str, what: str) -> None:
    job_id = house.submit("rehearse", epochs=3, fault=[place, AT[place], what])
    final = house.end(job_id)
    reasons = {"kill": "killed", "term": "killed", "exit": "exited", "raise": "error", "segfault": "crashed"}
    assert (final["event"], final["reason"]) == ("failed", reasons[what])
    check_over(house, job_id, "failed")
    check_goes_on(house, job_id, place != "checking_data")


@pytest.mark.parametrize(
    ("place", "what"),
    cells(
        PLACES,
        ["hang", "hang_deaf", "hang_in_c", "hang_with_child", "swallow"],
        {(place, "hang") for place in PLACES} | {("training", "hang_in_c"), ("validating", "hang_with_child")},
    ),
)
def test_a_cancel_ends_it_wherever_it_is(tmp_path: Path, place: str, what: str) -> None:
    house = House(tmp_path / "data", grace_seconds=0.2)
    job_id = house.submit("rehearse", epochs=3, fault=[place, AT[place], what])
    reach(house, job_id, place)
    house.runner.cancel(job_id)
    assert house.end(job_id)["event"] == "cancelled"
    check_over(house, job_id, "cancelled")
    check_goes_on(house, job_id, place != "checking_data")
    house.close()


def test_a_cooperative_cancel_needs_no_force(tmp_path: Path) -> None:
    """With a grace that no test waits for."""
    house = House(tmp_path / "data", grace_seconds=600)
    for place in PLACES:
        job_id = house.submit("rehearse", epochs=3, fault=[place, AT[place], "hang"])
        reach(house, job_id, place)
        house.runner.cancel(job_id)
        house.runner.cancel(job_id)
        assert house.end(job_id)["event"] == "cancelled"
    house.close()


@pytest.mark.parametrize("place", [pytest.param(p, marks=[] if p == "saving" else [slow]) for p in PLACES])
@pytest.mark.timeout(120)  # forkservers or services die
def test_the_forkserver_dies(tmp_path: Path, place: str) -> None:
    """Its worker trains on, and can still be ended with all that it started."""
    house = House(tmp_path / "data", grace_seconds=0.2)
    job_id = house.submit("rehearse", epochs=3, fault=[place, AT[place], "hang_with_child"])
    reach(house, job_id, place)
    house.until(lambda: len(family(house.store.job(job_id).pid or -2)) == 2)
    os.kill(forkserver.pid() or 0, signal.SIGKILL)
    house.until(lambda: forkserver.fault())
    house.runner.cancel(job_id)
    assert house.end(job_id)["event"] == "cancelled"
    check_over(house, job_id, "cancelled")
    check_goes_on(house, job_id, place != "checking_data")
    house.close()


def wait_for_a_write(checkpoints: Path) -> None:
    """It lasts a few milliseconds, less than it takes until an event tells of it: so look without a pause."""
    deadline = time.monotonic() + 40
    while not any(checkpoints.glob(".part-*")):
        assert time.monotonic() < deadline, "no checkpoint is written"


@slow
@pytest.mark.timeout(300)  # forkservers or services die
def test_fifty_kills_while_checkpoints_are_written(house: House, tmp_path: Path) -> None:
    """Each attempt is killed at a random moment of a write; what it leaves can always be gone on from."""
    chance = random.Random(0)
    job_id = house.submit("rehearse", epochs=10_000, bytes=4_000_000)
    folder = house.data / "jobs" / job_id / "checkpoints"
    for attempt in range(1, 51):
        newest = house.store.job(job_id).checkpoint
        house.until(lambda newest=newest: house.store.job(job_id).checkpoint not in (None, newest))
        wait_for_a_write(folder)
        house.changed.acquire()
        house.changed.wait(chance.random() * 0.02)
        house.changed.release()
        os.kill(house.store.job(job_id).pid or 0, signal.SIGKILL)
        assert house.end(job_id)["reason"] == "killed"
        kept = generations(folder)
        assert [read_weights(generation.last) for generation in kept] == [generation.epoch for generation in kept]
        house.runner.resume(job_id)
        assert house.store.job(job_id).attempt == attempt + 1
    house.runner.cancel(job_id)
    house.end(job_id)
    told = epochs(house.events(job_id))
    assert told == list(range(1, len(told) + 1)), "each epoch once"


# Stop and resume


def test_a_stop_ends_the_epoch_and_can_be_resumed_to_the_planned_end(house: House, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    job_id = house.submit("rehearse", epochs=4, gate=str(gate))
    house.until(lambda: house.store.job(job_id).checkpoint)
    assert house.runner.stop(job_id).stop_requested
    assert house.runner.stop(job_id).stop_requested
    gate.touch()
    final = house.end(job_id)
    assert (final["event"], final["reason"]) == ("completed", "stopped")
    with pytest.raises(JobNotRunning, match="completed"):
        house.runner.stop(job_id)
    done = epochs(house.events(job_id))[-1]
    assert house.store.job(job_id).snapshot()["resume"] == Resumable(done, 4, needs_epochs=False)
    resumed = house.runner.resume(job_id)
    assert (resumed.attempt, resumed.stop_requested, resumed.reason) == (2, False, "resumed")
    assert house.end(job_id)["reason"] == "finished"
    assert epochs(house.events(job_id)) == [1, 2, 3, 4]


def test_more_epochs_after_the_end_and_only_with_more(house: House) -> None:
    job_id = house.submit("rehearse", epochs=2)
    with pytest.raises(NothingToResume, match=r"is (queued|running)"):
        house.runner.resume(job_id)
    house.end(job_id)
    for total in (None, 1, 2):
        with pytest.raises(NothingToResume, match="2 epochs are done already"):
            house.runner.resume(job_id, total)
    assert house.store.job(job_id).snapshot()["resume"] == Resumable(2, 2, needs_epochs=True)
    house.runner.resume(job_id, 5)
    final = house.end(job_id)
    assert (final["event"], final["attempt"]) == ("completed", 2)
    assert epochs(house.events(job_id)) == [1, 2, 3, 4, 5]
    assert [event["event"] for event in house.events(job_id) if event["event"] in ("queued", "completed")] == [
        "queued",
        "completed",
        "queued",
        "completed",
    ]


def test_the_log_is_bounded_over_all_attempts(tmp_path: Path) -> None:
    house = House(tmp_path / "data", max_log_bytes=1_000)
    job_id = house.submit("rehearse", epochs=3, lines=30, fault=["training", 2, "raise"])
    house.end(job_id)
    house.runner.resume(job_id)
    house.end(job_id)
    kept = house.lines(job_id)
    assert kept.count("[the log is full: what follows is not kept]") in (1, 2)  # by an attempt that found it full, too
    assert sum(len(line) + 1 for line in kept if "full" not in line) <= 1_000
    assert house.store.job(job_id).log_bytes >= 900
    house.close()


def test_a_resume_without_its_checkpoints_is_refused(house: House) -> None:
    job_id = house.submit("rehearse", epochs=3, fault=["training", 2, "kill"])
    house.end(job_id)
    for generation in generations(house.data / "jobs" / job_id / "checkpoints"):
        generation.last.unlink()
    with pytest.raises(NothingToResume, match="are gone"):
        house.runner.resume(job_id)


def test_a_waiting_job_cannot_be_stopped(house: House, tmp_path: Path) -> None:
    running = house.submit("wait", gate=str(tmp_path / "gate"))
    waiting = house.submit("rehearse", epochs=1)
    with pytest.raises(JobNotRunning, match="queued"):
        house.runner.stop(waiting)
    (tmp_path / "gate").touch()
    assert house.end(running)["event"] == house.end(waiting)["event"] == "completed"


@pytest.fixture
def leaving(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Keeps the supervisors of first attempts from leaving after their final event, until it is set."""
    leave, as_ever = threading.Event(), Supervisor._wait_for

    def wait_for(supervisor: Supervisor, written: Any) -> None:
        as_ever(supervisor, written)
        if isinstance(supervisor._spec, TrainSpec) and supervisor._spec.attempt == 1:
            leave.wait()

    monkeypatch.setattr(Supervisor, "_wait_for", wait_for)
    yield leave
    leave.set()


def test_a_resume_while_the_attempt_before_is_leaving_costs_no_slot(tmp_path: Path, leaving: threading.Event) -> None:
    house = House(tmp_path / "data", devices=(None, None), grace_seconds=0.2)
    job_id = house.submit("rehearse", epochs=3, fault=["training", 2, "hang"], always=True)
    reach(house, job_id, "training")
    house.runner.cancel(job_id)
    assert house.end(job_id)["event"] == "cancelled"
    house.runner.resume(job_id)
    reach(house, job_id, "training", attempt=2)
    leaving.set()
    house.until(lambda: len(house.runner._free) == 1)
    house.runner.cancel(job_id)
    assert house.end(job_id)["event"] == "cancelled"
    house.until(lambda: len(house.runner._free) == 2)
    house.close()


def test_a_cancel_of_the_next_attempt_while_the_one_before_is_leaving(house: House, leaving: threading.Event) -> None:
    job_id = house.submit("rehearse", epochs=3, fault=["training", 2, "kill"])
    house.end(job_id)
    assert house.runner.resume(job_id).attempt == 2
    house.runner.cancel(job_id)
    assert (house.end(job_id)["event"], house.store.job(job_id).attempt) == ("cancelled", 2)
    leaving.set()
    check_goes_on_from(house, job_id, attempt=3)


def check_goes_on_from(house: House, job_id: str, attempt: int) -> None:
    house.runner.resume(job_id)
    final = house.end(job_id)
    assert (final["event"], final["attempt"]) == ("completed", attempt), final


def test_a_cancel_between_a_resume_and_its_place_in_the_queue(house: House, tmp_path: Path) -> None:
    """The two requests are taken apart here: each has a commit and what follows from it."""
    job_id = house.submit("rehearse", epochs=3, fault=["training", 2, "kill"])
    house.end(job_id)
    busy = house.submit("wait", gate=str(tmp_path / "gate"))
    resumed = house.store.resume(job_id, None, [1])
    house.runner.cancel(job_id)
    house.runner._enqueue(resumed)
    assert house.store.job(job_id).status == "cancelled", "though no slot is free"
    house.store.request_cancel(job_id)
    house.runner.resume(job_id)
    house.runner._end_if_cancelled(job_id)  # that cancel was for the attempt before
    assert house.runner.load()["waiting"] == 1
    (tmp_path / "gate").touch()
    assert house.end(busy)["event"] == house.end(job_id)["event"] == "completed"


def test_any_number_of_stops_leaves_room_for_a_cancel(tmp_path: Path) -> None:
    house = House(tmp_path / "data", grace_seconds=0.2)
    job_id = house.submit("rehearse", epochs=3, fault=["training", 2, "hang"])
    reach(house, job_id, "training")
    os.kill(house.store.job(job_id).pid or 0, signal.SIGSTOP)
    for _ in range(20_000):  # each once filled a bit of a pipe that nobody reads
        house.runner._running[job_id].stop()
    house.runner.cancel(job_id)
    assert house.end(job_id)["event"] == "cancelled"
    house.close()


# The service: ended in order here, killed in the tests below


def test_interrupted_jobs_go_on_before_queued_ones(tmp_path: Path) -> None:
    house = House(tmp_path / "data")
    running = house.submit("rehearse", epochs=3, gate=str(tmp_path / "gate"))
    queued = house.submit("rehearse", epochs=1)
    house.until(lambda: house.store.job(running).checkpoint)
    pid = house.store.job(running).pid or 0
    house.close()
    assert gone(pid)
    (tmp_path / "gate").touch()
    again = House(tmp_path / "data")
    assert again.end(running)["event"] == again.end(queued)["event"] == "completed"
    events = again.events(running)
    kinds = [event["event"] for event in events if event["event"] not in ("log", "phase", "checkpoint", "epoch_end")]
    assert kinds == ["queued", "started", "interrupted", "queued", "started", "completed"]
    assert epochs(events) == [1, 2, 3]
    (resumed,) = [event for event in events if event["event"] == "queued" and event["attempt"] == 2]
    assert (resumed["reason"], resumed["resume"]) == ("interrupted", {"epoch": 1, "finish": False})
    assert events[-1]["time"] < again.events(queued)[-1]["time"]
    again.close()


def test_an_interrupted_job_whose_folder_was_deleted_begins_anew(tmp_path: Path) -> None:
    house = House(tmp_path / "data")
    job_id = house.submit("rehearse", epochs=3, fault=["training", 2, "hang"])
    house.until(lambda: house.store.job(job_id).checkpoint)
    house.close()
    shutil.rmtree(tmp_path / "data" / "jobs" / job_id)
    again = House(tmp_path / "data")
    assert again.end(job_id)["event"] == "completed"
    (queued,) = [event for event in again.events(job_id) if event["event"] == "queued" and event["attempt"] == 2]
    assert queued["resume"] is None
    again.close()


def test_without_auto_resume_an_interrupted_job_has_failed_and_can_be_resumed(tmp_path: Path) -> None:
    house = House(tmp_path / "data")
    job_id = house.submit("rehearse", epochs=3, fault=["training", 2, "hang"])
    house.until(lambda: house.store.job(job_id).checkpoint)
    house.close()
    again = House(tmp_path / "data", auto_resume=False)
    assert [event["event"] for event in again.events(job_id)[-2:]] == ["interrupted", "failed"]
    assert again.store.job(job_id).reason == "interrupted"
    check_goes_on(again, job_id, True)
    again.close()


@pytest.mark.parametrize("fault", [["checking_data", 0, "hang"], ["training", 2, "hang"]])
def test_three_interruptions_without_a_new_checkpoint_end_a_job(tmp_path: Path, fault: list[Any]) -> None:
    house = House(tmp_path / "data")
    job_id = house.submit("rehearse", epochs=3, fault=fault, always=True)
    first = 1 if fault[0] == "training" else 0  # the attempt that made a checkpoint does not count
    for attempt in range(1, 4 + first):
        assert house.store.job(job_id).attempt == attempt
        reach(house, job_id, fault[0], attempt)
        house.die()
        house = House(tmp_path / "data")
    job = house.store.job(job_id)
    assert (job.status, job.reason, job.attempt) == ("failed", "interrupted", 3 + first)
    assert "3 times without a new checkpoint" in str(job.error)
    assert len([event for event in house.events(job_id) if event["event"] == "interrupted"]) == 3 + first
    house.close()


def test_planned_restarts_do_not_end_a_training_whose_epoch_is_long(tmp_path: Path) -> None:
    """What lost it three times without a new checkpoint was no deploy: only those deaths count."""
    house = House(tmp_path / "data")
    job_id = house.submit("rehearse", epochs=3, fault=["training", 2, "hang"], always=True)
    ends = [House.close, House.close, House.close, House.die, House.close, House.die, House.close, House.die]
    for attempt, end in enumerate(ends, 1):
        reach(house, job_id, "training", attempt)
        end(house)
        house = House(tmp_path / "data")
    told = [event["planned"] for event in house.events(job_id) if event["event"] == "interrupted"]
    assert told == [end is House.close for end in ends]
    job = house.store.job(job_id)
    assert (job.status, job.reason) == ("failed", "interrupted")
    assert "3 times without a new checkpoint" in str(job.error)
    house.close()


@pytest.mark.parametrize("waits", [False, True])
def test_a_log_behind_its_checkpoints_tells_the_epoch_that_the_training_goes_on_from(
    tmp_path: Path, waits: bool
) -> None:
    """As with an older copy of the log: its own checkpoint is not there any more."""
    house = House(tmp_path / "data")
    job_id = house.submit("rehearse", epochs=6, fault=["training", 2, "hang"])
    house.until(lambda: house.store.job(job_id).checkpoint)
    house.close()
    for epoch in (4, 5):
        save(tmp_path / "data" / "jobs" / job_id, epoch, 1_000, lambda: None)
    if waits:
        store = Store(tmp_path / "data")
        job = store.append(job_id, 1, said.interrupted()).result()
        store.append(job_id, 2, going_on.queued(going_on.next_attempt(job.course), "interrupted")).result()
        store.close()
    again = House(tmp_path / "data")
    assert again.end(job_id)["event"] == "completed"
    queued = [event for event in again.events(job_id) if event["event"] == "queued"]
    assert queued[-1]["resume"] == {"epoch": 4, "finish": False}
    assert epochs(again.events(job_id)) == [1, 5, 6]
    again.close()


def test_a_resume_tells_the_epoch_that_it_goes_on_from(house: House) -> None:
    job_id = house.submit("rehearse", epochs=6, fault=["training", 3, "kill"])
    house.end(job_id)
    shutil.rmtree(house.data / "jobs" / job_id / "checkpoints" / "epoch-000002")
    assert house.runner.resume(job_id).checkpoint == Checkpoint(1, 6)
    house.end(job_id)
    assert epochs(house.events(job_id)) == [1, 2, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("has_checkpoint", [True, False])
def test_a_stop_that_was_acknowledged_survives_the_service(tmp_path: Path, has_checkpoint: bool) -> None:
    house = House(tmp_path / "data")
    fault = ["training", 2, "hang"] if has_checkpoint else ["training", 1, "hang"]
    job_id = house.submit("rehearse", epochs=3, fault=fault)
    house.until(lambda: house.store.job(job_id).phase == "training")
    if has_checkpoint:
        house.until(lambda: house.store.job(job_id).checkpoint)
    house.store.request_stop(job_id)
    house.close()
    again = House(tmp_path / "data")
    final = again.end(job_id)
    assert (final["event"], final["reason"], epochs(again.events(job_id))) == ("completed", "stopped", [1])
    again.close()


def test_a_final_evaluation_that_the_service_interrupted_is_all_that_is_left(tmp_path: Path) -> None:
    house = House(tmp_path / "data")
    job_id = house.submit("rehearse", epochs=3, fault=["finishing", 3, "hang"])
    house.until(lambda: house.store.job(job_id).phase == "finishing")
    house.close()
    again = House(tmp_path / "data")
    assert again.end(job_id)["event"] == "completed"
    assert epochs(again.events(job_id)) == [1, 2, 3]
    again.close()


def test_only_a_final_evaluation_is_left_however_often_it_is_interrupted() -> None:
    """Of a run that ended before its planned epochs: it had made no progress, say."""
    job = Job(id="x", request={})
    here = {"attempt": 1, "time": 1.0, "seq": 1}
    for event in (
        said.queued(),
        said.started(),
        said.checkpoint(4, 9),
        said.epoch_end(4, 9),
        said.phase("finishing", 4, 9),
    ):
        job = job.apply({**event, **here})
    for attempt in (2, 3):
        job = job.apply({**said.interrupted(), **here})
        queued = going_on.queued(going_on.next_attempt(job.course), "interrupted")
        assert queued["resume"] == {"epoch": 4, "finish": True}
        job = job.apply({**queued, **here, "attempt": attempt}).apply({**said.started(), **here})


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a boot has no id")
def test_a_group_of_the_same_number_after_a_boot_is_left_alone() -> None:
    """A daemon's, whose leader has ended as they do: nothing but the boot tells it from the worker's."""
    leader = subprocess.Popen(["sh", "-c", "sleep 600 & read line"], stdin=subprocess.PIPE, start_new_session=True)
    started = start_of(leader.pid)
    assert started
    leader.communicate()
    ours = ProcessGroup(leader.pid, started)
    assert len(ours.members()) == 1
    of_another_boot = ProcessGroup(leader.pid, f"another-boot:{started.partition(':')[2]}")
    assert of_another_boot.end(1)
    assert len(ours.members()) == 1
    assert ours.end(10)


def test_a_checkpoint_counts_once_its_epoch_is_in_the_log(tmp_path: Path) -> None:
    """A service that died exactly between the two each time would else be resumed for ever."""
    house = House(tmp_path / "data")
    job = house.store.create(Job(id="torn", request={}))
    for attempt in range(1, 4):
        for event in (said.started(), said.checkpoint(1, 2), said.interrupted()):
            job = house.store.append("torn", attempt, event).result()
        assert job.fruitless_attempts == attempt
        house.store.append(
            "torn", attempt + 1, going_on.queued(going_on.next_attempt(job.course), "interrupted")
        ).result()
    house.close()


async def first(service: Process, job_id: str, **wanted: Any) -> dict[str, Any]:
    """The first event of a job that has these fields."""
    async for event in follow(service.http, f"/jobs/{job_id}/events"):
        if wanted.items() <= event.items():
            return event
    raise AssertionError("there was no such event")


@pytest.mark.timeout(120)  # forkservers or services die
async def test_a_service_that_is_told_to_go_and_killed_before_it_could_has_left_on_purpose(tmp_path: Path) -> None:
    data, fault = make_dataset(tmp_path / "set"), orjson.dumps({"fault": ["training", 1, "hang"]}).decode()
    log = tmp_path / "data" / "log.db"

    def noted() -> bool:
        with contextlib.closing(sqlite3.connect(log)) as reading:
            return all(orjson.loads(state)["left"] for (state,) in reading.execute("SELECT state FROM jobs"))

    async with run(tmp_path / "data", program="rehearse", environment=rehearsal(fault)) as service:
        job_id = await service.submit(data, epochs=3)
        await first(service, job_id, phase="training", epoch=1)
        assert not noted()
        _, half = await asyncio.open_connection("127.0.0.1", httpx.URL(service.url).port)
        half.write(b"POST /train HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\n")  # what it waits for
        assert (await service.http.get("/healthz")).status_code == 200
        service.process.send_signal(signal.SIGTERM)
        await until(noted)
        service.process.kill()
        await service.process.wait()
        half.close()
    again = House(tmp_path / "data", auto_resume=False)
    assert [event["planned"] for event in again.events(job_id) if event["event"] == "interrupted"] == [True]
    again.close()


@pytest.mark.parametrize("place", [pytest.param(p, marks=[] if p == "saving" else [slow]) for p in ["queued", *PLACES]])
@pytest.mark.timeout(180)  # forkservers or services die
async def test_the_service_is_killed(tmp_path: Path, place: str) -> None:
    """Whatever a job is at: its worker ends, the next life takes it up, a subscriber sees no gap and nothing twice."""
    at = "training" if place == "queued" else place
    data, fault = make_dataset(tmp_path / "set"), orjson.dumps({"fault": [at, AT[at], "hang_with_child"]}).decode()
    async with run(tmp_path / "data", program="rehearse", environment=rehearsal(fault)) as service:
        first_job, second_job = await service.submit(data, epochs=3), await service.submit(data, epochs=2)
        there = {"lines": [f"saving {AT[at]}"]} if at == "saving" else {"phase": at, "epoch": AT[at]}
        await first(service, first_job, **there)
        pid = (await first(service, first_job, event="started"))["pid"]
        await until(lambda: len(family(pid)) == 2)
        watched = second_job if place == "queued" else first_job
        seen = (await service.snapshot(watched))["last_seq"]
        service.process.kill()
        await service.process.wait()
        await until(lambda: not family(pid))
    async with run(tmp_path / "data", program="rehearse") as service:
        rest = await service.events(watched, seen)
        assert rest[-1]["event"] == "completed"
        for job_id, total in ((first_job, 3), (second_job, 2)):
            events = await service.events(job_id)
            assert epochs(events) == list(range(1, total + 1))
            assert [ends for ends in finals(events).values() if ends] == [["completed"]]
        service.process.send_signal(signal.SIGTERM)
