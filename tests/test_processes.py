"""What is known of a process, also when the system tells nothing: no descriptor is left to look with."""

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from service.workers.processes import ProcessGroup, start_of
from tests.house import House

pytestmark = pytest.mark.timeout(60)  # the first start of a worker imports torch


@contextmanager
def no_descriptor_left() -> Iterator[None]:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = os.dup(0)
    resource.setrlimit(resource.RLIMIT_NOFILE, (used, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        os.close(used)


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    yield process
    process.kill()
    process.wait()


def test_a_process_that_cannot_be_looked_at_is_not_gone(sleeper: subprocess.Popen[bytes]) -> None:
    group = ProcessGroup.of(sleeper.pid)
    with no_descriptor_left():
        with pytest.raises(OSError, match="Too many open files"):
            ProcessGroup.of(sleeper.pid)
        assert group.leader_alive()
        assert not group.end(0.1)
        group.terminate()
    assert sleeper.poll() is None, "no signal goes to a number that may be anybody's"
    assert group.end(10)
    assert not group.leader_alive()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a boot has no id")
def test_the_boot_is_asked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    known, asked = start_of(os.getpid()), []
    as_ever = Path.read_text

    def read_text(path: Path) -> str:
        asked.append(str(path))
        return as_ever(path)

    monkeypatch.setattr(Path, "read_text", read_text)
    assert start_of(os.getpid()) == known
    assert asked == [f"/proc/{os.getpid()}/stat"]


def test_a_finished_training_is_completed_though_its_clean_up_raises(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_ever, refused = ProcessGroup.end, []

    def end(group: ProcessGroup, seconds: float) -> bool:
        if not refused:
            refused.append(group)
            raise OSError(24, "Too many open files")
        return as_ever(group, seconds)

    monkeypatch.setattr(ProcessGroup, "end", end)
    final = house.end(house.submit("count"))
    assert refused
    assert (final["event"], final["reason"], final["score"]) == ("completed", "finished", 0.5)
    failing = house.end(house.submit("fail"))
    assert failing["reason"] == "error"


def test_a_job_waits_for_a_descriptor(house: House, caplog: pytest.LogCaptureFixture) -> None:
    """Its start is tried again until there is one: that is not the job's fault."""
    house.end(house.submit("count"))
    with no_descriptor_left():
        job_id = house.submit("count")
        house.until(lambda: caplog.text.count("no worker could be started, trying again: [Errno 24]") >= 2)
        house.until(lambda: house.store.job(job_id).log_bytes)
        assert str(house.launcher.fault()).startswith("the forkserver cannot be looked at: [Errno 24]")
        assert not house.launcher.is_warm(), "the metrics ask this"
    assert house.end(job_id)["event"] == "completed"
    _, said, started, *_ = house.events(job_id)
    assert said["lines"] == ["no worker could be started, trying again after 2 tries: [Errno 24] Too many open files"]
    assert (said["stream"], said["level"], started["event"]) == ("service", "warning", "started")
