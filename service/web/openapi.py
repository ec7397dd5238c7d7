"""The calls of the service as an OpenAPI document, and as a page: read from the routes, their parameters and the first
lines of their handlers, so that nothing is said twice. What those do not tell is in the tables here.
"""

import html
import re
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from typing import Any

from starlette.routing import BaseRoute, Route

from service.web import parameters

#: The first line of a handler: "`POST /train`: what it does."
_LINE = re.compile(r"`(?P<method>[A-Z]+) (?P<path>[^`?]+)(\?(?P<query>[^`]*))?`: (?P<summary>.+)")
#: What else than JSON a call answers with.
_MEDIA: Mapping[str, Sequence[str]] = {
    "index": ["text/html"],
    "docs": ["text/html"],
    "events": ["text/event-stream", "application/json"],
    "all_events": ["text/event-stream"],
    "logs": ["text/plain"],
    "metrics": ["text/plain"],
    "artifact": ["application/octet-stream"],
    "artifacts_zip": ["application/zip"],
}
#: The answers that do not fail: by status, what it says; where a call is not named, that is 200 and its summary.
#: Calls whose answer may be kept.
_KEPT = ("index", "show_job", "models", "schema", "openapi_document")
_KNOWN = "the client has it already (If-None-Match)"
_ACCEPTED = {"202": "on the disk, and queued", "200": "the same request came before: its job"}
_FILE = {"200": "the whole", "206": "the Range of it", "304": _KNOWN}
_ANSWERS: Mapping[str, Mapping[str, str]] = {
    "train": _ACCEPTED,
    "demo": _ACCEPTED,
    **{name: {"202": "the snapshot; the request is on the disk"} for name in ("cancel", "stop", "resume")},
    "delete": {"204": "the job is gone"},
    "events": {"200": "the events", "204": "the log has ended, and the client has all of it", "304": _KNOWN},
    "artifact": _FILE,
    "artifacts_zip": _FILE,
    **{name: {"200": "", "304": _KNOWN} for name in _KEPT},
}
_EMPTY = frozenset({"204", "304"})
_STARTS = {"200": ["Location", "Idempotent-Replayed"], "202": ["Location"]}
_FILE_HEADERS = {"200": ["ETag"], "206": ["ETag", "Content-Range"], "416": ["Content-Range"]}
#: The headers of answers, by call and status.
_SHOWN: Mapping[str, Mapping[str, Sequence[str]]] = {
    "train": _STARTS,
    "demo": _STARTS,
    "artifact": _FILE_HEADERS,
    "artifacts_zip": _FILE_HEADERS,
    "show_job": {"200": ["ETag"]},
}
#: Problems that a call has beside those that all may have.
_FAILS: Mapping[str, Mapping[str, str]] = {
    "artifact": {
        "400": "the Range does not parse",
        "412": "it is another file than If-Match or If-Unmodified-Since asks for",
        "416": "nothing of the file is in the Range",
    },
    "artifacts_zip": {"412": "they are other files than If-Match asks for", "416": "nothing of it is in the Range"},
}
#: The bodies: the schema of a payload is an address of its own, since it is the installed Ultralytics'.
_BODIES: Mapping[str, Any] = {
    "train": {"$ref": "/schema/train"},
    "check_dataset": {
        "type": "object",
        "required": ["data"],
        "additionalProperties": False,
        "properties": {
            "data": {"type": "string", "minLength": 1, "maxLength": 4_096},
            "task": {"enum": ["detect", "segment", "classify", "pose", "obb", None]},
            "single_cls": {"type": "boolean", "default": False},
            "classes": {"type": ["array", "null"], "items": {"type": "integer", "minimum": 0}},
        },
    },
    "resume": {
        "type": "object",
        "additionalProperties": False,
        "properties": {"epochs": {"type": ["integer", "null"], "minimum": 1, "maximum": 1_000_000}},
    },
}
_KEY = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"}
_TEXT = {"type": "string"}
#: The headers that a call takes.
_TAKES: Mapping[str, Mapping[str, parameters.Schema]] = {
    "train": {"Idempotency-Key": _KEY},
    "demo": {"Idempotency-Key": _KEY},
    "events": {"Last-Event-ID": parameters.NUMBER, "If-None-Match": _TEXT},
    "artifact": dict.fromkeys(
        ("Range", "If-Range", "If-None-Match", "If-Match", "If-Modified-Since", "If-Unmodified-Since"), _TEXT
    ),
    "artifacts_zip": dict.fromkeys(("Range", "If-Range", "If-None-Match", "If-Match"), _TEXT),
    **{name: {"If-None-Match": _TEXT} for name in _KEPT},
}
_PROBLEM = {
    "description": "what is wrong, as RFC 9457 has it",
    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    "headers": {"Retry-After": {"description": "of a 429 or 503: seconds", "schema": {"type": "integer"}}},
}
_PROBLEM_SCHEMA = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "code"],
    "properties": {
        "type": _TEXT,
        "title": _TEXT,
        "status": {"type": "integer"},
        "detail": _TEXT,
        "code": {"type": "string", "description": "For programs: docs/protocol.md lists them."},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["pointer", "detail"],
                "properties": {"pointer": _TEXT, "detail": _TEXT, "suggestion": _TEXT},
            },
        },
    },
}


def document(routes: Iterable[BaseRoute]) -> dict[str, Any]:
    """The OpenAPI 3.1 document of these routes."""
    paths: dict[str, dict[str, Any]] = {}
    for name, call in _calls(routes):
        path = re.sub(r"<(\w+)>", r"{\1}", call["path"])
        paths.setdefault(path, {})[call["method"].lower()] = _operation(name, path, call)
    info = {"title": "yolo-trainer", "version": version("yolo-trainer"), "description": "See docs/protocol.md."}
    components = {"schemas": {"Problem": _PROBLEM_SCHEMA}}
    return {"openapi": "3.1.0", "info": info, "paths": paths, "components": components}


def page(routes: Iterable[BaseRoute]) -> str:
    """The same for people, as HTML without style or script."""
    rows = (
        f"<tr><td><code>{html.escape(call['method'])}</code></td><td><code>{html.escape(call['path'])}"
        f"{html.escape('?' + call['query'] if call['query'] else '')}</code></td>"
        f"<td>{html.escape(call['summary'])}</td></tr>"
        for _, call in _calls(routes)
    )
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Calls of the YOLO trainer</title>'
        "<h1>Calls of the YOLO trainer</h1>"
        '<p>For programs: <a href="openapi.json">openapi.json</a>; the payload of a training: '
        '<a href="schema/train">schema/train</a>.</p>'
        f"<table><tr><th>method</th><th>address</th><th>what it does</th></tr>{''.join(rows)}</table></html>"
    )


def _calls(routes: Iterable[BaseRoute]) -> Iterable[tuple[str, dict[str, Any]]]:
    """Name and described line of each route's handler; routes without such a line are not calls."""
    for route in routes:
        handler = getattr(route, "endpoint", None)
        handler = getattr(handler, "handler", handler)
        found = _LINE.match(getattr(handler, "__doc__", None) or "") if isinstance(route, Route) else None
        if handler is not None and found:
            yield handler.__name__, found.groupdict()


def _operation(name: str, path: str, call: Mapping[str, Any]) -> dict[str, Any]:
    inside = [_parameter("path", part, _TEXT) for part in re.findall(r"{(\w+)}", path)]
    query = [_parameter("query", part, schema) for part, schema in parameters.QUERIES.get(name, {}).items()]
    headers = [_parameter("header", part, schema) for part, schema in _TAKES.get(name, {}).items()]
    operation: dict[str, Any] = {
        "operationId": name,
        "summary": call["summary"],
        "parameters": inside + query + headers,
        "responses": _responses(name, call["summary"]),
    }
    if name in _BODIES:
        content = {"application/json": {"schema": _BODIES[name]}}
        operation["requestBody"] = {"required": name != "resume", "content": content}
    return operation


def _parameter(place: str, name: str, schema: parameters.Schema) -> dict[str, Any]:
    about = {key: value for key, value in schema.items() if key == "description"}
    listed = {"style": "form", "explode": False} if schema["type"] == "array" else {}  # with commas
    bare = {key: value for key, value in schema.items() if key != "description"}
    return {"in": place, "name": name, "required": place == "path", **about, **listed, "schema": bare}


def _responses(name: str, summary: str) -> dict[str, Any]:
    found: dict[str, Any] = {"default": _PROBLEM}
    for status, text in _ANSWERS.get(name, {"200": summary}).items():
        found[status] = {"description": text or summary}
        if status not in _EMPTY:
            found[status]["content"] = {media: {} for media in _MEDIA.get(name, ["application/json"])}
    for status, text in _FAILS.get(name, {}).items():
        found[status] = {**_PROBLEM, "description": text}
    for status, headers in _SHOWN.get(name, {}).items():
        found[status]["headers"] = {header: {"schema": _TEXT} for header in headers}
    return found
