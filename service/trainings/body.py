"""Bodies read: from bytes to a checked request, or to all that is wrong with it."""

from itertools import islice
from typing import TypeVar

import orjson
from pydantic import JsonValue

from service.datasets import json_keys
from service.encoding import is_deeper
from service.errors import Fault, InvalidJson, InvalidPayload
from service.trainings import faults
from service.trainings.faults import pointer
from service.trainings.requests import Body, CheckRequest, ResumeRequest
from service.trainings.schema import body_schema

#: Levels of objects and arrays in a body.
MAX_LEVELS = 8
#: Faults that are answered; a body with more of them is not a typing error.
MAX_FAULTS = 50

B = TypeVar("B", bound=Body)


def parse_check(body: bytes) -> CheckRequest:
    """The checked body of a look through a dataset. Raises InvalidJson, InvalidPayload."""
    return _checked(CheckRequest, body)


def parse_resume(body: bytes) -> ResumeRequest:
    """The checked body of a resume; an empty one asks for the planned number of epochs.

    Raises InvalidJson, InvalidPayload.
    """
    return _checked(ResumeRequest, body or b"{}")


def content(body: bytes) -> JsonValue:
    """What a body says, as JSON. Raises InvalidJson. Raises InvalidPayload: when it is deep, or says a thing twice."""
    try:
        said: JsonValue = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidJson(f"the body is not JSON: {error}") from None
    if is_deeper(said, MAX_LEVELS):
        raise InvalidPayload([Fault("", f"is nested more than {MAX_LEVELS} levels deep")])
    if twice := json_keys.twice(body)[:MAX_FAULTS]:
        raise InvalidPayload([Fault(pointer(*path), "is named twice; one of the two would be lost") for path in twice])
    return said


def _checked(model: type[B], body: bytes) -> B:
    said = content(body)
    if wrong := list(islice(faults.found(said, body_schema(model), 1), MAX_FAULTS)):
        raise InvalidPayload(wrong)
    return model.model_validate(said)
