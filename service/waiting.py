"""The jobs that wait for a slot, in the order in which they get one."""

import bisect
from typing import NamedTuple

from service.jobs import Job


class _Place(NamedTuple):
    """Sorts by what comes first: interrupted jobs, higher priority, longer waiting."""

    is_new: bool
    lowness: int
    queued_at: float
    number: int
    job_id: str


class WaitingLine:
    """Waiting jobs in order. Not for several threads: its owner has a lock."""

    def __init__(self) -> None:
        self._places: list[_Place] = []
        #: The position that each job was told last.
        self._told: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._places)

    def add(self, job: Job) -> None:
        priority = job.request.get("priority") or 0
        place = _Place(job.reason != "interrupted", -priority, job.queued_at, job.number, job.id)
        bisect.insort(self._places, place)

    def remove(self, job_id: str) -> bool:
        """Take a job out; whether it was there."""
        left = [place for place in self._places if place.job_id != job_id]
        found = len(left) < len(self._places)
        self._places = left
        return found

    def pop(self) -> str:
        """Take out the job that is first. Raises IndexError: when none waits."""
        return self._places.pop(0).job_id

    def moved(self) -> list[tuple[str, int]]:
        """The jobs whose position is another one than when this was last asked, with their new one: 1 runs next."""
        now = {place.job_id: position for position, place in enumerate(self._places, 1)}
        moved = [(job_id, position) for job_id, position in now.items() if self._told.get(job_id) != position]
        self._told = now
        return moved
