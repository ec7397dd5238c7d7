"""What the service may say: every event that a test sees is held against its type."""

from typing import Annotated, Any

from pydantic import Discriminator, TypeAdapter

from service.events import Event, Reset

_EVENT: TypeAdapter[Any] = TypeAdapter(Annotated[Event | Reset, Discriminator("event")])
#: Of the stream of all jobs.
BOARD = {"jobs", "job", "deleted", "positions"}


def checked(data: bytes | str) -> dict[str, Any]:
    """The event, which has the fields of its type and no others. Raises ValidationError."""
    event: dict[str, Any] = _EVENT.validate_json(data, strict=True, extra="forbid")
    return event
