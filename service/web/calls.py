"""All calls in one table: it makes the routes, what each request is held to, and the OpenAPI document."""

from collections.abc import Sequence
from typing import Any

from pydantic import TypeAdapter
from starlette.routing import BaseRoute, Mount
from typing_extensions import TypeForm

from service.errors import (
    ArtifactNotFound,
    BeyondLog,
    CannotTrain,
    CheckFailed,
    InvalidKey,
    InvalidRange,
    JobFinal,
    JobNotFinal,
    JobNotRunning,
    KeyReused,
    NothingToResume,
    NotReady,
    PreconditionFailed,
    QueueFull,
    RangeNotSatisfiable,
    ServiceError,
    TooManyChecks,
    TooManyStreams,
)
from service.new_events import Checked
from service.snapshot import Snapshot
from service.trainings.requests import CheckRequest, ResumeRequest, TrainRequest
from service.web import (
    answers,
    dataset_calls,
    document_calls,
    event_calls,
    file_calls,
    job_calls,
    page_files,
    queries,
    service_calls,
    training_calls,
)
from service.web.call import ETAG, JSON, STREAM, Answer, Call, Header, Shape
from service.web.endpoint import routes
from service.web.requested import EVENT_ID, KEY

TEXT = TypeAdapter(str)


def _json(shape: TypeForm[Any], description: str, *headers: Header) -> Answer:
    return Answer(description, {JSON: TypeAdapter(shape)}, headers)


LOCATION = Header("Location", TEXT, "The address of the job.")
IF_NONE_MATCH = Header("If-None-Match", TEXT, "The ETag of what the client has.")
IDEMPOTENCY_KEY = Header("Idempotency-Key", KEY, "The request's own name: sent again, it makes no second job.")
LAST_EVENT_ID = Header("Last-Event-ID", EVENT_ID, "Events after this one; browsers send it when they come back.")
OF_FILES = tuple(
    Header(name)
    for name in ("Range", "If-Range", "If-None-Match", "If-Match", "If-Modified-Since", "If-Unmodified-Since")
)

KNOWN = Answer("The client has it already (If-None-Match).", headers=[ETAG])
STARTED = {
    202: _json(answers.Accepted, "It is on the disk, and queued.", LOCATION),
    200: _json(
        answers.Accepted, "The same request came before; this is its job.", LOCATION, Header("Idempotent-Replayed")
    ),
}
STARTS: Sequence[type[ServiceError]] = (NotReady, QueueFull, InvalidKey, KeyReused, CannotTrain)
CHANGED = {202: _json(Snapshot, "The snapshot; the request is on the disk.")}
FILE = {
    200: Answer("The whole.", {"application/octet-stream": None}, [ETAG]),
    206: Answer("The Range of it.", {"application/octet-stream": None}, [ETAG, Header("Content-Range")]),
    304: KNOWN,
}
OF_RANGES: Sequence[type[ServiceError]] = (PreconditionFailed, RangeNotSatisfiable)
BOARD: Shape = TypeAdapter(answers.BoardEvent)
EVENTS: Shape = TypeAdapter(answers.JobEvent)

CALLS: Sequence[Call] = document_calls.described(
    [
        Call(
            "GET /",
            page_files.index,
            name="index",
            summary="The page.",
            answers={200: Answer("The page.", {"text/html": None}, [ETAG]), 304: KNOWN},
            headers=[IF_NONE_MATCH],
            takes_any_query=True,
        ),
        Call(
            "POST /train",
            training_calls.train,
            name="train",
            summary="Start a training.",
            answers=STARTED,
            body=TrainRequest,
            headers=[IDEMPOTENCY_KEY],
            raises=STARTS,
        ),
        Call(
            "POST /demo",
            training_calls.demo,
            name="demo",
            summary="Start a training on generated shapes; it needs nothing.",
            answers=STARTED,
            headers=[IDEMPOTENCY_KEY],
            raises=STARTS,
        ),
        Call(
            "GET /models",
            training_calls.models,
            name="models",
            summary="What can be trained, on how many GPUs, and which weights are there already.",
            answers={200: _json(answers.ModelList, "The models.", ETAG), 304: KNOWN},
            headers=[IF_NONE_MATCH],
            raises=[NotReady],
        ),
        Call(
            "GET /datasets",
            dataset_calls.datasets,
            name="datasets",
            summary="What lies under the data roots, and the datasets that are known by name.",
            answers={200: _json(answers.DatasetList, "The datasets.")},
            raises=[NotReady],
        ),
        Call(
            "POST /datasets/check",
            dataset_calls.check_dataset,
            name="check_dataset",
            summary="What is in a dataset, read as a training would; nothing is trained.",
            answers={200: _json(Checked, "What is in it.")},
            body=CheckRequest,
            raises=[NotReady, CannotTrain, TooManyChecks, CheckFailed],
        ),
        Call(
            "GET /schema/train",
            training_calls.schema,
            name="schema",
            summary="JSON Schema of the payload of a training, from the installed Ultralytics.",
            answers={200: _json(dict[str, Any], "The schema (2020-12).", ETAG), 304: KNOWN},
            headers=[IF_NONE_MATCH],
            raises=[NotReady],
        ),
        Call(
            "GET /events",
            event_calls.all_events,
            name="all_events",
            summary="The list of jobs, then each of them as it changes, at most twice a second.",
            answers={200: Answer("A stream without end.", {STREAM: BOARD})},
        ),
        Call(
            "GET /jobs",
            job_calls.list_jobs,
            name="list_jobs",
            summary="The jobs, newest first, in pages, and how many there are of each status.",
            answers={200: _json(answers.JobList, "A page.")},
            query=queries.ListQuery,
        ),
        Call(
            "GET /jobs/{job_id}",
            job_calls.show_job,
            name="show_job",
            summary="A job's snapshot.",
            answers={200: _json(Snapshot, "The snapshot.", ETAG), 304: KNOWN},
            headers=[IF_NONE_MATCH],
        ),
        Call(
            "DELETE /jobs/{job_id}",
            job_calls.delete,
            name="delete_job",
            summary="Delete a job that has ended: its events, its log, and its files.",
            answers={204: Answer("The job is gone.")},
            raises=[JobNotFinal],
        ),
        Call(
            "GET /jobs/{job_id}/events",
            event_calls.events,
            name="events",
            summary="A job's events as a stream; with Accept: application/json, a page of them.",
            answers={
                200: Answer(
                    "The events.", {JSON: TypeAdapter(answers.EventPage), STREAM: EVENTS}, [Header("ETag", TEXT)]
                ),
                204: Answer("The log has ended, and the client has all of it."),
                304: KNOWN,
            },
            query=queries.EventsQuery,
            headers=[LAST_EVENT_ID, IF_NONE_MATCH],
        ),
        Call(
            "GET /jobs/{job_id}/logs",
            event_calls.logs,
            name="logs",
            summary="A job's log as plain text; with follow=1 until the job has ended.",
            answers={
                200: Answer(
                    "The lines.", {"text/plain": None}, [Header("Log-Seq", EVENT_ID, "The event up to which it goes.")]
                )
            },
            query=queries.LogQuery,
            raises=[BeyondLog, TooManyStreams],
        ),
        Call(
            "GET /jobs/{job_id}/artifacts",
            file_calls.list_artifacts,
            name="list_artifacts",
            summary="The files that a training has written so far.",
            answers={200: _json(answers.ArtifactList, "The files.")},
        ),
        Call(
            "GET /jobs/{job_id}/artifacts.zip",
            file_calls.artifacts_zip,
            name="artifacts_zip",
            summary="All files of a job as a zip; once the job has ended, with Range and ETag.",
            answers={
                200: Answer("The whole.", {"application/zip": None}, [Header("ETag")]),
                206: Answer("The Range of it.", {"application/zip": None}, [ETAG, Header("Content-Range")]),
                304: KNOWN,
            },
            headers=[header for header in OF_FILES if "Since" not in header.name],
            raises=OF_RANGES,
            sends_files=True,
        ),
        Call(
            "GET /jobs/{job_id}/artifacts/{path:path}",
            file_calls.artifact,
            name="artifact",
            summary="One file of a job.",
            answers=FILE,
            query=queries.FileQuery,
            headers=OF_FILES,
            raises=[ArtifactNotFound, InvalidRange, *OF_RANGES],
            sends_files=True,
        ),
        Call(
            "POST /jobs/{job_id}/cancel",
            job_calls.cancel,
            name="cancel",
            summary="End a job now; what it has trained so far stays.",
            answers=CHANGED,
            raises=[JobFinal, NotReady],
        ),
        Call(
            "POST /jobs/{job_id}/stop",
            job_calls.stop,
            name="stop",
            summary="End a training after the epoch that it is at, with its best weights.",
            answers=CHANGED,
            raises=[JobNotRunning, NotReady],
        ),
        Call(
            "POST /jobs/{job_id}/resume",
            training_calls.resume,
            name="resume",
            summary="Go on with a job that has ended, from its newest checkpoint.",
            answers=CHANGED,
            body=ResumeRequest,
            is_body_optional=True,
            raises=[NothingToResume, NotReady, QueueFull],
        ),
        Call(
            "GET /healthz",
            service_calls.healthz,
            name="healthz",
            summary="The process answers.",
            answers={200: _json(answers.Health, "It does.")},
            takes_any_query=True,
        ),
        Call(
            "GET /readyz",
            service_calls.readyz,
            name="readyz",
            summary="Whether a training can be taken without waiting.",
            answers={200: _json(answers.Health, "It can.")},
            takes_any_query=True,
            raises=[NotReady],
        ),
        Call(
            "GET /metrics",
            service_calls.metrics,
            name="metrics",
            summary="Figures for Prometheus.",
            answers={200: Answer("The figures.", {"text/plain": None})},
            takes_any_query=True,
        ),
    ]
)

ROUTES: list[BaseRoute] = [
    *routes(CALLS),
    Mount("/static", page_files.FILES),
    Mount("/vendor/uplot", page_files.PageFiles(page_files.UPLOT)),
]
