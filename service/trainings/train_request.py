"""The payload of `POST /train`, checked in full before a job exists."""

import difflib
import itertools
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import orjson
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from service.datasets import json_keys, safe_yaml
from service.errors import Fault, InvalidJson, InvalidPayload
from service.events import is_deeper
from service.trainings.catalog import Catalog
from service.trainings.schema import CASELESS, NO_MATTER_IF_NULL, OWN_ARGUMENTS, REFUSED, json_types, train_schema
from service.workers import gpus

#: Levels of objects and arrays in a payload.
MAX_LEVELS = 8
#: Items of a list where its argument says nothing.
MAX_ITEMS = 10_000
#: Layers that a model file may ask for; the largest packaged one has some hundred.
MAX_LAYERS = 10_000
#: Characters of an unknown name that are answered.
MAX_NAME = 100
#: Faults that are answered; a payload with more of them is not a typing error.
MAX_FAULTS = 50

#: For a model file of such a name Ultralytics reads another one: `yolov8n-p6.yaml` for `yolov8n6.yaml`.
_RENAMED = re.compile(r"yolov[58][nsmlx]6")

_TYPES: dict[str, tuple[type, ...]] = {
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "string": (str,),
    "array": (list,),
    "object": (dict,),
    "null": (type(None),),
}

#: pydantic's types of errors in the words of the other faults.
_MESSAGES = {
    "missing": "is required",
    "model_type": "must be an object",
    "dict_type": "must be an object",
    "string_type": "must be a string",
    "string_too_short": "must not be empty",
    "string_too_long": "is too long",
}


Request = TypeVar("Request", bound=BaseModel)


def _whole(value: Any) -> Any:
    """3 for 3.0, which JSON Schema takes for an integer, too."""
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 2**53 else value


#: An integer, as JSON has it.
Whole = Annotated[int, BeforeValidator(_whole)]


class TrainRequest(BaseModel):
    """What a training is asked for with."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    model: str = Field(min_length=1, max_length=4_096)
    hyperparameters: dict[str, Any] = Field(default_factory=dict)
    fit_params: dict[str, Any]
    #: A higher one runs first.
    priority: Whole = Field(0, ge=-1_000, le=1_000)
    #: Seconds after which an attempt is ended; None: never.
    max_runtime_seconds: float | None = Field(None, gt=0, le=1e9, allow_inf_nan=False)


class ResumeRequest(BaseModel):
    """What a job goes on with."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    #: The new total; None: the planned one.
    epochs: Whole | None = Field(None, ge=1, le=1_000_000)


class CheckRequest(BaseModel):
    """Which dataset is to be looked through, and how a training would read it."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    data: str = Field(min_length=1, max_length=4_096)
    task: Literal["detect", "segment", "classify", "pose", "obb"] | None = None
    single_cls: bool = False
    classes: list[Annotated[int, Field(ge=0, le=1_000_000)]] | None = Field(None, max_length=MAX_ITEMS)


def parse_check(body: bytes) -> CheckRequest:
    """The checked body of a look through a dataset. Raises InvalidJson, InvalidPayload."""
    return _validated(CheckRequest, _content(body))


def parse_resume(body: bytes) -> ResumeRequest:
    """The checked body of a resume; an empty one asks for the planned number of epochs.

    Raises InvalidJson, InvalidPayload.
    """
    return _validated(ResumeRequest, _content(body or b"{}"))


def parse(
    body: bytes, catalog: Catalog, only_weights_in: Path | None = None, model_roots: Sequence[Path] = ()
) -> TrainRequest:
    """The checked request; it raises what `examine` finds.

    Raises InvalidJson: when the body is not JSON. Raises InvalidPayload: with every fault that was found.
    """
    request, faults = examine(body, catalog, only_weights_in, model_roots)
    if faults:
        raise InvalidPayload(faults)
    return request


def examine(
    body: bytes, catalog: Catalog, only_weights_in: Path | None = None, model_roots: Sequence[Path] = ()
) -> tuple[TrainRequest, list[Fault]]:
    """The request and what is wrong with it. The dataset behind `fit_params.data` is `dataset.read`'s to check.

    `only_weights_in` is the folder of the official weights where nothing is downloaded, None where that is allowed.
    A model's file must lie in one of `model_roots`, links resolved; without any, anywhere.
    Raises InvalidJson: when the body is not JSON. Raises InvalidPayload: when it has not the shape of a request.
    """
    request = _as_spelled(_validated(TrainRequest, _content(body)), catalog)
    models = _check_model(request.model, catalog, only_weights_in, model_roots)
    checks = itertools.chain(models, _check_arguments(request, catalog))
    return request, list(itertools.islice(checks, MAX_FAULTS))


def _content(body: bytes) -> Any:
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidJson(f"the body is not JSON: {error}") from None
    if is_deeper(content, MAX_LEVELS):
        raise InvalidPayload([Fault("", f"is nested more than {MAX_LEVELS} levels deep")])
    if twice := json_keys.twice(body)[:MAX_FAULTS]:
        raise InvalidPayload([Fault(_pointer(*path), "is named twice; one of the two would be lost") for path in twice])
    return content


def _validated(model: type[Request], content: Any) -> Request:
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise InvalidPayload([_fault(item, model) for item in error.errors()[:MAX_FAULTS]]) from None


def _fault(item: Any, model: type[BaseModel]) -> Fault:
    pointer = _pointer(*item["loc"])
    if item["type"] == "extra_forbidden":
        return Fault(pointer, "unknown field", _nearest(str(item["loc"][-1]), model.model_fields))
    return Fault(pointer, _MESSAGES.get(item["type"], item["msg"]))


def _as_spelled(request: TrainRequest, catalog: Catalog) -> TrainRequest:
    """The request with 3 for 3.0 where an integer is due, and with "AdamW" for "adamw".

    To JSON Schema the numbers are the same, to Ultralytics not. Capitals are the same to it where `CASELESS` says so.
    """
    sections = train_schema(catalog)["properties"]

    def whole(value: Any, schema: Mapping[str, Any]) -> Any:
        if isinstance(value, list):
            return [whole(item, schema.get("items", {})) for item in value]
        return _whole(value) if "integer" in schema.get("type", ()) else value

    def spelled(name: str, value: Any, schema: Mapping[str, Any]) -> Any:
        options = schema.get("enum", ())
        if name not in CASELESS or not isinstance(value, str) or value in options:
            return whole(value, schema)
        return next((option for option in options if str(option).lower() == value.lower()), value)

    changed = {
        section: {
            name: spelled(name, value, sections[section]["properties"].get(name, {})) for name, value in given.items()
        }
        for section, given in (("hyperparameters", request.hyperparameters), ("fit_params", request.fit_params))
    }
    return request.model_copy(update=changed)


def _check_model(model: str, catalog: Catalog, only_weights_in: Path | None, roots: Sequence[Path]) -> Iterator[Fault]:
    path = Path(model)
    stem = model.removesuffix(".pt")
    if "://" in model or "\0" in model:
        yield Fault("/model", "must be a name or a path, not an address")
    elif path.suffix not in (".pt", ".yaml", ".yml", ""):
        yield Fault("/model", f"must be a known model, a .pt or a .yaml, got {path.suffix!r}")
    elif path.is_absolute():
        if detail := _wrong_file(path, roots):
            yield Fault("/model", detail)
    elif path.suffix in (".yaml", ".yml"):
        if model not in catalog.model_configs:
            yield Fault("/model", "unknown model file", _nearest(model, catalog.model_configs))
    elif stem not in catalog.models:
        yield Fault("/model", "unknown model", _nearest(stem, catalog.models))
    elif only_weights_in is not None and not (only_weights_in / f"{stem}.pt").is_file():
        config = f"{stem}.yaml" if f"{stem}.yaml" in catalog.model_configs else None
        yield Fault("/model", f"{stem}.pt is not in {only_weights_in}, and nothing is downloaded (--offline)", config)


def _wrong_file(path: Path, roots: Sequence[Path]) -> str | None:
    """What is wrong with a model's file, or None."""
    real = Path(os.path.realpath(path))
    if roots and not any(real.is_relative_to(os.path.realpath(root)) for root in roots):
        return f"{path} is outside of the folders that --model-root names"
    try:
        if not path.suffix or not path.is_file():
            return f"there is no .pt or .yaml file {path}"
        if path.suffix != ".pt" and _RENAMED.fullmatch(path.stem):
            return (
                f"{path} would not be read: Ultralytics looks for {path.stem[:-1]}-p6{path.suffix}, give it that name"
            )
        if path.suffix != ".pt" and not 0 < (layers := _layers(safe_yaml.read(path))) <= MAX_LAYERS:
            return f"{path} describes a model of {layers} layers, expected 1 to {MAX_LAYERS}"
    except (OSError, ValueError) as error:  # a name that is too long, a folder that may not be read; a wild YAML
        return error.strerror or "cannot be read" if isinstance(error, OSError) else str(error)
    return None


def _layers(content: Any) -> int:
    """How many layers a model file asks for: each of its rows is [from, repeats, layer, arguments]."""
    parts = [content.get(part) for part in ("backbone", "head")] if isinstance(content, dict) else []
    rows = [row for part in parts if isinstance(part, list) for row in part if isinstance(row, list) and len(row) == 4]
    return sum(row[1] for row in rows if isinstance(row[1], int))


def _check_arguments(request: TrainRequest, catalog: Catalog) -> Iterator[Fault]:
    sections = train_schema(catalog)["properties"]
    if "data" not in request.fit_params:
        yield Fault("/fit_params/data", "is required: the absolute path of a dataset")
    for section in ("hyperparameters", "fit_params"):
        known = sections[section]["properties"]
        for name, value in getattr(request, section).items():
            if found := _wrong_argument(name, value, known, catalog):
                yield Fault(_pointer(section, name), *found)


def _wrong_argument(
    name: str, value: Any, known: Mapping[str, Any], catalog: Catalog
) -> tuple[str] | tuple[str, str | None] | None:
    """What is wrong with an argument, perhaps with a suggestion; or None."""
    if name in REFUSED:
        return None if name in NO_MATTER_IF_NULL and value is None else ("is decided by the service",)
    if name in catalog.deprecated:
        detail = mismatch(value, {"type": json_types(catalog.deprecated[name])})
        return (f"is deprecated, and {detail}",) if detail else None
    if name in OWN_ARGUMENTS and name not in known:
        return ("belongs to fit_params",)
    if name not in known:
        return "unknown argument", _nearest(name, known)
    detail = mismatch(value, known[name])
    if detail and name == "device" and isinstance(value, str | int | list) and not isinstance(value, bool):
        return (_wrong_device(),)
    return (detail, _nearest_of(value, known[name])) if detail else None


def _wrong_device() -> str:
    why = "GPUs are assigned by the service" if gpus.gpus_to_use() else "this machine has no GPU"
    return f"{why}: leave device out, or give cpu"


def mismatch(value: Any, schema: Mapping[str, Any]) -> str | None:
    """What is wrong with a value by its schema, or None. It knows the keywords that `schema` uses."""
    if isinstance(value, str) and "://" in value:
        return "must not be an address"
    if "enum" in schema:
        fits = any(value == option and isinstance(value, bool) == isinstance(option, bool) for option in schema["enum"])
        return None if fits else f"must be one of {_json(schema['enum'])}, got {_short(value)}"
    types = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
    if not any(_is(value, name) for name in types):
        return f"must be {' or '.join(types)}, got {_short(value)}"
    if isinstance(value, list):
        return _wrong_items(value, schema)
    if isinstance(value, str):
        # The patterns are whole ones; `$` alone would let a line end follow.
        fits = re.fullmatch(schema.get("pattern", r"(?s).{0,4096}"), value) is not None
        return None if fits else f"must match {schema.get('pattern', '.{0,4096}')}, got {_short(value)}"
    return _out_of_bounds(value, schema) if _is(value, "number") else None


def _wrong_items(value: list[Any], schema: Mapping[str, Any]) -> str | None:
    low, high = schema.get("minItems", 0), schema.get("maxItems", MAX_ITEMS)
    if not low <= len(value) <= high:
        return f"must have {low} to {high} items, got {len(value)}"
    faults = (mismatch(item, schema["items"]) for item in value) if "items" in schema else ()
    return next((f"item {index}: {fault}" for index, fault in enumerate(faults) if fault), None)


def _out_of_bounds(value: float, schema: Mapping[str, Any]) -> str | None:
    low, above, high = (schema.get(key) for key in ("minimum", "exclusiveMinimum", "maximum"))
    if (low is None or value >= low) and (above is None or value > above) and (high is None or value <= high):
        return None
    wanted = [f"above {above}" if above is not None else f"at least {low}" if low is not None else ""]
    wanted += [f"at most {high}" if high is not None else ""]
    return f"must be {' and '.join(filter(None, wanted))}, got {value}"


def _is(value: Any, name: str) -> bool:
    if isinstance(value, bool):  # for Python a bool is an int
        return name == "boolean"
    return isinstance(value, _TYPES[name])


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()


def _short(value: Any) -> str:
    return _json(value)[:100]


def _nearest_of(value: Any, schema: Mapping[str, Any]) -> str | None:
    """The nearest text that would have been taken."""
    options = [option for option in schema.get("enum", []) if isinstance(option, str) and option]
    return _nearest(value, options) if isinstance(value, str) else None


def _nearest(name: str, known: Iterable[str]) -> str | None:
    names = {known_name.lower(): known_name for known_name in known}
    found = difflib.get_close_matches(name.lower(), list(names), n=1, cutoff=0.6)
    return names[found[0]] if found else None


def _pointer(*parts: object) -> str:
    """A JSON pointer (RFC 6901); a name of any length is not sent back whole."""
    names = (name if len(name) <= MAX_NAME else f"{name[:MAX_NAME]}…" for name in map(str, parts))
    return "".join("/" + name.replace("~", "~0").replace("/", "~1") for name in names)
