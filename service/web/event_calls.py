"""Events: a job's as a stream, as pages of JSON, and as text; and one stream for all jobs."""

from collections.abc import Iterator

from anyio import to_thread
from starlette.responses import Response, StreamingResponse

from service.encoding import encode
from service.errors import BeyondLog, InvalidCursor
from service.events import UNFILTERED_TYPES
from service.frames import Types
from service.job import Job
from service.web import log_text, queries, requested
from service.web.answers import encoded_document
from service.web.negotiation import preferred
from service.web.queries import EventsQuery, LogQuery
from service.web.sse_response import BoardStream, JobStream
from service.web.state import Request

#: In what form events are given; the first where nothing is preferred.
FORMS = ("text/event-stream", "application/json")
#: Jobs with which the stream of all jobs begins.
BOARD_JOBS = 200


async def events(request: Request) -> Response:
    """Server-Sent Events, or as JSON a page."""
    query = queries.read(request, EventsQuery)
    # The header beats the query: a browser's reconnect sends it beside the address it was opened with.
    given = requested.last_event_id(request)
    cursor = query.last_event_id if given is None else given
    types = None if query.types is None else frozenset(query.types)
    job = await requested.job(request)
    if preferred(request.headers.get("accept"), FORMS) == "application/json":
        response = await _page(request, job, cursor, types, query.limit or 1)
    else:
        response = _stream(request, job, cursor, types)
    response.headers["Vary"] = "Accept"  # a cache must not give one for the other
    return response


def _stream(request: Request, job: Job, cursor: int, types: Types | None) -> Response:
    if job.is_final and cursor == job.last_seq:
        return Response(status_code=204, headers={"Cache-Control": "no-store"})
    return JobStream(request.state["hub"], job, cursor, types)


async def _page(request: Request, job: Job, cursor: int, types: Types | None, limit: int) -> Response:
    """An `EventPage`."""
    cursor = 0 if cursor > job.last_seq else cursor  # as in a stream, which says `reset`
    records = await to_thread.run_sync(request.state["store"].read, job.id, cursor, limit)
    last = (records[-1].seq or 0) if records else cursor
    shown = [record.data for record in records if types is None or record.type in types | UNFILTERED_TYPES]
    more = requested.address(request, last_event_id=last) if last < job.last_seq else None
    head = encode({"job_id": job.id, "last_seq": job.last_seq, "last_event_id": last, "next": more})
    # The events are JSON already: as logged, not parsed and written again.
    response = encoded_document(head[:-1] + b',"events":[' + b",".join(shown) + b"]}")
    if more is None and not job.is_final:  # the next event makes another one of it
        response.headers["Cache-Control"] = "no-store"
    return response


async def logs(request: Request) -> Response:
    """The log as plain text; with `follow` to the job's end."""
    query = queries.read(request, LogQuery)
    job, hub = await requested.job(request), request.state["hub"]
    first, after = await _begin(request, job, query)
    if query.follow in ("1", "true"):
        return log_text.FollowedLog(hub, job.id, first, after)
    last_seq = max(after, job.last_seq)
    headers = {**log_text.HEADERS, "Log-Seq": str(last_seq)}
    content = log_text.between(request.state["store"], job.id, first, after, last_seq)
    # HEAD gets none: its connection would wait for the end of what nobody sees.
    shown: Iterator[bytes] = iter(()) if request.method == "HEAD" else content
    return StreamingResponse(shown, headers=headers, media_type="text/plain")


async def _begin(request: Request, job: Job, query: LogQuery) -> tuple[bytes, int]:
    """What a log begins with, and the event after which it goes on. Raises InvalidCursor, BeyondLog."""
    store = request.state["store"]
    if len(given := [name for name in ("tail", "after", "offset") if getattr(query, name) is not None]) > 1:
        raise InvalidCursor(f"give one of tail, after and offset, got {' and '.join(given)}")
    if query.tail is not None:
        return await to_thread.run_sync(log_text.last, store, job.id, query.tail)
    if query.offset is not None:
        return await to_thread.run_sync(log_text.beyond, store, job.id, query.offset)
    if (after := query.after or 0) > job.last_seq:
        raise BeyondLog(f"after is {after}, but the log ends at {job.last_seq}: start again at 0")
    return b"", after


async def all_events(request: Request) -> Response:
    """The list of jobs, then each of them as it changes, at most twice a second."""
    store = request.state["store"]  # the stream keeps this, and not the request
    return BoardStream(request.state["hub"], lambda: store.jobs(limit=BOARD_JOBS))
