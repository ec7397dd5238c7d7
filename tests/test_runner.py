"""Jobs and their processes: every way for a worker to end, cancelling, and the service's next life."""

import asyncio
import os
import signal
import sqlite3
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from service.errors import JobFinal, JobNotFound, NotReady
from service.job import Job
from service.workers import forkserver
from service.workers.verdict import Exit, untold
from tests.client import until
from tests.house import House
from tests.process import gone

pytestmark = pytest.mark.timeout(60)  # the first start of a worker imports torch

# Every way to end


def test_a_program_that_returns_completes_its_job(house: House) -> None:
    job_id = house.submit("count", epochs=2)
    final = house.end(job_id)
    assert (final["event"], final["reason"], final["score"]) == ("completed", "finished", 0.5)
    assert [event["event"] for event in house.events(job_id) if event["event"] != "log"] == [
        "queued",
        "started",
        "epoch_end",
        "epoch_end",
        "completed",
    ]
    job = house.store.job(job_id)
    assert job.progress is not None
    assert (job.progress["event"], job.progress["metrics"]) == ("epoch_end", {"loss": 0.5, "nothing": None})
    assert gone(job.pid or 0)


@pytest.mark.parametrize(
    ("do", "reason", "evidence"),
    [
        ("fail", "error", {"error": "ValueError: no such luck"}),
        ("fail_in_colours", "error", {"error": "ValueError: no such luck\n  train: no images"}),
        ("leave", "exited", {"exit_code": 3}),
        ("leave_quietly", "exited", {"exit_code": 0}),
        ("kill_self", "killed", {"signal": "SIGKILL"}),
        ("segfault", "crashed", {"signal": "SIGSEGV"}),
        ("run_out_of_memory", "out_of_memory", {"error": "MemoryError: no room"}),
        ("forbid", "exited", {"exit_code": 1}),
        ("no_such_program", "error", {"error": "KeyError: 'no_such_program'"}),
    ],
)
def test_a_worker_that_dies_fails_its_job_and_the_next_one_runs(
    house: House, do: str, reason: str, evidence: dict[str, Any]
) -> None:
    job_id, after = house.submit(do), house.submit("count")
    final = house.end(job_id)
    assert (final["event"], final["reason"]) == ("failed", reason)
    assert evidence.items() <= (final["failure"] | {"error": final["error"]}).items()
    assert final["failure"]["reason"] == reason
    assert final["failure"]["evidence"] == final["error"] == house.store.job(job_id).error
    assert house.end(after)["event"] == "completed"


def test_a_signal_without_a_name_is_told_by_its_number() -> None:
    final = untold(Exit(code=-40))
    assert (final["reason"], final["error"]) == ("killed", "the worker was ended by signal 40")


def test_what_is_no_event_is_complained_of_once(house: House, caplog: pytest.LogCaptureFixture) -> None:
    job_id = house.submit("babble", times=1_000)
    assert house.end(job_id)["event"] == "completed"
    assert [event["event"] for event in house.events(job_id)] == ["queued", "started", "completed"]
    assert sum("no event" in record.getMessage() for record in caplog.records) == 1


def test_the_last_log_lines_stand_in_the_failure(house: House) -> None:
    failure = house.end(house.submit("fail"))["failure"]
    assert failure["log_tail"][0] == "about to fail"
    assert failure["log_tail"][-1] == "ValueError: no such luck"
    assert house.end(house.submit("leave"))["failure"]["log_tail"] == ["leaving"]


def test_a_segfault_shows_its_stack_in_the_log(house: House) -> None:
    job_id = house.submit("segfault")
    house.end(job_id)
    lines = house.lines(job_id)
    assert lines[0] == "reading address 0"
    assert "Fatal Python error: Segmentation fault" in lines
    assert any("in segfault" in line for line in lines)


def test_nothing_that_was_said_before_a_sigkill_is_lost(house: House) -> None:
    job_id = house.submit("kill_self")
    house.end(job_id)
    epochs = [event["epoch"] for event in house.events(job_id) if event["event"] == "epoch_end"]
    assert epochs == list(range(1, 1_001))


def test_a_worker_that_hangs_after_its_result_is_ended_and_keeps_it(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.workers.steps.LEAVE_SECONDS", 0.2)
    job_id = house.submit("hang_at_exit")
    final = house.end(job_id)
    assert (final["event"], final["score"]) == ("completed", 0.1)
    assert gone(house.store.job(job_id).pid or 0)


def test_what_a_worker_says_is_parsed_and_never_believed(house: House) -> None:
    job_id = house.submit("talk_nonsense")
    final = house.end(job_id)
    assert final["event"] == "failed"
    (epoch,) = [event for event in house.events(job_id) if event["event"] == "epoch_end"]
    assert (epoch["job_id"], epoch["attempt"]) == (job_id, 1)


# Log lines


def test_bars_colours_and_bytes_become_clean_lines(house: House) -> None:
    job_id = house.submit("print_bars")
    assert house.end(job_id)["event"] == "completed"
    assert house.lines(job_id) == ["100%", "red and bold", "native � bytes, no newline"]
    streams = {(event["stream"], event["level"]) for event in house.events(job_id) if event["event"] == "log"}
    assert streams == {("stdout", "info"), ("stderr", "error")}


def test_a_flood_is_gathered_and_complete(house: House) -> None:
    job_id = house.submit("flood")
    house.end(job_id)
    assert house.lines(job_id) == [f"line {number}" for number in range(20_000)]
    assert len(house.events(job_id)) < 400
    progress = house.store.job(job_id).progress
    assert progress is not None
    assert progress["event"] == "tick"


# The queue


def test_one_job_runs_at_a_time_and_the_others_wait_in_order(house: House, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    first = house.submit("wait", gate=str(gate))
    rest = [house.submit("count") for _ in range(4)]
    house.until(lambda: house.store.job(first).progress)
    house.until(lambda: [house.store.job(job_id).queue_position for job_id in (first, *rest)] == [None, 1, 2, 3, 4])
    assert {house.store.job(job_id).status for job_id in rest} == {"queued"}
    gate.touch()
    for job_id in (first, *rest):
        house.end(job_id)
    started = [house.store.job(job_id).started_at or 0 for job_id in (first, *rest)]
    ended = [house.store.job(job_id).ended_at or 0 for job_id in (first, *rest)]
    assert started == sorted(started)
    assert all(end <= start for end, start in zip(ended, started[1:], strict=False))


def test_two_slots_run_two_jobs(tmp_path: Path) -> None:
    house = House(tmp_path / "data", devices=(None, None))
    gate = tmp_path / "gate"
    jobs = [house.submit("wait", gate=str(gate)) for _ in range(3)]
    house.until(lambda: all(house.store.job(job_id).progress for job_id in jobs[:2]))
    assert house.store.job(jobs[2]).status == "queued"
    gate.touch()
    assert {house.end(job_id)["event"] for job_id in jobs} == {"completed"}
    house.close()


def test_a_slot_is_free_again_although_a_stranger_holds_a_dead_worker_s_pipes(house: House) -> None:
    job_id = house.submit("leave_a_stranger")
    progress = house.until(lambda: house.store.job(job_id).progress)
    stranger = psutil.Process(int(progress["metrics"]["child"]))
    try:
        final = house.end(job_id)
        assert (final["event"], final["failure"]["exit_code"]) == ("failed", 4)
        assert stranger.is_running()
    finally:
        stranger.kill()


# Cancelling


@pytest.mark.parametrize("do", ["wait", "ignore_sigterm", "have_children"])
def test_cancel_ends_a_running_job_with_all_its_processes(house: House, tmp_path: Path, do: str) -> None:
    job_id = house.submit(do, gate=str(tmp_path / "never"))
    progress = house.until(lambda: house.store.job(job_id).progress)
    pids = [house.store.job(job_id).pid, int(progress["metrics"].get("child", 0)) or None]
    assert house.runner.cancel(job_id).cancel_requested
    final = house.end(job_id)
    assert (final["event"], final["reason"]) == ("cancelled", "cancelled")
    assert all(gone(pid) for pid in pids if pid)
    assert house.runner.cancel(job_id).status == "cancelled"
    assert house.end(house.submit("count"))["event"] == "completed"


def test_a_queued_job_is_cancelled_at_once_and_never_starts(house: House, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    first, second, third = house.submit("wait", gate=str(gate)), house.submit("count"), house.submit("count")
    assert house.runner.cancel(second).status == "cancelled"
    house.until(lambda: house.store.job(third).queue_position == 1)
    gate.touch()
    house.end(first)
    house.end(third)
    assert [event["event"] for event in house.events(second)] == ["queued", "cancelled"]


def test_a_cancel_between_the_submit_and_the_queue_wins(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    create = house.store.create

    def create_and_be_cancelled(job: Job, *key: Any) -> Job:
        created = create(job, *key)
        house.runner.cancel(job.id)
        return created

    monkeypatch.setattr(house.store, "create", create_and_be_cancelled)
    job_id = house.submit("count")
    assert house.end(job_id)["event"] == "cancelled"
    assert [event["event"] for event in house.events(job_id)] == ["queued", "cancelled"]


def test_cancel_right_after_the_submit_wins_every_time(house: House, tmp_path: Path) -> None:
    for _ in range(20):
        job_id = house.submit("wait", gate=str(tmp_path / "never"))
        house.runner.cancel(job_id)
        assert house.end(job_id)["event"] == "cancelled"
        pid = house.store.job(job_id).pid
        assert pid is None or gone(pid)


def test_what_has_ended_or_never_was_cannot_be_cancelled(house: House) -> None:
    job_id = house.submit("count")
    house.end(job_id)
    with pytest.raises(JobFinal):
        house.runner.cancel(job_id)
    with pytest.raises(JobNotFound):
        house.runner.cancel("nobody")


# The service's own end and next life


def test_a_restart_without_auto_resume_ends_what_ran_and_runs_what_waited(tmp_path: Path) -> None:
    house = House(tmp_path / "data")
    running = house.submit("speak_and_wait", gate=str(tmp_path / "never"))
    queued = [house.submit("count") for _ in range(3)]
    house.until(lambda: house.store.job(running).progress)
    before, pid = house.events(running), house.store.job(running).pid
    house.close()
    assert gone(pid or 0)
    again = House(tmp_path / "data", auto_resume=False)
    for job_id in queued:
        assert again.end(job_id)["event"] == "completed"
    after = again.events(running)
    assert after[: len(before)] == before
    assert [event["event"] for event in after[len(before) :]] == ["interrupted", "failed"]
    assert (after[-1]["reason"], again.store.job(running).status) == ("interrupted", "failed")
    assert after[-1]["failure"]["log_tail"] == ["last words"]
    again.close()


def test_a_result_that_was_told_before_the_service_left_is_kept(tmp_path: Path) -> None:
    house = House(tmp_path / "data")
    job_id = house.submit("hang_at_exit")
    (supervisor,) = house.runner._running.values()
    house.until(lambda: supervisor._attempt.outcome)
    house.close()
    again = House(tmp_path / "data")
    assert (again.store.job(job_id).status, again.store.job(job_id).score) == ("completed", 0.1)
    again.close()


def test_a_runner_closes_while_the_log_cannot_be_written(tmp_path: Path) -> None:
    house = House(tmp_path / "data")
    job_id = house.submit("wait", gate=str(tmp_path / "gate"))
    house.until(lambda: house.store.job(job_id).progress)
    with sqlite3.connect(tmp_path / "data" / "log.db", isolation_level=None) as other:
        other.execute("BEGIN EXCLUSIVE")
        (tmp_path / "gate").touch()
        (supervisor,) = house.runner._running.values()
        house.until(lambda: house.store.failing)
        house.runner.close()
        assert not supervisor.is_alive()
        other.execute("ROLLBACK")
    other.close()
    house.store.close()


def test_a_restart_honours_a_cancel_that_was_acknowledged(tmp_path: Path) -> None:
    house = House(tmp_path / "data")
    running = house.submit("wait", gate=str(tmp_path / "never"))
    queued = house.submit("count")
    house.until(lambda: house.store.job(running).progress)
    for job_id in (running, queued):
        house.store.request_cancel(job_id)  # the service dies before it does anything about it
    house.close()
    again = House(tmp_path / "data")
    assert again.end(running)["event"] == "cancelled"
    assert [event["event"] for event in again.events(queued)] == ["queued", "cancelled"]
    again.close()


def test_a_closed_runner_takes_no_jobs(tmp_path: Path) -> None:
    house = House(tmp_path / "data")
    house.close()
    with pytest.raises(NotReady):
        house.submit("count")


@pytest.mark.timeout(120)  # a forkserver dies and is replaced
@pytest.mark.parametrize("end", ["finish", "kill"])
def test_a_training_outlives_its_forkserver(house: House, tmp_path: Path, end: str) -> None:
    """Multiprocessing would say that the worker is dead while it trains on; and nobody can tell its exit code."""
    gate = tmp_path / "gate"
    job_id = house.submit("have_children", gate=str(gate))
    progress = house.until(lambda: house.store.job(job_id).progress)
    pid = house.store.job(job_id).pid or 0
    server = psutil.Process(pid).ppid()
    assert server == forkserver.pid()
    os.kill(server, signal.SIGKILL)
    house.until(lambda: psutil.Process(pid).ppid() != server)
    if end == "finish":
        gate.touch()
    else:
        os.kill(pid, signal.SIGKILL)
    final = house.end(job_id)
    assert (final["event"], final["reason"]) == (
        ("completed", "finished") if end == "finish" else ("failed", "worker_lost")
    )
    assert gone(pid)
    assert gone(int(progress["metrics"]["child"]))
    assert house.end(house.submit("count"))["event"] == "completed"


async def test_a_worker_ends_itself_when_its_service_is_gone(tmp_path: Path) -> None:
    """The service is a process of its own here, so that it can be killed."""
    code = (
        "import sys, time, pathlib; from tests.house import House; "
        "house = House(pathlib.Path(sys.argv[1])); job = house.submit('have_children', gate='/nowhere'); "
        "progress = house.until(lambda: house.store.job(job).progress); "
        "print(house.store.job(job).pid, int(progress['metrics']['child']), flush=True); time.sleep(600)"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, str(tmp_path / "data"), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    pids = [int(pid) for pid in (await process.stdout.readline()).split()]
    assert len(pids) == 2
    process.kill()
    await process.wait()
    await until(lambda: all(gone(pid) for pid in pids))
