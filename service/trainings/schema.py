"""The JSON Schema of `POST /train`, made from the installed Ultralytics' own table; payloads are checked against it."""

from collections.abc import Iterable, Mapping
from typing import Any

from service.trainings.catalog import Catalog

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
#: Nothing is fetched on a payload's word.
NO_ADDRESS: dict[str, Any] = {"type": "string", "pattern": "://"}
#: What `fit_params` takes beside Ultralytics' arguments.
OWN_ARGUMENTS: dict[str, dict[str, Any]] = {
    "data": {
        "type": "string",
        "not": NO_ADDRESS,
        "description": "Absolute path of the dataset: a YAML, for classification a folder; or a known name.",
    },
    "tick_interval": {
        "type": "number",
        "minimum": 0.1,
        "maximum": 3_600,
        "default": 1.0,
        "description": "Seconds between two ticks.",
    },
    "preview": {
        "type": "integer",
        "minimum": 0,
        "maximum": 32,
        "default": 0,
        "description": "Validation images to draw with predictions and labels after each epoch.",
    },
    "strict_data": {
        "type": "boolean",
        "default": False,
        "description": "Whether to fail where images of the dataset are dropped or something else about it is odd.",
    },
}
#: Arguments of which the service takes less than Ultralytics does.
NARROWED: dict[str, dict[str, Any]] = {
    # A training gets the GPU of its slot; `device` may only keep it from that.
    "device": {"enum": [None, "", "cpu"], "default": None, "description": "cpu; GPUs are assigned by the service."},
    # A text would be weights to load, from the net too; `model` is where weights are named.
    "pretrained": {"type": "boolean", "default": True, "description": "Whether to start from the model's weights."},
}
_KEPT = ("enum", "minimum", "exclusiveMinimum", "maximum", "pattern", "minItems", "maxItems", "default", "description")
_TYPES = {
    "int": "integer",
    "float": "number",
    "bool": "boolean",
    "str": "string",
    "list": "array",
    "dict": "object",
    "null": "null",
}


def train_schema(catalog: Catalog) -> dict[str, Any]:
    """What `POST /train` takes (JSON Schema 2020-12)."""
    arguments = properties(catalog)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A training",
        "type": "object",
        "required": ["model", "fit_params"],
        "additionalProperties": False,
        "properties": {
            "model": {
                "type": "string",
                "minLength": 1,
                "maxLength": 4_096,
                "not": NO_ADDRESS,
                "description": "A name or packaged model file of GET /models, or the absolute path of a .pt or .yaml.",
            },
            "hyperparameters": {"type": "object", "additionalProperties": False, "properties": arguments},
            "fit_params": {
                "type": "object",
                "required": ["data"],
                "additionalProperties": False,
                # Without defaults: that of `epochs` here is what `hyperparameters` says. A client that filled it in
                # would override what its user asked for.
                "properties": {name: _without_default(rule) for name, rule in arguments.items()} | OWN_ARGUMENTS,
            },
            "priority": {
                "type": "integer",
                "minimum": -1_000,
                "maximum": 1_000,
                "default": 0,
                "description": "A job of a higher one runs first.",
            },
            "max_runtime_seconds": {
                "type": ["number", "null"],
                "exclusiveMinimum": 0,
                "maximum": 1e9,
                "default": None,
                "description": "Seconds after which an attempt is ended; it has failed, reason timeout.",
            },
        },
    }


def _without_default(rule: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in rule.items() if key != "default"}


def properties(catalog: Catalog) -> dict[str, dict[str, Any]]:
    """The schema of each training argument that a payload may set."""
    own = REFUSED | {"data"}
    return {name: _property(name, rule) for name, rule in catalog.arguments.items() if name not in own}


def _property(name: str, rule: Mapping[str, Any]) -> dict[str, Any]:
    if name in NARROWED:
        return NARROWED[name]
    types = json_types(rule["types"])
    found: dict[str, Any] = {"type": types[0] if len(types) == 1 else types}
    if "enum" in rule:
        found = {}  # the choices say it all, whatever their types
    elif "string" in types:
        found["not"] = NO_ADDRESS
    if "items" in rule:
        found["items"] = _property("", rule["items"])
    return found | {key: rule[key] for key in _KEPT if key in rule}


def json_types(types: Iterable[str]) -> list[str]:
    """JSON Schema's names of the types of Ultralytics' table."""
    return [_TYPES[kind] for kind in types]
