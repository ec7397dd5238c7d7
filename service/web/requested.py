"""What handlers read of a request: its body, its job, its own name for itself; and the catalog, waited for."""

from pathlib import Path
from typing import Annotated

from anyio import to_thread
from pydantic import StringConstraints, TypeAdapter, ValidationError

from service.errors import BodyTooLarge, InvalidCursor, InvalidKey, UnsupportedCoding, UnsupportedMedia
from service.job import Job
from service.trainings.catalog import Catalog
from service.web.queries import Number
from service.web.state import Request

#: Seconds for which a training that is POSTed while the service warms up waits for it.
WARM_UP_SECONDS = 120.0
#: A request's own name for itself: printable ASCII characters.
KEY = TypeAdapter(Annotated[str, StringConstraints(min_length=1, max_length=255, pattern="^[ -~]+$")])
#: The number of an event.
EVENT_ID = TypeAdapter(Number)


async def ready(request: Request) -> Catalog:
    """What can be trained, once that is known. Raises NotReady."""
    return await request.state["readiness"].wait(WARM_UP_SECONDS)


async def job(request: Request) -> Job:
    """The job at the request's address. Raises JobNotFound."""
    store, job_id = request.state["store"], request.path_params["job_id"]
    current = store.current(job_id)  # in memory, if it has not ended: nothing keeps it from being shown
    return current if current is not None else await to_thread.run_sync(store.job, job_id)


def run_folder(request: Request, job_id: str) -> Path:
    """The folder that a job's training writes to."""
    return request.state["settings"].folder / "jobs" / job_id / "run"


def idempotency_key(request: Request) -> str | None:
    """The request's own name for itself. Raises InvalidKey."""
    key = request.headers.get("idempotency-key")
    try:
        return None if key is None else KEY.validate_python(key)
    except ValidationError:
        raise InvalidKey("an Idempotency-Key must have 1 to 255 printable ASCII characters") from None


def last_event_id(request: Request) -> int | None:
    """The event up to which a reader has them, by its header. Raises InvalidCursor."""
    if not (given := request.headers.get("last-event-id")):
        return None
    try:
        return EVENT_ID.validate_python(given)
    except ValidationError:
        raise InvalidCursor(f"Last-Event-ID must be the number of an event, got {given[:40]!r}") from None


async def json_body(request: Request, *, optional: bool = False) -> bytes:
    """The body of a JSON request. A form or plain text is refused: a foreign page can send those unasked.

    Raises BodyTooLarge, UnsupportedCoding, UnsupportedMedia.
    """
    limit = request.state["settings"].max_body_bytes
    announced = request.headers.get("content-length", "0")
    if not announced.isdecimal() or int(announced) > limit:  # nothing of it is waited for
        raise BodyTooLarge(f"the body is longer than {limit} bytes, the most that is read")
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise BodyTooLarge(f"the body is longer than {limit} bytes, the most that is read")
    if (coding := request.headers.get("content-encoding", "identity").strip().lower()) not in ("", "identity"):
        raise UnsupportedCoding(coding)
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json" and (body or not optional):
        raise UnsupportedMedia(f"send application/json, got {media_type or 'no content type'}")
    return body


def address(request: Request, **changes: object) -> str:
    """The request's own address with another query; from the root, since the host may have had another name."""
    url = request.url.include_query_params(**changes)
    return f"{url.path}?{url.query}"
