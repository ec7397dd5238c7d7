"""Jobs and their workers without HTTP: a store and a runner, and what tests ask of them."""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from AI.model_trainer.ultralytics import config_dir
from service.app import worker_environment
from service.frames import Record
from service.job import Job
from service.runner import Runner
from service.store.store import Store
from service.workers.launcher import Launcher
from service.workers.terms import Terms
from tests import light
from tests.vocabulary import checked

#: What is the runner's own; other options are terms of its trainings.
QUEUE_OPTIONS = ("devices", "auto_resume", "max_waiting")


class House:
    """A store and a runner whose program is `tests.trainings`, and the questions that tests ask of them."""

    def __init__(self, data: Path, **options: Any) -> None:
        self.data = data
        self.changed = threading.Condition()
        self.store = Store(data, self._notify)
        # If there is a forkserver already, it serves as well.
        self.launcher = Launcher(preload=light.PRELOAD, environment=worker_environment(data, light.measured()))
        config_dir.prepare(data / "config")
        queue = {name: options.pop(name) for name in QUEUE_OPTIONS if name in options}
        terms = Terms(data_dir=data, **{"program": "tests.trainings:steer", **options})
        self.runner = Runner(self.store, self.launcher, terms, **queue)
        self.runner.start()

    def _notify(self, changes: object) -> None:
        with self.changed:
            self.changed.notify_all()

    def submit(self, do: str, **hyperparameters: Any) -> str:
        name = f"{do}-{os.urandom(3).hex()}"
        request = {"model": "none", "hyperparameters": {"do": do, **hyperparameters}, "fit_params": {}}
        return self.runner.submit(Job(id=name, request=request)).id

    def until(self, condition: Callable[[], Any], seconds: float = 40) -> Any:
        """Wait for something that a change of a job makes true."""
        deadline = time.monotonic() + seconds
        with self.changed:
            while not (value := condition()):
                assert time.monotonic() < deadline, "the condition never became true"
                self.changed.wait(0.1)
        return value

    def end(self, job_id: str) -> dict[str, Any]:
        """The final event of a job. It may need a new forkserver, with all its imports."""
        self.until(lambda: self.store.job(job_id).is_final, 50)
        return self.events(job_id)[-1]

    def events(self, job_id: str) -> list[dict[str, Any]]:
        records: list[Record] = []
        while page := self.store.read(job_id, len(records), 10_000):
            records += page
        assert [record.seq for record in records] == list(range(1, len(records) + 1))
        return [checked(record.data) for record in records]

    def lines(self, job_id: str) -> list[str]:
        return [line for event in self.events(job_id) if event["event"] == "log" for line in event["lines"]]

    def close(self) -> None:
        self.runner.close()
        self.store.close()

    def die(self) -> None:
        """Close as a SIGKILL would: nothing is noted."""
        self.store.leave = lambda job_ids, seconds: None  # type: ignore[method-assign]
        self.close()
