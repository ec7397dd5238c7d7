"""The payload of `POST /train`, checked in full before a job exists."""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from service.catalog import Catalog
from service.errors import Fault, InvalidJson, InvalidPayload
from service.schema import REFUSED, train_schema

_TYPES: dict[str, tuple[type, ...]] = {
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "string": (str,),
    "array": (list,),
    "object": (dict,),
    "null": (type(None),),
}


class TrainRequest(BaseModel):
    """What a training is asked for with."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    model: str = Field(min_length=1, max_length=4_096)
    hyperparameters: dict[str, Any] = Field(default_factory=dict)
    fit_params: dict[str, Any]


def parse(body: bytes, catalog: Catalog, only_weights_in: Path | None = None) -> TrainRequest:
    """The checked request. The dataset behind `fit_params.data` is `dataset.read`'s to check.

    `only_weights_in` is the folder of the official weights where nothing is downloaded, None where that is allowed.
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
    faults = [*_check_model(request.model, catalog, only_weights_in), *_check_arguments(request, catalog)]
    if faults:
        raise InvalidPayload(faults)
    return request


def _fault(item: Any) -> Fault:
    pointer = _pointer(*item["loc"])
    if item["type"] == "extra_forbidden":
        return Fault(pointer, "unknown field", _nearest(str(item["loc"][-1]), TrainRequest.model_fields))
    return Fault(pointer, "is required" if item["type"] == "missing" else item["msg"])


def _check_model(model: str, catalog: Catalog, only_weights_in: Path | None) -> Iterator[Fault]:
    path = Path(model)
    stem = model.removesuffix(".pt")
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
    elif stem not in catalog.models:
        yield Fault("/model", "unknown model", _nearest(stem, catalog.models))
    elif only_weights_in is not None and not (only_weights_in / f"{stem}.pt").is_file():
        config = f"{stem}.yaml" if f"{stem}.yaml" in catalog.model_configs else None
        yield Fault("/model", f"{stem}.pt is not in {only_weights_in}, and nothing is downloaded (--offline)", config)


def _check_arguments(request: TrainRequest, catalog: Catalog) -> Iterator[Fault]:
    sections = train_schema(catalog)["properties"]
    if "data" not in request.fit_params:
        yield Fault("/fit_params/data", "is required: the absolute path of a dataset")
    for section in ("hyperparameters", "fit_params"):
        known = sections[section]["properties"]
        for name, value in getattr(request, section).items():
            pointer = _pointer(section, name)
            if name in REFUSED:
                yield Fault(pointer, "is decided by the service")
            elif name not in known:
                yield Fault(pointer, "unknown argument", _nearest(name, known))
            elif detail := mismatch(value, known[name]):
                yield Fault(pointer, detail, _nearest_of(value, known[name]))


def mismatch(value: Any, schema: Mapping[str, Any]) -> str | None:
    """What is wrong with a value by its schema (type, enum, minimum, maximum, items), or None.

    A value of `enum` is right whatever else is said; others must fit what `type` leaves open beside the enum's texts.
    """
    options = schema.get("enum")
    if options is not None and any(
        value is option or value == option for option in options if _same_kind(value, option)
    ):
        return None
    types = schema.get("type", [])
    types = [types] if isinstance(types, str) else types
    open_types = [name for name in types if options is None or name not in ("string", "null")]
    if not any(_is(value, name) for name in open_types):
        wanted = " or ".join([*([f"one of {_json(options)}"] if options is not None else []), *open_types])
        return f"must be {wanted}, got {_json(value)[:100]}"
    if isinstance(value, list) and "items" in schema:
        return next(
            (
                f"item {index}: {wrong}"
                for index, item in enumerate(value)
                if (wrong := mismatch(item, schema["items"]))
            ),
            None,
        )
    return _out_of_bounds(value, schema) if _is(value, "number") else None


def _out_of_bounds(value: float, schema: Mapping[str, Any]) -> str | None:
    low, high = schema.get("minimum"), schema.get("maximum")
    if (low is None or value >= low) and (high is None or value <= high):
        return None
    bounds = [f"at least {low}" if low is not None else "", f"at most {high}" if high is not None else ""]
    return f"must be {' and '.join(filter(None, bounds))}, got {value}"


def _is(value: Any, name: str) -> bool:
    if isinstance(value, bool):  # for Python a bool is an int
        return name == "boolean"
    return isinstance(value, _TYPES[name])


def _same_kind(value: Any, option: Any) -> bool:
    return isinstance(value, bool) == isinstance(option, bool)


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()


def _nearest_of(value: Any, schema: Mapping[str, Any]) -> str | None:
    """The nearest text that would have been taken."""
    options = [option for option in schema.get("enum", []) if isinstance(option, str) and option]
    return _nearest(value, options) if isinstance(value, str) else None


def _nearest(name: str, known: Iterable[str]) -> str | None:
    names = {known_name.lower(): known_name for known_name in known}
    found = difflib.get_close_matches(name.lower(), list(names), n=1, cutoff=0.5)
    return names[found[0]] if found else None


def _pointer(*parts: object) -> str:
    """A JSON pointer (RFC 6901)."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)
