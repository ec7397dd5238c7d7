"""The query of each call: its parameters and what each may be. Calls are held to it, and `openapi` shows it."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request

from service.errors import InvalidCursor
from service.events import EVENT_TYPES
from service.job import Status
from service.web import log_text

#: Events in one page of JSON, and jobs in one page of the list, at most.
PAGE = 1_000
#: Characters of what a list is searched for.
MAX_SEARCH = 200
#: The highest number of an event or a job that a client can name.
HIGHEST = 2**53

Schema = Mapping[str, Any]

#: The number of an event or a job.
NUMBER: Schema = {"type": "integer", "minimum": 0, "maximum": HIGHEST}
_LIMIT = {"type": "integer", "minimum": 0, "maximum": PAGE}
#: By the name of the handler. What is not here takes no query at all.
QUERIES: Mapping[str, Mapping[str, Schema]] = {
    "list_jobs": {
        "status": {"type": "array", "items": {"type": "string", "enum": [*Status]}, "description": "Of these only."},
        "q": {
            "type": "string",
            "maxLength": MAX_SEARCH,
            "description": "Words that are parts of id, model or dataset.",
        },
        "limit": {**_LIMIT, "default": 100},
        "cursor": NUMBER,
    },
    "events": {
        "types": {
            "type": "array",
            "items": {"type": "string", "enum": sorted(EVENT_TYPES)},
            "description": "Of these types only; final events and interrupted come in any case.",
        },
        "last_event_id": {**NUMBER, "default": 0, "description": "Events after this one; the header beats it."},
        "limit": {**_LIMIT, "default": PAGE, "description": "Events in a page of JSON; a stream has no pages."},
    },
    "logs": {
        "tail": {"type": "integer", "minimum": 0, "maximum": log_text.MAX_TAIL, "description": "The last lines only."},
        "after": {**NUMBER, "description": "What comes after this event only."},
        "offset": {**NUMBER, "description": "What comes after so many bytes only."},
        "follow": {"type": "string", "description": "Goes on until the job has ended, unless empty, 0 or false."},
    },
    "artifact": {"v": {"type": "string", "description": "Anything; tells two versions of a file apart for a cache."}},
}
#: Calls of people's browsers and of probes, which may add to an address what they like.
UNCHECKED = frozenset({"index", "healthz", "readyz", "metrics"})


def check(request: Request, name: str) -> None:
    """Raises InvalidCursor: when the query of the call `name` has a parameter that it does not know, or one twice.

    A filter with a typing error in its name would give everything; of two, one would be lost.
    """
    known = QUERIES.get(name, {})
    unknown = sorted(request.query_params.keys() - known.keys())
    if name in UNCHECKED:
        return
    if unknown:
        takes = f"known: {', '.join(known)}" if known else "this call takes none"
        raise InvalidCursor(f"unknown parameter {unknown[0][:40]!r}; {takes}")
    counts = Counter(given for given, _ in request.query_params.multi_items())
    if twice := [given for given, count in counts.items() if count > 1]:
        raise InvalidCursor(f"{twice[0]} is named twice; several values are divided by commas")
