"""What is wrong with a body, in our words: the errors of its schema's validator, each with its place and its remedy."""

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import reduce
from typing import cast

import orjson
from jsonschema_rs import ValidationError, ValidationErrorKind
from pydantic import JsonValue

from service.errors import Fault
from service.trainings.schema import LARGEST, Checked, Schema, options, types

#: Characters of an unknown name that are answered.
MAX_NAME = 100
#: Characters of a wrong value that are answered.
MAX_VALUE = 100
Kind = ValidationErrorKind
#: What is said of something that is missing, and of a name that is not known.
REQUIRED, UNKNOWN = "is required", "unknown field"
ADDRESS = "must not be an address"
#: What is told of a value that breaks several rules: the first of these, or else what comes first.
_RANKS = (Kind.Not, Kind.Type, Kind.Enum, Kind.AnyOf)


def found(content: JsonValue, checked: Checked, depth: int) -> Iterator[Fault]:
    """Each wrong value once. What is deeper than `depth` is told at the place that it is in."""
    worst: dict[tuple[str | int, ...], ValidationError] = {}
    for error in checked.validator.iter_errors(content):
        place = *error.instance_path[:depth], *_missing(error)
        worst[place] = min(worst.get(place, error), error, key=_rank)
    for place, error in worst.items():
        yield from _faults(error, checked.schema, place, depth)


def _missing(error: ValidationError) -> tuple[str, ...]:
    return (error.kind.property,) if isinstance(error.kind, Kind.Required) else ()


def _rank(error: ValidationError) -> int:
    return next((rank for rank, kind in enumerate(_RANKS) if isinstance(error.kind, kind)), len(_RANKS))


def _faults(error: ValidationError, schema: Schema, place: Sequence[str | int], depth: int) -> Iterator[Fault]:
    rule = _at(schema, error.schema_path[:-1])
    if isinstance(error.kind, Kind.AdditionalProperties):
        known = cast("Mapping[str, JsonValue]", rule["properties"])
        for name in error.kind.unexpected:
            yield Fault(pointer(*place, name), UNKNOWN, nearest(name, known))
    else:
        inside = "".join(f"item {index}: " for index in error.instance_path[depth:])
        suggestion = _nearest_option(cast("JsonValue", error.instance), rule)
        yield Fault(pointer(*place), inside + _detail(error, rule), suggestion)


def _at(schema: Schema, path: Iterable[str | int]) -> Mapping[str, JsonValue]:
    def step(inside: JsonValue, part: str | int) -> JsonValue:
        return inside[int(part)] if isinstance(inside, list) else cast("Schema", inside)[str(part)]

    return cast("Mapping[str, JsonValue]", reduce(step, path, cast("JsonValue", schema)))


def _detail(error: ValidationError, rule: Mapping[str, JsonValue]) -> str:
    value, length = short(error.instance), len(error.instance) if isinstance(error.instance, str | list) else 0
    match error.kind:
        case Kind.Required():
            return REQUIRED
        case Kind.Not():
            return ADDRESS
        case Kind.Type() if "enum" not in rule:
            return f"must be {' or '.join(types(rule))}, got {value}"
        case Kind.Type() | Kind.Enum() | Kind.AnyOf():
            return f"must be one of {_json(options(rule))}, got {value}"
        case Kind.Minimum() | Kind.ExclusiveMinimum() | Kind.Maximum():
            return f"must be {_range(rule)}, got {value}"
        case Kind.MinItems() | Kind.MaxItems():
            return f"must have {rule.get('minItems', 0)} to {rule['maxItems']} items, got {length}"
        case Kind.MinLength():
            return "must not be empty"
        case Kind.MaxLength():
            return f"must have at most {rule['maxLength']} characters, got {length}"
        case Kind.Pattern():
            return f"must match {rule['pattern']}, got {value}"
    return error.message[:MAX_VALUE]  # a keyword that no schema of ours has


def _range(rule: Mapping[str, JsonValue]) -> str:
    words = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most"}
    bounds = {key: rule[key] for key in words if key in rule and rule[key] not in (LARGEST, -LARGEST)}
    if "exclusiveMinimum" in bounds:
        bounds.pop("minimum", None)
    return " and ".join(f"{words[key]} {bound}" for key, bound in bounds.items())


def short(value: object) -> str:
    """A value as JSON, not longer than an answer should repeat."""
    return _json(value)[:MAX_VALUE]


def _json(value: object) -> str:
    return orjson.dumps(value).decode()


def _nearest_option(value: JsonValue, rule: Mapping[str, JsonValue]) -> str | None:
    """The nearest text that would have been taken."""
    texts = [option for option in options(rule) if isinstance(option, str) and option]
    return nearest(value, texts) if isinstance(value, str) else None


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that is most like this one, in whatever case; None where none is."""
    names = {known_name.lower(): known_name for known_name in known}
    close = difflib.get_close_matches(name.lower(), list(names), n=1, cutoff=0.6)
    return names[close[0]] if close else None


def pointer(*parts: object) -> str:
    """A JSON pointer (RFC 6901); a name of any length is not sent back whole."""
    names = (name if len(name) <= MAX_NAME else f"{name[:MAX_NAME]}…" for name in map(str, parts))
    return "".join("/" + name.replace("~", "~0").replace("/", "~1") for name in names)
