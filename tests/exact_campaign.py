"""`python -m tests.exact_campaign -n 50 --seed 1`: trainings are killed at random moments, and end all the same.

Each try trains one of `exact_cases` through the service, harms it once or twice at random moments in random ways, has
it go on, and compares its weights and its results.csv with those of the same training that nothing was done to. Half
of the tries are made with all cores, half with Ultralytics' own number of threads. Exits with 1 where any differs.
"""

import argparse
import contextlib
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx

from tests.campaign import Campaign, Violation, table, until
from tests.exact_cases import CASES
from tests.results import Result, result
from tests.tiny import TASKS, make_dataset, tiny_model

EPOCHS = 8


class ExactCampaign(Campaign):
    """A service that trains, and what is done to its trainings."""

    program = "tests.exact_program:train"

    def __init__(self, folder: Path, *, seed: int, threads: str) -> None:
        self.sets = {task: str(make_dataset(folder / "sets" / task, task, train=10)) for task in TASKS}
        self.models = {task: str(tiny_model(folder, task)) for task in TASKS}
        self._whole: dict[str, Result] = {}
        super().__init__(folder, seed=seed, options=("--threads", threads))

    def train(self, case: str) -> str:
        settings = {"epochs": EPOCHS, "imgsz": 32, "batch": 4, "plots": False, **CASES[case]}
        task = settings.pop("task", "detect")
        fit_params = {"data": self.sets[task]}
        payload = {"model": self.models[task], "hyperparameters": settings, "fit_params": fit_params}
        answer = self.http.post("/train", json=payload)
        if answer.status_code != 202:
            raise Violation(f"POST /train: {answer.status_code} {answer.text}")
        return str(answer.json()["job_id"])

    def whole(self, case: str) -> Result:
        """What it ends as when nothing happens. Twice the same, or there would be nothing to compare with."""
        if case not in self._whole:
            first, second = (self._result(self.train(case)) for _ in range(2))
            if first != second:
                raise Violation(f"{case}: two uninterrupted runs differ")
            self._whole[case] = first
        return self._whole[case]

    def _result(self, job_id: str) -> Result:
        until(lambda: self.is_over(job_id), f"{job_id} does not end")
        job = self.job(job_id)
        if job["status"] != "completed":
            raise Violation(f"{job_id} ended {job['status']}: {job['error']}")
        return result(self.folder / "data" / "jobs" / job_id / "run")

    def harmed(self, case: str, harms: "list[Harm]") -> None:
        """One training, harmed in these ways; it ends as the one that was not."""
        whole, job_id = self.whole(case), self.train(case)
        for harm in harms:
            self._wait_for_a_moment(job_id)
            harm(self, job_id)
            self._go_on(job_id)
        found = self._result(job_id)
        self.check_numbers(job_id)
        if found != whole:
            raise Violation(f"{case}: it differs; resumed: {self.job(job_id)['resumed']}")
        resumed = self.job(job_id)["resumed"]
        if resumed is not None and not resumed["exact"]:
            raise Violation(f"{case}: it is said not to be exact: {resumed['reason']}")

    def check_numbers(self, job_id: str) -> None:
        told = [event["epoch"] for event in self.events(job_id) if event["event"] == "epoch_end"]
        if told != list(range(1, len(told) + 1)):
            raise Violation(f"{job_id}, epochs: {told}")

    def _wait_for_a_moment(self, job_id: str) -> None:
        """Anything may be going on then: an epoch, a validation, the write of a checkpoint, the final evaluation."""
        done = self.job(job_id)["checkpoint"]
        epoch = self.chance.randint(1, EPOCHS - 1) if done is None else min(done["epoch"] + 1, EPOCHS - 1)

        def has_come() -> bool:
            job = self.job(job_id)
            return bool(job["checkpoint"] and job["checkpoint"]["epoch"] >= epoch) or self.is_over(job_id)

        until(has_come, f"{job_id} does not come to epoch {epoch}")
        time.sleep(self.chance.random() * 0.4)

    def _go_on(self, job_id: str) -> None:
        if self.is_over(job_id) and self.job(job_id)["resume"] and not self.job(job_id)["resume"]["needs_epochs"]:
            if self.job(job_id)["reason"] in ("finished", "early_stopped"):
                return
            attempt = self.job(job_id)["attempt"]
            self.http.post(f"/jobs/{job_id}/resume").raise_for_status()
            until(lambda: self.job(job_id)["attempt"] > attempt, "no next attempt")

    # The harms

    def _worker(self, job_id: str) -> int:
        return int([event["pid"] for event in self.events(job_id) if event["event"] == "started"][-1])

    def _kill_worker(self, job_id: str, number: signal.Signals) -> None:
        if not self.is_over(job_id):
            with contextlib.suppress(ProcessLookupError):  # it has ended just now
                os.kill(self._worker(job_id), number)
        until(lambda: self.is_over(job_id), f"{job_id} does not end after {number.name}")

    def worker_killed(self, job_id: str) -> None:
        self._kill_worker(job_id, signal.SIGKILL)

    def worker_terminated(self, job_id: str) -> None:
        self._kill_worker(job_id, signal.SIGTERM)

    def cancelled(self, job_id: str) -> None:
        self.http.post(f"/jobs/{job_id}/cancel")
        until(lambda: self.is_over(job_id), f"{job_id} is not cancelled")

    def stopped(self, job_id: str) -> None:
        self.http.post(f"/jobs/{job_id}/stop")
        until(lambda: self.is_over(job_id), f"{job_id} does not stop")

    def service_killed(self, job_id: str) -> None:
        self.die()
        self.start()

    def forkserver_killed(self, job_id: str) -> None:
        if (pid := self.forkserver()) is not None:
            os.kill(pid, signal.SIGKILL)


Harm = Callable[[ExactCampaign, str], None]
HARMS: tuple[Harm, ...] = (
    ExactCampaign.worker_killed,
    ExactCampaign.service_killed,
    ExactCampaign.cancelled,
    ExactCampaign.worker_terminated,
    ExactCampaign.stopped,
    ExactCampaign.forkserver_killed,
)


def attempts(campaign: ExactCampaign, count: int) -> Iterator[tuple[str, str | None]]:
    """The harm of each try, and what differed. Each harm and each case comes as often, in an order of chance."""
    harms = [HARMS[number % len(HARMS)] for number in range(count)]
    cases = [list(CASES)[number % len(CASES)] for number in range(count)]
    campaign.chance.shuffle(harms)
    campaign.chance.shuffle(cases)
    for harm, case in zip(harms, cases, strict=True):
        more = [campaign.chance.choice(HARMS)] if campaign.chance.random() < 0.5 else []
        violated = None
        try:
            campaign.harmed(case, [harm, *more])
        except (Violation, httpx.HTTPError, OSError) as error:
            violated = f"{type(error).__name__}: {error}"
        yield f"{harm.__name__.replace('_', ' ')}: {case}", violated


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[0])
    parser.add_argument("-n", type=int, default=50, help="how many trainings")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    tries, violations = Counter[str](), Counter[str]()
    for threads, count in (("all", options.n - options.n // 2), ("stock", options.n // 2)):
        with tempfile.TemporaryDirectory(prefix="exact-") as name:
            campaign = ExactCampaign(Path(name), seed=options.seed, threads=threads)
            try:
                for kind, violated in attempts(campaign, count):
                    harm = kind.partition(":")[0]
                    tries[harm] += 1
                    violations[harm] += violated is not None
                    print(f"{tries.total():4} {threads}, {kind}: {violated or 'equal'}", file=sys.stderr, flush=True)
            finally:
                campaign.close()
    print(table(tries, violations))
    return 1 if violations.total() else 0


if __name__ == "__main__":
    sys.exit(main())
