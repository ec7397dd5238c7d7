"""The body of `POST /train`, read: its shape by the schema, then what the schema cannot know.

What the service decides itself, names of before and GPUs have words of their own; capitals and `3.0` become what
Ultralytics takes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from pydantic import JsonValue

from service.errors import CannotTrain, Fault, InvalidPayload
from service.trainings import faults, model_names
from service.trainings.body import MAX_FAULTS, content
from service.trainings.catalog import Catalog
from service.trainings.requests import TrainRequest, whole
from service.trainings.schema import CASELESS, OWN_ARGUMENTS, REFUSED, Schema, options, train_schema, types
from service.workers import gpus

SECTIONS = ("hyperparameters", "fit_params")
#: Levels of a payload down to an argument: its section, and its name.
DEPTH = 2


@dataclass(frozen=True)
class Payload:
    """A payload as it was sent, in Ultralytics' spelling, and what is wrong with its shape."""

    said: JsonValue
    faults: list[Fault]

    def has(self, pointer: str) -> bool:
        """Whether what is at this place has the right shape, so that more can be asked of it."""
        return all(fault.pointer not in ("", pointer) for fault in self.faults)

    def section(self, name: str) -> dict[str, JsonValue]:
        """One of `SECTIONS`; nothing where it has another shape."""
        found = self.said.get(name) if isinstance(self.said, dict) else None
        return found if isinstance(found, dict) else {}

    @property
    def model(self) -> str | None:
        named = self.said.get("model") if isinstance(self.said, dict) else None
        return named if isinstance(named, str) and self.has(model_names.POINTER) else None

    def request(self, others: Sequence[Fault] = ()) -> TrainRequest:
        """The request. Raises InvalidPayload: with the faults of its shape and the `others`, if there are any.

        Raises CannotTrain: when there are others only.
        """
        found = [*self.faults, *others][:MAX_FAULTS]
        if self.faults:
            raise InvalidPayload(found)
        if found:
            raise CannotTrain(found)
        return TrainRequest.model_validate(self.said)


def read(body: bytes, catalog: Catalog) -> Payload:
    """What a body says. Raises InvalidJson. Raises InvalidPayload: when it is too deep, or says a thing twice."""
    checked = train_schema(catalog)
    said = _as_spelled(content(body), checked.schema)
    found = islice(faults.found(said, checked, DEPTH), MAX_FAULTS)
    return Payload(said, [_in_own_words(fault, said, catalog) for fault in found])


def parse(
    body: bytes, catalog: Catalog, only_weights_in: Path | None = None, model_roots: Sequence[Path] = ()
) -> TrainRequest:
    """The checked request, its dataset apart. Raises InvalidJson, InvalidPayload: with every fault that was found."""
    payload = read(body, catalog)
    return payload.request(model_faults(payload, catalog, only_weights_in, model_roots))


def model_faults(
    payload: Payload, catalog: Catalog, only_weights_in: Path | None = None, model_roots: Sequence[Path] = ()
) -> list[Fault]:
    """What is wrong with the model that it names (see `model_names.check`)."""
    if payload.model is None:
        return []
    return list(model_names.check(payload.model, catalog, only_weights_in, model_roots))


def _as_spelled(said: JsonValue, schema: Schema) -> JsonValue:
    """The payload with 3 for 3.0 where an integer is due, and with "AdamW" for "adamw".

    To JSON Schema the numbers are the same, to Ultralytics not. Capitals are the same to it where `CASELESS` says so.
    """
    if not isinstance(said, dict):
        return said
    sections = _rules(schema)
    spelled: dict[str, JsonValue] = {}
    for name, given in said.items():
        if name in SECTIONS and isinstance(given, dict):
            rules = _rules(sections[name])
            given = {name: _spelled(name, value, rules.get(name, {})) for name, value in given.items()}
        spelled[name] = given
    return spelled


def _rules(schema: JsonValue) -> dict[str, Schema]:
    properties = schema.get("properties") if isinstance(schema, dict) else None
    found = properties if isinstance(properties, dict) else {}
    return {name: rule for name, rule in found.items() if isinstance(rule, dict)}


def _spelled(name: str, value: JsonValue, rule: Schema) -> JsonValue:
    if name in CASELESS and isinstance(value, str) and value not in options(rule):
        return next((option for option in options(rule) if str(option).lower() == value.lower()), value)
    return _whole(value, rule)


def _whole(value: JsonValue, rule: Schema) -> JsonValue:
    if isinstance(value, list):
        items = rule.get("items")
        return [_whole(item, items if isinstance(items, dict) else {}) for item in value]
    return whole(value) if "integer" in types(rule) else value


def _in_own_words(fault: Fault, said: JsonValue, catalog: Catalog) -> Fault:
    """The fault, where this module knows better than the schema why something is not taken."""
    if fault.pointer == model_names.POINTER and fault.detail == faults.ADDRESS:
        return replace(fault, detail=model_names.ADDRESS)
    match fault.pointer.split("/"):
        case [_, section, name] if section in SECTIONS:
            return _of_argument(fault, section, name, said, catalog)
    return fault


def _of_argument(fault: Fault, section: str, name: str, said: JsonValue, catalog: Catalog) -> Fault:
    if name in REFUSED:
        return replace(fault, detail="is decided by the service", suggestion=None)
    if name in catalog.deprecated:
        return replace(fault, detail=f"is deprecated, and {fault.detail}")
    if name == "data" and fault.detail == faults.REQUIRED:
        return replace(fault, detail=f"{faults.REQUIRED}: the absolute path of a dataset")
    if fault.detail == faults.UNKNOWN:
        if section == "hyperparameters" and name in OWN_ARGUMENTS:
            return replace(fault, detail="belongs to fit_params", suggestion=None)
        return replace(fault, detail="unknown argument")
    if name == "device" and _names_a_gpu(said, section):
        return replace(fault, detail=_wrong_device(), suggestion=None)
    return fault


def _names_a_gpu(said: JsonValue, section: str) -> bool:
    arguments = said.get(section) if isinstance(said, Mapping) else None
    value = arguments.get("device") if isinstance(arguments, Mapping) else None
    return isinstance(value, str | int | list) and not isinstance(value, bool)


def _wrong_device() -> str:
    why = "GPUs are assigned by the service" if gpus.gpus_to_use() else "this machine has no GPU"
    return f"{why}: leave device out, or give cpu"
