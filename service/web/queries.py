"""The query of each call as a type: its parameters, what each may be, and what is said of one that is not that."""

from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, ValidationError

from service.errors import InvalidCursor
from service.events import EVENT_TYPES
from service.snapshot import Status
from service.web import log_text
from service.web.state import Request

#: Events in one page of JSON, and jobs in one page of the list, at most.
PAGE = 1_000
#: Characters of what a list is searched for.
MAX_SEARCH = 200
#: The highest number of an event or a job that a client can name.
HIGHEST = 2**53


def _digits(value: object) -> object:
    """Whole numbers in ASCII digits only: to Python, 1_0 and ٣ are numbers, too."""
    if isinstance(value, str):
        if not (value.isascii() and value.isdigit() and len(value) <= 16):
            raise ValueError("no whole number")
        return int(value)
    return value


def _listed(value: object) -> object:
    """What is divided by commas."""
    return tuple(filter(None, value.split(","))) if isinstance(value, str) else value


def _known(value: str) -> str:
    if value not in EVENT_TYPES:
        raise ValueError("no type of event")
    return value


EventType = Annotated[str, AfterValidator(_known), Field(json_schema_extra={"enum": [*sorted(EVENT_TYPES)]})]
Digits = BeforeValidator(_digits)
#: The number of an event or a job.
Number = Annotated[int, Field(ge=0, le=HIGHEST), Digits]
Limit = Annotated[int, Field(ge=1, le=PAGE), Digits]
Commas = BeforeValidator(_listed)


class Query(BaseModel):
    """The parameters of a call; an empty one is as good as none."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ListQuery(Query):
    """Of `GET /jobs`."""

    status: Annotated[tuple[Status, ...], Commas] = Field((), description="Of these only.")
    q: str = Field("", max_length=MAX_SEARCH, description="Words that are parts of id, model or dataset.")
    limit: Limit = Field(100, description="Jobs in a page.")
    cursor: Number | None = Field(None, description="Where a page before this one ended; its `next` has it.")


class EventsQuery(Query):
    """Of `GET /jobs/<id>/events`."""

    types: Annotated[tuple[EventType, ...], Commas] | None = Field(
        None, description="Of these types only; final events and interrupted come in any case."
    )
    last_event_id: Number = Field(0, description="Events after this one; the header beats it.")
    limit: Limit = Field(PAGE, description="Events in a page of JSON; a stream has no pages.")


class LogQuery(Query):
    """Of `GET /jobs/<id>/logs`."""

    tail: Annotated[int, Field(ge=0, le=log_text.MAX_TAIL), Digits] | None = Field(
        None, description="The last lines only."
    )
    after: Number | None = Field(None, description="What comes after this event only.")
    offset: Number | None = Field(None, description="What comes after so many bytes only.")
    follow: Literal["0", "1", "false", "true"] = Field("0", description="Whether to go on until the job has ended.")


class FileQuery(Query):
    """Of `GET /jobs/<id>/artifacts/<path>`."""

    v: str = Field("", description="Anything; tells two versions of a file apart for a cache.")


class DocumentQuery(Query):
    """Of `GET /openapi.json`."""

    version: Literal["3.1", "3.2"] = Field("3.1", description="Of OpenAPI; 3.2 has words for streams.")


Q = TypeVar("Q", bound=Query)


def check(request: Request, query: type[Query] | None) -> None:
    """Raises InvalidCursor: when the request has a parameter that its call does not know, or one twice.

    A filter with a typing error in its name would give everything; of two, one would be lost.
    """
    known = list(query.model_fields) if query is not None else []
    if unknown := sorted(request.query_params.keys() - set(known)):
        takes = f"known: {', '.join(known)}" if known else "this call takes none"
        raise InvalidCursor(f"unknown parameter {unknown[0][:40]!r}; {takes}")
    counts = Counter(given for given, _ in request.query_params.multi_items())
    if twice := [given for given, count in counts.items() if count > 1]:
        raise InvalidCursor(f"{twice[0]} is named twice; several values are divided by commas")


def read(request: Request, query: type[Q]) -> Q:
    """The request's parameters. Raises InvalidCursor: when one is not what it may be."""
    given = {name: value for name, value in request.query_params.items() if value and name in query.model_fields}
    try:
        return query.model_validate(given)
    except ValidationError as error:
        name = str(error.errors()[0]["loc"][0])
        raise InvalidCursor(f"{name} must be {wanted(schema(query)[name])}, got {given[name][:40]!r}") from None


def wanted(rule: Mapping[str, JsonValue]) -> str:
    """What a parameter may be, in words."""
    match rule:
        case {"type": "integer", "minimum": low, "maximum": high}:
            return f"a whole number from {low} to {high}"
        case {"type": "array", "items": {"enum": list(named)}}:
            return f"one or more of {', '.join(map(str, named))}"
        case {"enum": list(named)}:
            return f"one of {', '.join(map(str, named))}"
        case {"maxLength": most, "pattern": _}:
            return f"1 to {most} printable ASCII characters"
        case {"maxLength": most}:
            return f"a text of at most {most} characters"
    return "a text"


def schema(query: type[Query]) -> dict[str, dict[str, JsonValue]]:
    """Parameter → its JSON Schema, where nothing is null: a parameter is there, or it is not."""
    whole = query.model_json_schema()
    return {name: _present(rule, whole.get("$defs", {})) for name, rule in whole["properties"].items()}


def _present(rule: dict[str, JsonValue], named: Mapping[str, dict[str, JsonValue]]) -> dict[str, JsonValue]:
    found = {key: value for key, value in rule.items() if key not in ("title", "anyOf")}
    if found.get("default") in (None, "", []):
        found.pop("default", None)
    match rule.get("anyOf"):
        case [dict(one), {"type": "null"}]:
            found = {**one, **found}
    match found.get("items"):
        case {"$ref": str(reference)}:
            found["items"] = {key: named[reference.rpartition("/")[2]][key] for key in ("type", "enum")}
    return found
