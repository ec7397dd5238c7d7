"""`python -m tests.campaign -n 200 --seed 1`: faults of processes at random moments of a service, and what holds after.

Each try begins with a service that is ready, does one kind of harm at a random moment, and looks whether anything was
lost: the ids of the log, one final event an attempt, each epoch once, no process left, the service ready again. The
training is `tests.trainings.rehearse`, which has no model and keeps real checkpoints. Exits with 1 on a violation.
"""

import argparse
import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import orjson
import psutil

from service.events import FINAL_TYPES
from tests import light
from tests.tiny import make_dataset
from tests.vocabulary import checked

ROOT = Path(__file__).parent.parent
#: In the environment of each process of a campaign. It begins with a word that workers are not kept from.
MARK = "PYTHON_CAMPAIGN"
#: Seconds in which all that a try waits for comes true.
PATIENCE_SECONDS = 90.0
EPOCHS = 8
#: Jobs of so many epochs wait for a file before their second one.
HELD_EPOCHS = 9


class Violation(Exception):
    """Raised when something that the service promises does not hold."""


def until(condition: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise Violation(f"after {PATIENCE_SECONDS:g} seconds: {what}")
        time.sleep(0.01)
    return value


class Campaign:
    """A service in a folder of its own, and the faults that it is given."""

    program = "tests.trainings:rehearse"

    def __init__(self, folder: Path, *, seed: int, quick: bool = False, options: Sequence[str] = ()) -> None:
        self.folder = folder
        self._options = options
        self.chance = random.Random(seed)
        self.gate = folder / "gate"
        self.data = make_dataset(folder / "set")
        (folder / "tmp").mkdir()
        self._command = [sys.executable, *(["-c", light.COMMAND] if quick else ["-m", "service"])]
        self.start()

    def start(self) -> None:
        environment = {
            **os.environ,
            MARK: str(self.folder),
            "TMPDIR": str(self.folder / "tmp"),
            "YOLO_TRAINER_PROGRAM": self.program,
            "YOLO_TRAINER_WORKER_ENV": "REHEARSAL_9",
            "REHEARSAL_9": f'{{"gate": "{self.gate}"}}',
        }
        log = self.folder / "service.log"
        before = log.stat().st_size if log.exists() else 0
        arguments = ["serve", "--port", "0", "--data-dir", str(self.folder / "data"), "--cancel-grace-seconds", "1"]
        arguments += self._options
        with log.open("ab") as file:
            self.service = subprocess.Popen([*self._command, *arguments], env=environment, cwd=ROOT, stderr=file)

        def listening() -> list[bytes]:
            return log.read_bytes()[before:].split(b"listening on ")[1:]

        url = until(listening, "the service does not listen")[0].split()[0].decode()
        self.http = httpx.Client(base_url=url, timeout=PATIENCE_SECONDS)

    def close(self) -> None:
        """End the service in order; nothing of it is left."""
        self.service.send_signal(signal.SIGTERM)
        self.service.wait(PATIENCE_SECONDS)
        self.http.close()
        until(lambda: not self.processes(), "processes outlive the service")

    # What is there

    def processes(self) -> set[int]:
        """The living processes of this campaign: those with its mark."""
        found = set()
        for process in psutil.process_iter(["status"]):
            with contextlib.suppress(psutil.Error, OSError):
                marked = process.environ().get(MARK) == str(self.folder)
                if marked and process.info["status"] != psutil.STATUS_ZOMBIE:
                    found.add(process.pid)
        return found

    def forkserver(self) -> int | None:
        for child in psutil.Process(self.service.pid).children():
            with contextlib.suppress(psutil.Error):
                if any("multiprocessing.forkserver" in part for part in child.cmdline()):
                    return child.pid
        return None

    def ready_forkserver(self) -> int:
        self.wait_until_ready()
        return int(until(self.forkserver, "the service is ready without a forkserver"))

    def wait_until_ready(self) -> None:
        until(lambda: self.http.get("/readyz").status_code == 200, f"not ready: {self.http.get('/readyz').text}")

    def post(self, epochs: int = EPOCHS) -> str:
        fit_params = {"data": str(self.data)}
        payload = {"model": "yolov8n.yaml", "hyperparameters": {"epochs": epochs}, "fit_params": fit_params}
        answer = self.http.post("/train", json=payload)
        if answer.status_code != 202:
            raise Violation(f"POST /train: {answer.status_code} {answer.text}")
        return str(answer.json()["job_id"])

    def job(self, job_id: str) -> dict[str, Any]:
        answer: dict[str, Any] = self.http.get(f"/jobs/{job_id}").json()
        return answer

    def held(self) -> tuple[str, int]:
        """A job that trains, and waits for its gate; with its worker."""
        self.gate.unlink(missing_ok=True)
        job_id = self.post(HELD_EPOCHS)
        until(lambda: self.job(job_id).get("checkpoint") or self.is_over(job_id), "no first epoch")
        pid = [event["pid"] for event in self.events(job_id) if event["event"] == "started"][-1]
        return job_id, pid

    def is_over(self, job_id: str) -> bool:
        return self.job(job_id)["status"] in FINAL_TYPES

    def events(self, job_id: str) -> list[dict[str, Any]]:
        """The job's log; its ids are 1, 2, 3, …."""
        found: list[dict[str, Any]] = []
        address = f"/jobs/{job_id}/events"
        while address:
            answer = self.http.get(address, headers={"Accept": "application/json"})
            page = answer.raise_for_status().json()
            found += page["events"]
            address = page["next"]
        for event in found:
            checked(orjson.dumps(event))
        if [event["seq"] for event in found] != list(range(1, len(found) + 1)):
            raise Violation(f"ids of {job_id}: {[event['seq'] for event in found]}")
        return found

    # What holds after each try

    def check(self, job_id: str, final: str = "completed", attempts: int = 1) -> None:
        """The job ends so, each attempt with one final event and at most one worker, each epoch once."""
        until(lambda: self.is_over(job_id), f"{job_id} does not end: {self.job(job_id)['status']}")
        events = self.events(job_id)
        if events[-1]["event"] != final or events[-1]["attempt"] != attempts:
            raise Violation(f"{job_id} ended {events[-1]}, not {final} in attempt {attempts}")
        for attempt in range(1, attempts + 1):
            kinds = Counter(event["event"] for event in events if event["attempt"] == attempt)
            ends = sum(kinds[kind] for kind in (*FINAL_TYPES, "interrupted"))
            if ends != 1 or kinds["started"] > 1:
                raise Violation(f"{job_id}, attempt {attempt}: {dict(kinds)}")
        told = [event["epoch"] for event in events if event["event"] == "epoch_end"]
        planned = next(event["total_epochs"] for event in events if "total_epochs" in event) if told else 0
        if told != list(range(1, len(told) + 1)) or (final == "completed" and len(told) != planned):
            raise Violation(f"{job_id}, epochs: {told}")

    def check_over(self) -> None:
        """Ready again, with a job to prove it; nothing runs but the service, its forkserver and its tracker."""
        self.wait_until_ready()
        self.check(self.post(1))
        self.ready_forkserver()
        until(lambda: len(self.processes()) <= 3, f"processes are left: {self._left()}")

    def _left(self) -> list[str]:
        return [" ".join(psutil.Process(pid).cmdline())[:200] for pid in self.processes() if psutil.pid_exists(pid)]

    # The faults

    def forkserver_killed_as_it_starts(self) -> None:
        pid = self.ready_forkserver()
        children = Path(f"/proc/{pid}/task/{pid}/children")
        before = children.read_text()
        job_id = self.post()
        while children.read_text() == before and not self.is_over(job_id):
            pass
        os.kill(pid, signal.SIGKILL)
        self.check(job_id)

    def forkserver_killed_in_its_imports(self) -> None:
        pid = self.ready_forkserver()
        os.kill(pid, signal.SIGKILL)
        again = until(lambda: (now := self.forkserver()) != pid and now, "no new forkserver")
        job_id = self.post() if self.chance.random() < 0.5 else None
        time.sleep(self.chance.random() ** 2 * 3)
        os.kill(again, signal.SIGKILL)
        self.check(job_id or self.post())

    def forkserver_killed_idle(self) -> None:
        os.kill(self.ready_forkserver(), signal.SIGKILL)
        time.sleep(self.chance.random() ** 2 * 2)
        self.check(self.post())

    def forkserver_killed_beside_a_training(self) -> None:
        job_id, _ = self.held()
        os.kill(self.ready_forkserver(), signal.SIGKILL)
        time.sleep(self.chance.random())
        self.gate.touch()
        self.check(job_id)

    def worker_killed(self) -> None:
        job_id, pid = self.held()
        time.sleep(self.chance.random() * 0.1)
        os.kill(pid, signal.SIGKILL)
        self.check(job_id, "failed")
        self.gate.touch()
        self.http.post(f"/jobs/{job_id}/resume").raise_for_status()
        until(lambda: self.job(job_id)["attempt"] == 2, "no second attempt")
        self.check(job_id, attempts=2)

    def service_killed(self) -> None:
        job_id, _ = self.held()
        time.sleep(self.chance.random() * 0.1)
        self.die()
        self.gate.touch()
        self.start()
        until(lambda: self.job(job_id)["attempt"] == 2, "no second attempt")
        self.check(job_id, attempts=2)

    def service_killed_as_its_forkserver_imports(self) -> None:
        os.kill(self.ready_forkserver(), signal.SIGKILL)
        time.sleep(self.chance.random() * 3)
        self.die()
        self.start()

    def die(self) -> None:
        self.service.kill()
        self.service.wait()
        self.http.close()
        until(lambda: not self.processes(), "processes outlive the service")

    def forkserver_stopped_then_a_cancel(self) -> None:
        os.kill(self.ready_forkserver(), signal.SIGSTOP)
        job_id = self.post()
        time.sleep(self.chance.random() * 0.5)
        self.http.post(f"/jobs/{job_id}/cancel").raise_for_status()
        began = time.monotonic()
        self.check(job_id, "cancelled")
        if time.monotonic() - began > PATIENCE_SECONDS / 3:
            raise Violation(f"the cancel took {time.monotonic() - began:.1f} seconds")

    def socket_removed(self) -> None:
        self.ready_forkserver()
        for folder in (self.folder / "tmp").glob("pymp-*"):
            for socket in folder.glob("listener-*"):
                socket.unlink()
            if self.chance.random() < 0.5:
                folder.rmdir()
        time.sleep(self.chance.random() * 1.5)
        self.check(self.post())


KINDS: list[Callable[[Campaign], None]] = [
    Campaign.forkserver_killed_as_it_starts,
    Campaign.forkserver_killed_in_its_imports,
    Campaign.forkserver_killed_idle,
    Campaign.forkserver_killed_beside_a_training,
    Campaign.forkserver_stopped_then_a_cancel,
    Campaign.socket_removed,
    Campaign.worker_killed,
    Campaign.service_killed,
    Campaign.service_killed_as_its_forkserver_imports,
]


def attempts(campaign: Campaign, count: int) -> Iterator[tuple[str, str | None]]:
    """The kind of each try and what it violated. Every kind comes as often, in an order of chance."""
    kinds = [KINDS[number % len(KINDS)] for number in range(count)]
    campaign.chance.shuffle(kinds)
    for kind in kinds:
        violated = None
        try:
            kind(campaign)
            campaign.check_over()
        except (Violation, httpx.HTTPError, OSError) as error:
            violated = f"{type(error).__name__}: {error}"
        yield kind.__name__.replace("_", " "), violated


def table(tries: Counter[str], violations: Counter[str]) -> str:
    rows = [f"| {kind} | {count} | {violations[kind]} |" for kind, count in sorted(tries.items())]
    total = f"| **all** | **{tries.total()}** | **{violations.total()}** |"
    return "\n".join(["| fault | tries | violations |", "|---|---|---|", *rows, total])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[0])
    parser.add_argument("-n", type=int, default=200, help="how many faults")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--light", action="store_true", help="a forkserver without torch: its imports take no time")
    options = parser.parse_args()
    tries, violations = Counter[str](), Counter[str]()
    with tempfile.TemporaryDirectory(prefix="campaign-") as name:
        campaign = Campaign(Path(name), seed=options.seed, quick=options.light)
        try:
            for kind, violated in attempts(campaign, options.n):
                tries[kind] += 1
                violations[kind] += violated is not None
                print(f"{tries.total():4} {kind}: {violated or 'ok'}", file=sys.stderr, flush=True)
        finally:
            campaign.close()
    print(table(tries, violations))
    return 1 if violations.total() else 0


if __name__ == "__main__":
    sys.exit(main())
