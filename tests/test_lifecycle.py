"""Any order of submit, cancel, stop, resume, crash and restart leaves a whole log and nothing behind (Hypothesis)."""

import contextlib
import os
import shutil
import signal
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from service.errors import JobFinal, JobNotRunning, NothingToResume
from tests.events import epochs, finals
from tests.house import House
from tests.process import family

pytestmark = pytest.mark.timeout(60)  # the first start of a worker imports torch

FAULTS = [
    None,
    ["checking_data", 0, "raise"],
    ["training", 2, "kill"],
    ["saving", 2, "exit"],
    ["validating", 1, "hang"],
]


class Lifecycle(RuleBasedStateMachine):
    """Two slots, so that jobs also run beside each other."""

    jobs = Bundle("jobs")

    @initialize()
    def open(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="lifecycle-"))
        self.house = House(self.folder, devices=(None, None), grace_seconds=0.5)
        self.asked: dict[str, set[str]] = {}

    @rule(target=jobs, fault=st.sampled_from(FAULTS), total=st.integers(1, 3))
    def submit(self, fault: object, total: int) -> str:
        job_id = self.house.submit("rehearse", epochs=total, fault=fault)
        self.asked[job_id] = set()
        return job_id

    @rule(job_id=jobs)
    def cancel(self, job_id: str) -> None:
        try:
            self.house.runner.cancel(job_id)
        except JobFinal:
            assert self.house.store.job(job_id).status in ("completed", "failed")
        else:
            assert self.house.store.job(job_id).cancel_requested
            assert self.house.end(job_id)["event"] == "cancelled"

    @rule(job_id=jobs)
    def stop(self, job_id: str) -> None:
        with contextlib.suppress(JobNotRunning):
            assert self.house.runner.stop(job_id).stop_requested

    @rule(job_id=jobs, more=st.none() | st.integers(1, 4))
    def resume(self, job_id: str, more: int | None) -> None:
        before = self.house.store.job(job_id)
        try:
            resumed = self.house.runner.resume(job_id, more)
        except NothingToResume:
            return
        assert before.is_final
        assert resumed.attempt == before.attempt + 1
        assert not resumed.cancel_requested
        assert not resumed.stop_requested

    @rule(job_id=jobs)
    def crash(self, job_id: str) -> None:
        job = self.house.store.job(job_id)
        if job.status == "running" and job.pid in family(job.pid or -2):
            os.kill(job.pid or 0, signal.SIGKILL)

    @rule(job_id=jobs)
    def wait(self, job_id: str) -> None:
        """Until it has ended, unless it hangs."""
        self.house.until(
            lambda: (
                (job := self.house.store.job(job_id)).is_final
                or job.phase == "validating"
                or (job.status == "queued" and len(self.house.runner._running) == 2)
            )
        )

    @rule(how=st.sampled_from([{}, {"auto_resume": False}]))
    def restart(self, how: dict[str, bool]) -> None:
        self.house.close()
        self.house = House(self.folder, devices=(None, None), grace_seconds=0.5, **how)

    @invariant()
    def logs_are_whole(self) -> None:
        for job_id in getattr(self, "asked", ()):
            job = self.house.store.job(job_id)
            events = self.house.events(job_id)  # its numbers are looked at there
            assert all(len(ends) <= 1 for ends in finals(events).values())
            assert sorted(finals(events)) == list(range(1, events[-1]["attempt"] + 1))
            told = epochs(events)
            assert told == list(range(1, len(told) + 1)), "each epoch once"
            if job.is_final and self.house.store.job(job_id).last_seq == events[-1]["seq"]:
                assert events[-1]["event"] == job.status
                assert family(job.pid or -2) == []

    def teardown(self) -> None:
        if not hasattr(self, "house"):
            return
        for job_id in self.asked:
            if not self.house.store.job(job_id).is_final:
                self.cancel(job_id)
        assert self.house.end(self.house.submit("rehearse", epochs=1))["event"] == "completed", "the slots are free"
        self.logs_are_whole()
        self.house.close()
        shutil.rmtree(self.folder)


_SETTINGS = {"deadline": None, "suppress_health_check": list(HealthCheck), "print_blob": True}
Lifecycle.TestCase.settings = settings(max_examples=6, stateful_step_count=15, **_SETTINGS)
TestLifecycle = pytest.mark.timeout(120)(Lifecycle.TestCase)  # many lives of a runner


@pytest.mark.slow
@pytest.mark.timeout(900)  # many lives of a runner
def test_a_hundred_lives() -> None:
    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(Lifecycle, settings=settings(max_examples=100, stateful_step_count=30, **_SETTINGS))
