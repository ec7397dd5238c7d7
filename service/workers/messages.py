"""What a worker's queue carries, checked: an event that a worker may say, and when it said so.

The worker's side is one `encode`. Only the service imports this: the checks are built once, which costs a tenth of a
second.
"""

from typing import Annotated, NamedTuple

import orjson
from pydantic import Discriminator, TypeAdapter, ValidationError

from service.new_events import WorkerEvent


class Said(NamedTuple):
    """An event, and when it was said (Unix seconds)."""

    time: float
    event: WorkerEvent


_EVENT: TypeAdapter[WorkerEvent] = TypeAdapter(Annotated[WorkerEvent, Discriminator("event")])


def decode_worker_event(message: bytes) -> Said | None:
    """What a worker has said; None: it is nothing that a worker may say.

    Fields that its type does not have are left out, so nothing stands deeper in it than the types say. A number that
    the log could not keep (`encode` would make it null) is none: orjson reads no infinity and no NaN, and an integer of
    more than 64 bits as a float, which no field for integers takes.
    """
    try:
        said: object = orjson.loads(message)
        match said:
            case [float(time), dict(event)]:
                return Said(time, _EVENT.validate_python(event, strict=True))
    except (orjson.JSONDecodeError, ValidationError):
        return None
    return None
