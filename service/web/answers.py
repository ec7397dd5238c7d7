"""What the calls answer, as types: beside snapshots (`job`), events (`events`) and problems (`errors`)."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Discriminator
from starlette.responses import Response
from typing_extensions import TypeAliasType, TypedDict

from service.datasets.search import FoundDataset
from service.encoding import encode
from service.events import Event, Reset
from service.snapshot import Links, Snapshot, Status
from service.trainings.catalog import KnownModel
from service.web import conditions
from service.web.artifacts import ArtifactFile

#: What the stream of one job shows, and its pages have.
JobEvent = TypeAliasType("JobEvent", Annotated[Event | Reset, Discriminator("event")])


class Accepted(TypedDict):
    """A training was taken."""

    job_id: str
    status: Status
    links: Links


class JobList(TypedDict):
    """Jobs, newest first."""

    jobs: list[Snapshot]
    #: Status → how many jobs the search finds, whatever the page shows of them.
    counts: dict[Status, int]
    #: The address of the next page; null: there is none.
    next: str | None


class EventPage(TypedDict):
    """Events of one job, in their order."""

    job_id: str
    #: Number of the job's newest event, and of the last one that was read for this page.
    last_seq: int
    last_event_id: int
    #: The address of the next page; null: the log has no more yet.
    next: str | None
    events: list[JobEvent]


class ArtifactList(TypedDict):
    """The files of a job."""

    artifacts: list[ArtifactFile]
    #: The address of all of them in one file.
    zip: str


class Model(KnownModel):
    """A model that can be trained."""

    #: Whether its official weights are here.
    downloaded: bool


class ModelList(TypedDict):
    """What can be trained, and on what."""

    models: list[Model]
    #: Where official weights are kept, and which are there.
    weights_dir: str
    weights: list[str]
    #: Whether nothing is downloaded.
    offline: bool
    #: How many trainings may get a GPU.
    gpus: int


class DatasetList(TypedDict):
    """What can be trained on."""

    #: What lies under the data roots, and the demo's once it is drawn.
    datasets: list[FoundDataset]
    roots: list[str]
    #: Datasets that are known by name, and those of them that a training can have.
    known: list[str]
    ready: list[str]


class Health(TypedDict):
    """The process answers, or can take a training."""

    status: Literal["ok", "ready"]


class BoardJobs(TypedDict):
    """How the stream of all jobs begins: with the newest."""

    event: Literal["jobs"]
    jobs: list[Snapshot]


class BoardJob(Snapshot):
    """A job has changed."""

    event: Literal["job"]


class BoardDeleted(TypedDict):
    """A job was deleted."""

    event: Literal["deleted"]
    job_id: str


class BoardPositions(TypedDict):
    """The jobs that wait have moved."""

    event: Literal["positions"]
    #: Ids of the first ones, the one that runs next first.
    order: list[str]
    #: How many wait.
    waiting: int


#: What the stream of all jobs shows.
BoardEvent = TypeAliasType(
    "BoardEvent", Annotated[BoardJobs | BoardJob | BoardDeleted | BoardPositions, Discriminator("event")]
)


def answer(content: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON response that nobody caches, or takes for something else."""
    headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", **(headers or {})}
    return Response(encode(content), status, headers, media_type="application/json")


def document(content: object) -> Response:
    """A JSON response that its reader may keep, and then asks whether it is still this one."""
    return encoded_document(encode(content))


def encoded_document(body: bytes) -> Response:
    """The same, of what is JSON already."""
    headers = {"Cache-Control": "private, no-cache", "ETag": conditions.tag(body), "X-Content-Type-Options": "nosniff"}
    return Response(body, headers=headers, media_type="application/json")
