"""The jobs that wait for a slot, in the order in which they get one."""

import bisect
from collections.abc import Iterator
from typing import NamedTuple

from service.job import Job


class _Place(NamedTuple):
    """Sorts by what comes first: interrupted jobs, higher priority, longer waiting (by number: clocks are set back)."""

    is_new: bool
    lowness: int
    queue_number: int
    number: int
    job_id: str


class JobQueue:
    """Waiting jobs in order. Not for several threads: its owner has a lock."""

    def __init__(self) -> None:
        self._places: list[_Place] = []

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[str]:
        """The ids of the jobs, the one that runs next first."""
        return (place.job_id for place in self._places)

    def add(self, job: Job) -> None:
        priority = job.request.get("priority") or 0
        place = _Place(job.reason != "interrupted", -priority, job.queue_number, job.number, job.id)
        bisect.insort(self._places, place)

    def remove(self, job_id: str) -> bool:
        """Take a job out. Returns whether it was there."""
        left = [place for place in self._places if place.job_id != job_id]
        found = len(left) < len(self._places)
        self._places = left
        return found

    def pop(self) -> str:
        """Take out the job that is first. Raises IndexError: when none waits."""
        return self._places.pop(0).job_id
