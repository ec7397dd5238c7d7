"""The JSON Schema (2020-12) of each body. It is shown to clients, and bodies are checked against the very same."""

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import cast

from jsonschema_rs import Draft202012Validator
from pydantic import JsonValue
from pydantic.json_schema import GenerateJsonSchema

from AI.model_trainer.own_options import MAX_PREVIEW
from service.trainings.catalog import Catalog
from service.trainings.requests import MAX_ITEMS, MAX_TEXT, NO_ADDRESS, Body, TrainRequest

Schema = dict[str, JsonValue]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
#: Arguments that say where files go or what runs: the service decides those.
REFUSED = frozenset(
    {"project", "name", "save_dir", "exist_ok", "cfg", "resume", "mode", "task", "model"}
    # These load or run what they name.
    | {"distill_model", "augmentations", "source", "tracker"}
)
#: Of those: what may be said to be absent, as a dump of Ultralytics' own arguments says it.
NO_MATTER_IF_NULL = frozenset({"augmentations"})
#: Arguments whose choices Ultralytics takes in capitals and small letters alike.
CASELESS = frozenset({"optimizer", "cache"})
#: What `fit_params` takes beside Ultralytics' arguments.
OWN_ARGUMENTS: Mapping[str, Schema] = {
    "data": {
        "type": "string",
        "maxLength": MAX_TEXT,
        "not": NO_ADDRESS,
        "description": "Absolute path of the dataset: a YAML, for classification a folder; or a known name.",
    },
    "tick_interval": {
        "type": "number",
        "minimum": 0.1,
        "maximum": 3_600,
        "description": "Seconds between two ticks; 1 where nothing is said.",
    },
    "preview": {
        "type": "integer",
        "minimum": 0,
        "maximum": MAX_PREVIEW,
        "description": "Validation images to draw with predictions and labels after each epoch; 0: none.",
    },
    "strict_data": {
        "type": "boolean",
        "description": "true: fail where images of the dataset are dropped or something else about it is odd.",
    },
}
#: Arguments of which the service takes less than Ultralytics does.
NARROWED: Mapping[str, Schema] = {
    # A training gets the GPU of its slot; `device` may only keep it from that.
    "device": {
        "anyOf": [{"type": "null"}, {"type": "string", "enum": ["", "cpu"]}],
        "default": None,
        "description": "cpu; GPUs are assigned by the service.",
    },
    # A text would be weights to load, from the net too; `model` is where weights are named.
    "pretrained": {"type": "boolean", "default": True, "description": "Whether to start from the model's weights."},
}
#: Arguments that weights bring with them, and of which classification has its own default: to say Ultralytics' default
#: is something else than to say nothing.
OF_THE_MODEL = frozenset({"imgsz", "single_cls"})
_KEPT = ("minimum", "exclusiveMinimum", "maximum", "pattern", "minItems", "maxItems", "default", "description")
_TYPES = {
    "int": "integer",
    "float": "number",
    "bool": "boolean",
    "str": "string",
    "list": "array",
    "dict": "object",
    "null": "null",
}
#: The largest integer that every reader of JSON has exactly (RFC 8259, 6).
LARGEST = 2**53 - 1


class _Untitled(GenerateJsonSchema):
    """Without titles of fields, which repeat their names."""

    def field_title_should_be_set(self, schema: object) -> bool:
        return False


@dataclass(frozen=True, eq=False)
class Checked:
    """A schema, and what checks a body against it."""

    schema: Schema
    validator: Draft202012Validator

    @classmethod
    def by(cls, schema: Schema) -> "Checked":
        return cls(schema, Draft202012Validator(schema))


@functools.cache
def body_schema(model: type[Body]) -> Checked:
    """The schema of a body that is the same on every machine."""
    return Checked.by(_plain(model))


@functools.lru_cache(maxsize=2)
def train_schema(catalog: Catalog | None) -> Checked:
    """The schema of what `POST /train` takes: its arguments are those of the installed Ultralytics.

    Without a catalog it says nothing of them: for readers, where nothing can be trained.
    """
    whole = _plain(TrainRequest)
    whole.pop("$defs", None)  # of the arguments, which are described below
    sections = cast("dict[str, Schema]", whole["properties"])
    if catalog is None:
        sections["hyperparameters"] |= {"additionalProperties": True}
        sections["fit_params"] |= {"required": ["data"], "additionalProperties": True, "properties": {**OWN_ARGUMENTS}}
        return Checked.by({"$schema": DIALECT, **whole})
    arguments = properties(catalog)
    # A client may fill in defaults, and then trains what it would have trained without. In `fit_params` there is none:
    # that of `epochs` is what `hyperparameters` says, and a client that filled it in would override that.
    bare = {name: _without_default(rule) for name, rule in arguments.items()}
    sections["hyperparameters"] |= _closed(arguments | {name: bare[name] for name in OF_THE_MODEL & bare.keys()})
    sections["fit_params"] |= {"required": ["data"], **_closed(bare | {**OWN_ARGUMENTS})}
    return Checked.by({"$schema": DIALECT, **whole})


def _closed(rules: Mapping[str, Schema]) -> Schema:
    return {"additionalProperties": False, "properties": cast("Schema", rules)}


def _without_default(rule: Schema) -> Schema:
    return {key: value for key, value in rule.items() if key != "default"}


def _plain(model: type[Body]) -> Schema:
    """A model's schema as pydantic has it; what may be null says so among its types."""
    schema: Schema = model.model_json_schema(schema_generator=_Untitled)
    rules = cast("dict[str, Schema]", schema["properties"])
    return {**schema, "properties": {name: _merged(rule) for name, rule in rules.items()}}


def _merged(rule: Schema) -> Schema:
    match rule.get("anyOf"):
        case [dict(one), {"type": "null"}] if isinstance(one.get("type"), str) and "enum" not in one:
            rest = {key: value for key, value in rule.items() if key != "anyOf"}
            return {**one, "type": [one["type"], "null"], **rest}
    return rule


def properties(catalog: Catalog) -> dict[str, Schema]:
    """The schema of each training argument that a payload may set."""
    own = REFUSED | {"data"}
    taken = {name: _property(name, rule) for name, rule in catalog.arguments.items() if name not in own}
    absent: Schema = {"type": "null", "deprecated": True, "description": "Is decided by the service."}
    of_before = {
        name: _typed(json_types(types)) | {"deprecated": True, "description": "Translated or left out by Ultralytics."}
        for name, types in catalog.deprecated.items()
    }
    return taken | of_before | dict.fromkeys(sorted(NO_MATTER_IF_NULL), absent)


def _property(name: str, rule: Mapping[str, JsonValue]) -> Schema:
    if name in NARROWED:
        return NARROWED[name]
    if isinstance(choices := rule.get("enum"), list):
        return _choices(choices) | {key: rule[key] for key in ("default", "description") if key in rule}
    found = _typed(json_types(cast("list[str]", rule["types"])))
    if isinstance(items := rule.get("items"), dict):
        found["items"] = _property("", items)
    return found | {key: rule[key] for key in _KEPT if key in rule}


def _typed(types: list[str]) -> Schema:
    """A value of these types, within the bounds that hold where nothing else is said."""
    found: Schema = {"type": types[0] if len(types) == 1 else [*types]}
    if "string" in types:
        found |= {"maxLength": MAX_TEXT, "not": NO_ADDRESS}
    if "array" in types:
        found["maxItems"] = MAX_ITEMS
    if "integer" in types:
        found |= {"minimum": -LARGEST, "maximum": LARGEST}
    return found


def _choices(options: list[JsonValue]) -> Schema:
    """One of these. Options of several types are a schema for each type: programs that write clients need that."""
    by_type: dict[str, list[JsonValue]] = {}
    for option in options:
        by_type.setdefault(_type_of(option), []).append(option)
    branches = [_branch(kind, values) for kind, values in by_type.items()]
    return branches[0] if len(branches) == 1 else {"anyOf": [*branches]}


def _branch(kind: str, values: list[JsonValue]) -> Schema:
    is_all = kind == "null" or (kind == "boolean" and len(values) == 2)
    return {"type": kind} if is_all else {"type": kind, "enum": values}


def _type_of(value: JsonValue) -> str:
    names = {bool: "boolean", int: "integer", float: "number", str: "string", type(None): "null"}
    return names[type(value)]


def options(rule: Mapping[str, JsonValue]) -> list[JsonValue]:
    """All that a value may be, in the order of the schema; none where that is no list of choices."""
    if isinstance(branches := rule.get("anyOf"), list):
        return [option for branch in branches if isinstance(branch, dict) for option in options(branch)]
    if isinstance(listed := rule.get("enum"), list):
        return listed
    named: dict[JsonValue, list[JsonValue]] = {"boolean": [True, False], "null": [None]}
    kind = rule.get("type")
    return named.get(kind, []) if isinstance(kind, str) else []


def types(rule: Mapping[str, JsonValue]) -> list[str]:
    """The types that a value may have, by JSON Schema's names."""
    if isinstance(branches := rule.get("anyOf"), list):
        return [kind for branch in branches if isinstance(branch, dict) for kind in types(branch)]
    kind = rule.get("type", [])
    return [kind] if isinstance(kind, str) else cast("list[str]", kind)


def json_types(kinds: Iterable[str]) -> list[str]:
    """JSON Schema's names of the types of Ultralytics' table."""
    return [_TYPES[kind] for kind in kinds]
