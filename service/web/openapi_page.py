"""The OpenAPI document as a page for people: HTML without style or script, so that nothing of it is loaded or runs."""

from collections.abc import Iterator, Mapping, Sequence
from html import escape

from service.web.openapi import Json


def page(document: Json) -> str:
    """Every call with its parameters and answers, then every type with its fields."""
    calls = [
        (f"{method.upper()} {path}", operation)
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    ]
    types: Mapping[str, Json] = document["components"]["schemas"]
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Calls of the YOLO trainer</title>'
        "<h1>Calls of the YOLO trainer</h1>"
        '<p>For programs: <a href="openapi.json">openapi.json</a>; the payload of a training: '
        '<a href="schema/train">schema/train</a>.</p>'
        + "".join(_call(line, operation) for line, operation in calls)
        + "<h1>Types</h1>"
        + "".join(_type(name, schema) for name, schema in types.items())
        + "</html>"
    )


def _call(line: str, operation: Json) -> str:
    body = operation.get("requestBody")
    takes = [
        ((parameter["name"], parameter["in"]), parameter["schema"], parameter.get("description", ""))
        for parameter in operation["parameters"]
    ]
    if body is not None:
        place = "body" if body["required"] else "body, if any"
        takes.append((("", place), body["content"]["application/json"]["schema"], ""))
    rows = [[_code(name), escape(place), _shape(schema), escape(about)] for (name, place), schema, about in takes]
    return (
        f'<h2 id="{escape(operation["operationId"])}"><code>{escape(line)}</code></h2>'
        f"<p>{escape(operation['summary'])}</p>"
        + (_table(["takes", "in", "type", ""], rows) if rows else "")
        + _table(["answers", "as", "type", ""], _answers(operation["responses"]))
    )


def _answers(responses: Mapping[str, Json]) -> Iterator[list[str]]:
    for status, response in responses.items():
        about = "<br>".join(escape(line) for line in response["description"].split("\n"))
        contents: Mapping[str, Json] = response.get("content", {})
        for media, content in contents.items():
            yield [_code(status), escape(media), _shape(content.get("schema", {})), about]
        if not contents:
            yield [_code(status), "", "", about]


def _type(name: str, schema: Json) -> str:
    fields = schema.get("properties")
    about = f"<p>{escape(schema.get('description', ''))}</p>"
    if fields is None:
        return f'<h2 id="type-{escape(name)}">{escape(name)}</h2>{about}<p>{_shape(schema)}</p>'
    needed = schema.get("required", ())
    rows = [
        [_code(field), _shape(rule), "" if field in needed else "optional", escape(rule.get("description", ""))]
        for field, rule in fields.items()
    ]
    return f'<h2 id="type-{escape(name)}">{escape(name)}</h2>{about}{_table(["field", "type", "", ""], rows)}'


def _shape(schema: Json) -> str:
    """A type in a few words, with links to those that have a name."""
    if (reference := schema.get("$ref")) is not None:
        name = escape(reference.rpartition("/")[2])
        return f'<a href="#type-{name}">{name}</a>'
    if (inside := schema.get("contentSchema")) is not None:
        return f"frames of {_shape(inside)}"
    if branches := schema.get("oneOf") or schema.get("anyOf"):
        return " or ".join(map(_shape, branches))
    if "const" in schema or "enum" in schema:
        return " or ".join(_code(str(value)) for value in schema.get("enum", [schema.get("const")]))
    kinds = [schema["type"]] if isinstance(schema.get("type"), str) else schema.get("type", ["anything"])
    return " or ".join(_kind(kind, schema) for kind in kinds) + escape(_bounds(schema))


def _kind(kind: str, schema: Json) -> str:
    if kind == "array" and "items" in schema:
        return f"array of {_shape(schema['items'])}"
    values = schema.get("additionalProperties")
    return f"object of {_shape(values)}" if kind == "object" and isinstance(values, dict) else escape(kind)


def _bounds(schema: Json) -> str:
    words = {"minimum": "from", "exclusiveMinimum": "above", "maximum": "to", "maxLength": "at most", "default": "="}
    found = [f"{word} {schema[key]}" for key, word in words.items() if schema.get(key) not in (None, "", [], {})]
    return f" ({', '.join(found)})" if found else ""


def _table(head: Sequence[str], rows: Iterator[list[str]] | list[list[str]]) -> str:
    top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    lines = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><tr>{top}</tr>{lines}</table>"


def _code(text: str) -> str:
    return f"<code>{escape(text)}</code>" if text else ""
