"""A test in place of a worker: it logs what a worker would."""

from concurrent.futures import Future
from typing import Any

from service.job import Job
from tests import said
from tests.conftest import Running


def create(service: Running, name: str = "job") -> None:
    """A job that never gets a worker: the test is its worker."""
    service.state["store"].create(Job(id=name, request={"model": "m", "fit_params": {}}))


def append(service: Running, count: int = 1, name: str = "job", **fields: Any) -> "Future[Job]":
    """Log `count` lines."""
    event = {**said.log("x"), **fields}
    done = [service.state["store"].append(name, 1, event) for _ in range(count)]
    return done[-1]


def finish(service: Running, name: str = "job") -> None:
    service.state["store"].append(name, 1, said.completed(1.0)).result()
