"""What a request may say: the bodies of the calls as types. Their bounds are written here and nowhere else.

From these come the JSON Schema that bodies are checked against (`schema`), the OpenAPI document and the page's form.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue

#: Nothing is fetched on a request's word.
NO_ADDRESS: dict[str, JsonValue] = {"type": "string", "pattern": "://"}
#: Items of a list, and characters of a text, where nothing else is said.
MAX_ITEMS, MAX_TEXT = 10_000, 4_096


def whole(value: JsonValue) -> JsonValue:
    """3 for 3.0, which JSON Schema takes for an integer, too."""
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 2**53 else value


Whole = BeforeValidator(whole)
Priority = Annotated[int, Field(ge=-1_000, le=1_000), Whole]
Epochs = Annotated[int, Field(ge=1, le=1_000_000), Whole]
ClassNumber = Annotated[int, Field(ge=0, le=1_000_000), Whole]
#: The name or the path of something, which is never an address.
Named = Annotated[str, Field(min_length=1, max_length=MAX_TEXT, json_schema_extra={"not": NO_ADDRESS})]
#: Ultralytics' arguments by name; `schema` knows what each may be.
Arguments = Mapping[str, JsonValue]


class Body(BaseModel):
    """The body of a call."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class TrainRequest(Body):
    """A training to be done."""

    model: Named = Field(
        description="A name or packaged model file of GET /models, or the absolute path of a .pt or .yaml."
    )
    hyperparameters: Arguments = Field({}, description="Ultralytics' training arguments.")
    fit_params: Arguments = Field(
        description="The dataset, this service's own arguments, and Ultralytics': they win over `hyperparameters`."
    )
    priority: Priority = Field(0, description="A job of a higher one runs first.")
    max_runtime_seconds: float | None = Field(
        None, gt=0, le=1e9, description="Seconds after which an attempt is ended; it has failed, reason timeout."
    )


class ResumeRequest(Body):
    """How a job goes on."""

    epochs: Epochs | None = Field(None, description="The new total; null: the planned one.")


class CheckRequest(Body):
    """Which dataset is to be looked through, and how a training would read it."""

    data: Named = Field(description="Absolute path of the dataset, or a known name.")
    task: Literal["detect", "segment", "classify", "pose", "obb"] | None = Field(
        None, description="What it is for; null: what its own file tells."
    )
    single_cls: bool = Field(False, description="Whether all classes count as one.")
    classes: list[ClassNumber] | None = Field(None, max_length=MAX_ITEMS, description="Only these classes.")
