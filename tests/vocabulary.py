"""What the service may say: every event that a test sees is held against its type."""

from typing import Any

from pydantic import TypeAdapter

from service.web.answers import BoardEvent, JobEvent

#: Of one job, and of the stream of all jobs.
_JOB: TypeAdapter[Any] = TypeAdapter(JobEvent)
_BOARD: TypeAdapter[Any] = TypeAdapter(BoardEvent)


def checked(data: bytes | str) -> dict[str, Any]:
    """An event of a job, which has the fields of its type and no others. Raises ValidationError."""
    return _read(_JOB, data)


def checked_of_board(data: bytes | str) -> dict[str, Any]:
    """The same of the stream of all jobs, and of each snapshot in it."""
    return _read(_BOARD, data)


def _read(kind: TypeAdapter[Any], data: bytes | str) -> dict[str, Any]:
    event: dict[str, Any] = kind.validate_json(data, strict=True, extra="forbid")
    return event
