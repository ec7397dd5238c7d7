"""What a call is: one row of the table in `calls`, from which come the routes, the OpenAPI document and its page."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, TypeAlias

from pydantic import TypeAdapter
from starlette.responses import Response

from service.errors import (
    BodyTooLarge,
    Forbidden,
    InvalidCursor,
    InvalidHost,
    InvalidJson,
    InvalidPayload,
    JobNotFound,
    LogDamaged,
    ServiceError,
    StoreUnavailable,
    UnsupportedCoding,
    UnsupportedMedia,
)
from service.trainings.requests import Body
from service.web.queries import Query
from service.web.state import Request

Handler: TypeAlias = Callable[[Request], Awaitable[Response]]
#: A type of what is sent; a union or a TypedDict is none to mypy, so this is all that can be said of it.
Shape: TypeAlias = TypeAdapter[Any]

JSON = "application/json"
STREAM = "text/event-stream"
#: Problems that any call may have.
ALWAYS: Sequence[type[ServiceError]] = (InvalidHost, Forbidden, StoreUnavailable, LogDamaged)
OF_BODIES: Sequence[type[ServiceError]] = (
    *(InvalidJson, BodyTooLarge, UnsupportedMedia, UnsupportedCoding, InvalidPayload),
)


@dataclass(frozen=True)
class Header:
    """A header that a call takes, or that an answer has."""

    name: str
    shape: Shape = field(default=TypeAdapter(str))
    description: str = ""


ETAG = Header("ETag", description="To be asked for with If-None-Match.")


@dataclass(frozen=True)
class Answer:
    """What a call answers with when it does not fail."""

    description: str
    #: Media type → what is sent under it; None: bytes, or text that has no schema.
    content: Mapping[str, Shape | None] = field(default_factory=dict)
    headers: Sequence[Header] = ()


@dataclass(frozen=True)
class Call:
    """One method of one address."""

    #: Method and path, such as `GET /jobs/{job_id}`.
    line: str
    handler: Handler
    _: KW_ONLY
    #: What programs call it: the `operationId`.
    name: str
    summary: str
    answers: Mapping[int, Answer]
    query: type[Query] | None = None
    #: It is for browsers and for probes, which may add to its address what they like.
    takes_any_query: bool = False
    headers: Sequence[Header] = ()
    body: type[Body] | None = None
    is_body_optional: bool = False
    #: The problems that it has beside those that follow from the above.
    raises: Sequence[type[ServiceError]] = ()
    #: Its answer is a file, which is open while it is sent.
    sends_files: bool = False

    @property
    def method(self) -> str:
        return self.line.partition(" ")[0]

    @property
    def path(self) -> str:
        return self.line.partition(" ")[2]

    @property
    def problems(self) -> list[type[ServiceError]]:
        """All that it may fail with."""
        found = [*ALWAYS, *self.raises]
        found += [] if self.takes_any_query else [InvalidCursor]
        found += OF_BODIES if self.body is not None else []
        found += [] if self.method == "GET" else [UnsupportedMedia]  # the guard takes no form, whatever the call takes
        found += [JobNotFound] if "{job_id}" in self.path else []
        return sorted(set(found), key=lambda problem: (problem.status, problem.code))
