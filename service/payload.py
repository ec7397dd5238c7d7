"""The payload of `POST /train`, checked in full before a job exists."""

import difflib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from service.catalog import Catalog
from service.errors import Fault, InvalidJson, InvalidPayload

#: Arguments that say where files go or what runs: the service decides those.
REFUSED = frozenset({"project", "name", "save_dir", "exist_ok", "cfg", "resume", "mode", "task", "model"})
#: What `fit_params` takes beside Ultralytics' arguments.
OWN_ARGUMENTS: dict[str, dict[str, Any]] = {
    "tick_interval": {"types": ["int", "float"], "minimum": 0.1, "maximum": 3600},
}
_TYPES: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
    "str": (str,),
    "list": (list,),
    "dict": (dict,),
    "null": (type(None),),
}


class TrainRequest(BaseModel):
    """What a training is asked for with."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    model: str = Field(min_length=1, max_length=4_096)
    hyperparameters: dict[str, Any] = Field(default_factory=dict)
    fit_params: dict[str, Any]


def parse(body: bytes, catalog: Catalog) -> TrainRequest:
    """The checked request. The dataset behind `fit_params.data` is `dataset.read`'s to check.

    Raises InvalidJson: when the body is not JSON. Raises InvalidPayload: with every fault that was found.
    """
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidJson(f"the body is not JSON: {error}") from None
    try:
        request = TrainRequest.model_validate(content)
    except ValidationError as error:
        raise InvalidPayload([_fault(item) for item in error.errors()]) from None
    faults = [*_check_model(request.model, catalog), *_check_arguments(request, catalog)]
    if faults:
        raise InvalidPayload(faults)
    return request


def _fault(item: Any) -> Fault:
    pointer = _pointer(*item["loc"])
    if item["type"] == "extra_forbidden":
        return Fault(pointer, "unknown field", _nearest(str(item["loc"][-1]), TrainRequest.model_fields))
    return Fault(pointer, "is required" if item["type"] == "missing" else item["msg"])


def _check_model(model: str, catalog: Catalog) -> Iterator[Fault]:
    path = Path(model)
    if "://" in model or "\0" in model:
        yield Fault("/model", "must be a name or a path, not an address")
    elif path.suffix not in (".pt", ".yaml", ".yml", ""):
        yield Fault("/model", f"must be a known model, a .pt or a .yaml, got {path.suffix!r}")
    elif path.is_absolute():
        if not path.is_file() or not path.suffix:
            yield Fault("/model", f"there is no .pt or .yaml file {model}")
    elif path.suffix in (".yaml", ".yml"):
        if model not in catalog.model_configs:
            yield Fault("/model", "unknown model file", _nearest(model, catalog.model_configs))
    elif model.removesuffix(".pt") not in catalog.models:
        yield Fault("/model", "unknown model", _nearest(model.removesuffix(".pt"), catalog.models))


def _check_arguments(request: TrainRequest, catalog: Catalog) -> Iterator[Fault]:
    known = {name: rule for name, rule in catalog.arguments.items() if name not in REFUSED}
    sections = {
        "hyperparameters": (request.hyperparameters, {name: known[name] for name in known if name != "data"}),
        "fit_params": (request.fit_params, known | OWN_ARGUMENTS),
    }
    if "data" not in request.fit_params:
        yield Fault("/fit_params/data", "is required: the path of a dataset YAML")
    for section, (values, rules) in sections.items():
        for name, value in values.items():
            pointer = _pointer(section, name)
            if name in REFUSED:
                yield Fault(pointer, "is decided by the service")
            elif name not in rules:
                yield Fault(pointer, "unknown argument", _nearest(name, rules))
            elif name == "device" and value not in (None, "", "cpu"):
                yield Fault(pointer, "GPUs are assigned by the service; leave it out, or say cpu", "cpu")
            elif name != "data" and (detail := _mismatch(value, rules[name])):
                yield Fault(pointer, detail)


def _mismatch(value: Any, rule: dict[str, Any]) -> str | None:
    """What is wrong with a value, or None."""
    types = rule["types"]
    if isinstance(value, bool):  # for Python a bool is an int
        fits = "bool" in types
    else:
        fits = any(isinstance(value, _TYPES[name]) for name in types if name != "bool")
    if not fits:
        return f"must be {' or '.join(types)}, got {orjson.dumps(value).decode()[:100]}"
    if isinstance(value, int | float) and not isinstance(value, bool):
        low, high = rule.get("minimum"), rule.get("maximum")
        if (low is not None and value < low) or (high is not None and value > high):
            bounds = [f"at least {low}" if low is not None else "", f"at most {high}" if high is not None else ""]
            return f"must be {' and '.join(filter(None, bounds))}, got {value}"
    return None


def _nearest(name: str, known: Iterable[str]) -> str | None:
    found = difflib.get_close_matches(name.lower(), list(known), n=1, cutoff=0.5)
    return found[0] if found else None


def _pointer(*parts: object) -> str:
    """A JSON pointer (RFC 6901)."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)
