"""What a worker's queue carries, checked: an event that a worker may say, and when it said so.

The worker's side is one `encode`. Only the service imports this: the checks are built once, which costs a tenth of a
second.
"""

from typing import Annotated, NamedTuple

from pydantic import Discriminator, TypeAdapter, ValidationError

from service.new_events import WorkerEvent


class Said(NamedTuple):
    """An event, and when it was said (Unix seconds)."""

    time: float
    event: Annotated[WorkerEvent, Discriminator("event")]


_SAID = TypeAdapter(Said)


def decode_worker_event(message: bytes) -> Said | None:
    """What a worker has said; None: it is nothing that a worker may say.

    Fields that its type does not have are left out, so nothing stands deeper in it than the types say.
    """
    try:
        return _SAID.validate_json(message, strict=True)
    except ValidationError:
        return None
