"""The OpenAPI document, from the table of calls and the types that it names. Nothing is said here that is not there."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version
from itertools import groupby
from typing import Any, TypeAlias

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from service.errors import PROBLEM, Problem, ServiceError
from service.trainings.requests import Body, TrainRequest
from service.trainings.schema import Checked, body_schema
from service.web import queries
from service.web.call import STREAM, Answer, Call, Header, Shape

Json: TypeAlias = dict[str, Any]

VERSIONS: Mapping[str, str] = {"3.1": "3.1.1", "3.2": "3.2.0"}
#: What a frame's `data` is, by its event, is in the types; this is how it comes.
FRAMES = "Server-Sent Events. The `data` of each frame is JSON, of the type whose `event` is the frame's."
_PROBLEM: Shape = TypeAdapter(Problem)


class _Plain(GenerateJsonSchema):
    """Types by their own names; fields have no title, which would repeat the name."""

    def field_title_should_be_set(self, schema: object) -> bool:
        return False


def document(calls: Sequence[Call], train: Checked, form: str = "3.1") -> Json:
    """The document of these calls in a form of OpenAPI; `train` is the schema of a training's payload."""
    types = _Types(calls, train)
    paths: dict[str, Json] = {}
    for call in calls:
        operation = _operation(call, types, form)
        paths.setdefault(address(call), {})[call.method.lower()] = operation
    return {
        "openapi": VERSIONS[form],
        "info": {
            "title": "yolo-trainer",
            "version": version("yolo-trainer"),
            "description": "Trains YOLO models, and streams the training while it happens. See docs/protocol.md.",
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {"schemas": types.components},
    }


def address(call: Call) -> str:
    """The path of a call as OpenAPI has it."""
    return re.sub(r"{(\w+):\w+}", r"{\1}", call.path)


class _Types:
    """The types that calls name: each has a place in the document, and what stands for it."""

    def __init__(self, calls: Sequence[Call], train: Checked) -> None:
        shapes = {id(shape): shape for call in calls for shape in _shapes(call)} | {id(_PROBLEM): _PROBLEM}
        inputs = [(key, "serialization", shape) for key, shape in shapes.items()]
        made, named = TypeAdapter.json_schemas(
            inputs,  # type: ignore[arg-type]  # a literal in a tuple in a list
            ref_template="#/components/schemas/{model}",
            schema_generator=_Plain,
        )
        bodies = {call.body for call in calls if call.body is not None}
        whole = {
            "schemas": {key: schema for (key, _), schema in made.items()},
            "components": named.get("$defs", {}) | {body.__name__: _body(body, train) for body in bodies},
        }
        whole = _renamed(whole)
        self._schemas: dict[int, Json] = whole["schemas"]
        self.components: dict[str, Json] = dict(sorted(whole["components"].items()))

    def of(self, shape: Shape) -> Json:
        return self._schemas[id(shape)]

    @property
    def problem(self) -> Json:
        return self.of(_PROBLEM)


def _shapes(call: Call) -> Iterator[Shape]:
    yield from (header.shape for header in call.headers)
    for answer in call.answers.values():
        yield from (shape for shape in answer.content.values() if shape is not None)
        yield from (header.shape for header in answer.headers)


def _body(body: type[Body], train: Checked) -> Json:
    schema = train.schema if body is TrainRequest else body_schema(body).schema
    return {key: value for key, value in schema.items() if key != "$schema"}


def _renamed(whole: Json) -> Json:
    """The same with plain names: the events of a job end in `Event`, and nothing has its module's name in it.

    An event and a part of a snapshot have one name each in their modules: `Checkpoint`, `Dataset`. A title is the name:
    some of the programs that write clients name a class by it.
    """
    components: dict[str, Json] = whole["components"]
    events = {name for name in components if _is_event(components[name])}
    names = {name: _plain_name(name) + ("Event" if name in events else "") for name in components}
    old = re.compile(r"#/components/schemas/(.+)")

    def walk(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: walk(item) for key, item in value.items()}
        if isinstance(value, list):
            return [walk(item) for item in value]
        found = old.fullmatch(value) if isinstance(value, str) else None
        return f"#/components/schemas/{names[found[1]]}" if found else value

    titled = {k: {**v, "title": names[k]} if "title" in v else v for k, v in components.items()}
    return {"schemas": walk(whole["schemas"]), "components": {names[k]: walk(v) for k, v in titled.items()}}


def _plain_name(name: str) -> str:
    return re.sub(r"^\w*__(\w+?)(-Output)?$", r"\1", name)


def _is_event(schema: Json) -> bool:
    properties = schema.get("properties", {})
    return {"event", "job_id", "attempt", "time"} <= properties.keys() and "status" not in properties


def _operation(call: Call, types: _Types, form: str) -> Json:
    parameters = [*_path_parameters(call), *_query_parameters(call), *_header_parameters(call, types)]
    answers = {str(status): _answer(answer, types, form) for status, answer in call.answers.items()}
    operation: Json = {
        "operationId": call.name,
        "summary": call.summary,
        "parameters": parameters,
        "responses": answers | dict(_problems(call.problems, types)),
    }
    if call.body is not None:
        content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{call.body.__name__}"}}}
        operation["requestBody"] = {"required": not call.is_body_optional, "content": content}
    return operation


def _path_parameters(call: Call) -> Iterator[Json]:
    for name in re.findall(r"{(\w+)", call.path):
        yield {"in": "path", "name": name, "required": True, "schema": {"type": "string", "minLength": 1}}


def _query_parameters(call: Call) -> Iterator[Json]:
    for name, schema in (queries.schema(call.query) if call.query is not None else {}).items():
        commas = {"style": "form", "explode": False} if schema["type"] == "array" else {}
        about = {"description": schema.pop("description"), "allowEmptyValue": True}  # as good as none
        yield {"in": "query", "name": name, "required": False, **about, **commas, "schema": schema}


def _header_parameters(call: Call, types: _Types) -> Iterator[Json]:
    for header in call.headers:
        yield {"in": "header", "name": header.name, "required": False, **_header(header, types)}


def _header(header: Header, types: _Types) -> Json:
    about = {"description": header.description} if header.description else {}
    return {**about, "schema": types.of(header.shape)}


def _answer(answer: Answer, types: _Types, form: str) -> Json:
    found: Json = {"description": answer.description}
    if answer.content:
        found["content"] = {media: _content(media, shape, types, form) for media, shape in answer.content.items()}
    if answer.headers:
        found["headers"] = {header.name: _header(header, types) for header in answer.headers}
    return found


def _content(media: str, shape: Shape | None, types: _Types, form: str) -> Json:
    if shape is None:
        return {"schema": {"type": "string"}} if media.startswith("text/") else {}
    schema = types.of(shape)
    if media != STREAM:
        return {"schema": schema}
    data = {"type": "string", "contentMediaType": "application/json", "contentSchema": schema}
    if form == "3.1":  # it has no words for the frames of a stream: this is of the text of their `data`
        return {"schema": {**data, "description": FRAMES}}
    text = {"type": "string"}
    frame = {"event": text, "id": text, "data": data, "retry": {"type": "integer"}}
    return {"itemSchema": {"type": "object", "description": FRAMES, "required": ["data"], "properties": frame}}


def _problems(problems: Iterable[type[ServiceError]], types: _Types) -> Iterator[tuple[str, Json]]:
    """By status; what is left (a fault of ours, a connection's) is the default."""
    for status, group in groupby(problems, key=lambda problem: int(problem.status)):
        same = list(group)
        told = [f"`{problem.code}`: {_when(problem)}" for problem in same]
        found = _problem("\n".join(told), types)
        if any(problem.retry_after for problem in same):
            about = {"description": "Seconds.", "schema": {"type": "integer"}}
            found["headers"] = {"Retry-After": about}
        yield str(status), found
    yield "default", _problem("Another problem: its `code` says which.", types)


def _problem(description: str, types: _Types) -> Json:
    return {"description": description, "content": {PROBLEM: {"schema": types.problem}}}


def _when(problem: type[ServiceError]) -> str:
    first = (problem.__doc__ or "").partition("\n\n")[0]
    return " ".join(first.removeprefix("Raised ").split())
