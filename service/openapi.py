"""The calls of the service as an OpenAPI document, and as a page: read from the routes and the first lines of their
handlers, so that nothing is said twice.
"""

import html
import re
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from typing import Any

from starlette.routing import BaseRoute, Route

#: The first line of a handler: "`POST /train`: what it does."
_LINE = re.compile(r"`(?P<method>[A-Z]+) (?P<path>[^`?]+)(\?(?P<query>[^`]*))?`: (?P<summary>.+)")
#: Handlers whose answer is another one than 200 with JSON.
_STATUS = {"train": 202, "demo": 202, "cancel": 202, "stop": 202, "resume": 202, "delete": 204}
_MEDIA = {
    "events": "text/event-stream",
    "all_events": "text/event-stream",
    "logs": "text/plain",
    "metrics": "text/plain",
    "artifact": "application/octet-stream",
    "artifacts_zip": "application/zip",
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
_HEADERS = {"train": ["Idempotency-Key"], "events": ["Last-Event-ID"]}
_PROBLEM = {
    "description": "what is wrong, as RFC 9457 has it",
    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
}
_TEXT = {"type": "string"}
_PROBLEM_SCHEMA = {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": _TEXT,
        "title": _TEXT,
        "status": {"type": "integer"},
        "detail": _TEXT,
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
    places = [("path", inside, True) for inside in re.findall(r"{(\w+)}", path)]
    places += [("query", part.partition("=")[0], False) for part in (call["query"] or "").split("&") if part]
    places += [("header", header, False) for header in _HEADERS.get(name, ())]
    status = _STATUS.get(name, 200)
    answer: dict[str, Any] = {"description": call["summary"]}
    if status != 204:
        answer["content"] = {_MEDIA.get(name, "application/json"): {}}
    operation: dict[str, Any] = {
        "operationId": name,
        "summary": call["summary"],
        "parameters": [
            {"in": place, "name": part, "required": needed, "schema": _TEXT} for place, part, needed in places
        ],
        "responses": {str(status): answer, "default": _PROBLEM},
    }
    if name in _BODIES:
        content = {"application/json": {"schema": _BODIES[name]}}
        operation["requestBody"] = {"required": name != "resume", "content": content}
    return operation
