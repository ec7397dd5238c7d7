"""HTTP: each route checks, calls one thing, and answers. What it raises becomes problem+json in `problem_json`."""

import functools
import hashlib
import secrets
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, TypedDict, cast

from anyio import CapacityLimiter, to_thread
from orjson import loads
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Mount

from service.datasets import description, search
from service.errors import (
    BodyTooLarge,
    Fault,
    InvalidCursor,
    InvalidKey,
    InvalidPayload,
    NotReady,
    ServiceError,
    StoreUnavailable,
    UnsupportedCoding,
    UnsupportedMedia,
)
from service.events import EVENT_TYPES, UNFILTERED_TYPES, encode
from service.events import Request as Asked
from service.job import Dataset, DatasetCounts, Job, Status, links
from service.runner import Runner
from service.settings import Settings
from service.store.retention import Retention
from service.store.store import Store
from service.streaming import Hub, Types
from service.trainings import train_request
from service.trainings.catalog import Catalog
from service.trainings.inspection import Inspections
from service.trainings.readiness import Readiness
from service.trainings.schema import train_schema
from service.web import artifacts, bundle, conditions, log_text, openapi, page_files
from service.web.calls import call
from service.web.metrics import Metrics
from service.web.negotiation import preferred
from service.web.parameters import HIGHEST, MAX_SEARCH, PAGE
from service.web.sse_response import BoardStream, JobStream
from service.workers import gpus
from service.workers.tasks import task_of

#: Seconds for which a training that is POSTed while the service warms up waits for it.
WARM_UP_SECONDS = 120.0
#: A page without anything that could run or be framed.
DOCS_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}
#: Characters of an Idempotency-Key.
MAX_KEY = 255
#: In what form events are given; the first where nothing is preferred.
EVENT_FORMS = ("text/event-stream", "application/json")
#: Jobs with which the stream of all jobs begins.
BOARD_JOBS = 200


class State(TypedDict):
    """What a request finds in `request.state`; made by `app`."""

    settings: Settings
    store: Store
    hub: Hub
    runner: Runner
    retention: Retention
    metrics: Metrics
    readiness: Readiness
    inspections: Inspections
    #: Who looks at payloads and datasets, which may take seconds: all other requests have threads of their own.
    checkers: CapacityLimiter
    #: Who ends or stops a job: reads that hang do not take these threads.
    controls: CapacityLimiter
    #: Files of jobs that are sent; further ones wait.
    downloads: CapacityLimiter


def answer(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A JSON response that nobody caches, or takes for something else."""
    headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", **(headers or {})}
    return Response(encode(content), status, headers, media_type="application/json")


def document(content: Any) -> Response:
    """A JSON response that its reader may keep, and then asks whether it is still this one."""
    return _document(encode(content))


def _document(body: bytes) -> Response:
    headers = {"Cache-Control": "private, no-cache", "ETag": conditions.tag(body), "X-Content-Type-Options": "nosniff"}
    return Response(body, headers=headers, media_type="application/json")


# Trainings


async def train(request: Request) -> Response:
    """`POST /train`: check everything, put the job on the disk, answer 202."""
    body = await _json_body(request)
    catalog = await _ready(request)
    settings: Settings = request.state.settings
    weights = settings.folder / "weights" if settings.offline else None

    def check() -> train_request.TrainRequest:
        training, faults = train_request.examine(body, catalog, weights, settings.model_roots)
        if faults:
            raise InvalidPayload([*faults, *_data_faults(training, catalog, settings, faults)])
        return training

    # In a thread: a large one takes a while.
    checkers: CapacityLimiter = request.state.checkers
    checked = await to_thread.run_sync(check, limiter=checkers)
    return await _submit(request, checked, catalog)


def _data_faults(
    training: train_request.TrainRequest, catalog: Catalog, settings: Settings, others: list[Fault]
) -> list[Fault]:
    """What is wrong with the dataset of a training that is refused for something else: told in one answer."""
    pointers = {fault.pointer for fault in others}
    if "data" not in training.fit_params or description.POINTER in pointers:
        return []
    try:
        _dataset(training.model_dump(), catalog, settings, None if "/model" in pointers else task_of(training.model))
    except InvalidPayload as error:
        return [fault for fault in error.faults if fault.pointer not in pointers]
    return []


def _dataset(
    content: dict[str, Any], catalog: Catalog, settings: Settings, task: str | None
) -> description.Dataset | None:
    """What the training of a payload may see of its dataset. Raises InvalidPayload."""
    downloads = settings.allow_downloads and not settings.offline
    data, folder = content["fit_params"]["data"], settings.folder / "datasets"
    if isinstance(data, str):
        data = description.named(data, catalog.datasets, folder, downloads)
    if data is None:  # what is still to be downloaded is read by the worker
        return None
    section = "fit_params" if "split" in content["fit_params"] else "hyperparameters"
    arguments = {**content["hyperparameters"], **content["fit_params"]}
    pointer = f"/{section}/split"
    return description.read(data, task, settings.dataset_roots, arguments=arguments, split_pointer=pointer)


async def demo(request: Request) -> Response:
    """`POST /demo`: train on generated shapes; the dataset is made on first use."""
    from AI.examples import shapes

    catalog = await _ready(request)
    settings: Settings = request.state.settings
    data = await to_thread.run_sync(shapes.generate, settings.folder / "demo")
    fit_params = {"data": str(data), "preview": 4}  # a tenth of a second an epoch, and the page has something to show
    content = train_request.TrainRequest(
        model=shapes.MODEL, hyperparameters=dict(shapes.HYPERPARAMETERS), fit_params=fit_params
    )
    return await _submit(request, content, catalog)


async def _submit(request: Request, training: train_request.TrainRequest, catalog: Catalog) -> Response:
    content = training.model_dump()
    key = _idempotency_key(request)
    digest = hashlib.sha256(encode(content)).hexdigest()
    settings: Settings = request.state.settings
    folder = settings.folder / "jobs"
    runner: Runner = request.state.runner

    def submit() -> Job:
        store: Store = request.state.store
        if key is not None and (known := store.replayed(key, digest)):
            return known
        job = Job(id=secrets.token_hex(6), request=cast(Asked, content))
        clean = _dataset(content, catalog, settings, task_of(training.model))
        try:
            if clean is not None:
                description.write(clean, folder / job.id)
            created = runner.submit(job, key, digest)
        except ServiceError:
            shutil.rmtree(folder / job.id, ignore_errors=True)
            raise
        except OSError as error:
            shutil.rmtree(folder / job.id, ignore_errors=True)
            raise StoreUnavailable(f"the job's folder cannot be written: {error.strerror}") from error
        if created.id != job.id:  # the same request came twice at once
            shutil.rmtree(folder / job.id, ignore_errors=True)
        else:
            made.append(created.id)
        return created

    made: list[str] = []
    job = await to_thread.run_sync(submit, limiter=request.state.checkers)
    accepted = {"job_id": job.id, "status": Status.QUEUED if made else job.status, "links": links(job.id)}
    headers = {"Location": links(job.id)["self"]}
    return answer(accepted, 202, headers) if made else answer(accepted, 200, {**headers, "Idempotent-Replayed": "true"})


def _idempotency_key(request: Request) -> str | None:
    """The request's own name for itself. Raises InvalidKey."""
    key = request.headers.get("idempotency-key")
    if key is not None and not (0 < len(key) <= MAX_KEY and key.isascii() and key.isprintable()):
        raise InvalidKey(f"an Idempotency-Key must have 1 to {MAX_KEY} printable ASCII characters")
    return key


async def delete(request: Request) -> Response:
    """`DELETE /jobs/<id>`: 204 once a restart would finish it; files and events follow."""
    await to_thread.run_sync(request.state.retention.delete, request.path_params["job_id"])
    return Response(status_code=204)


async def cancel(request: Request) -> Response:
    """`POST /jobs/<id>/cancel`: 202 once a restart would honour it; `cancelled` follows as an event."""
    runner, job_id = request.state.runner, request.path_params["job_id"]
    job = await to_thread.run_sync(runner.cancel, job_id, limiter=request.state.controls)
    return answer(job.snapshot(), 202)


async def stop(request: Request) -> Response:
    """`POST /jobs/<id>/stop`: 202 once a restart would honour it; `completed` follows after the epoch's validation."""
    runner, job_id = request.state.runner, request.path_params["job_id"]
    job = await to_thread.run_sync(runner.stop, job_id, limiter=request.state.controls)
    return answer(job.snapshot(), 202)


async def resume(request: Request) -> Response:
    """`POST /jobs/<id>/resume`: the same job, its next attempt, 202 once that is on the disk."""
    epochs = train_request.parse_resume(await _json_body(request, optional=True)).epochs
    resumed, job_id = request.state.runner.resume, request.path_params["job_id"]
    job = await to_thread.run_sync(resumed, job_id, epochs, limiter=request.state.checkers)  # it looks for checkpoints
    return answer(job.snapshot(), 202)


async def models(request: Request) -> Response:
    """`GET /models`: what can be trained and on how many GPUs, and which weights are there already."""
    catalog = await _ready(request)
    settings: Settings = request.state.settings
    folder = settings.folder / "weights"
    present = await to_thread.run_sync(lambda: sorted(path.name for path in folder.glob("*.pt") if path.is_file()))
    listed = [{**model, "downloaded": f"{model['name']}.pt" in present} for model in catalog.model_table]
    present_gpus = await to_thread.run_sync(gpus.gpus_to_use)
    where = {"weights_dir": str(folder), "weights": present, "offline": settings.offline, "gpus": len(present_gpus)}
    return document({"models": listed, **where})


async def datasets(request: Request) -> Response:
    """`GET /datasets`: what lies under the data roots, and the names of those that Ultralytics knows."""
    catalog = await _ready(request)
    settings: Settings = request.state.settings
    roots = [str(root) for root in settings.data_root]
    known = sorted(catalog.datasets)

    def look() -> tuple[list[search.Found], list[str]]:
        found = search.find((*settings.data_root, settings.folder / "demo"))
        return found, [name for name in known if _is_ready(name, catalog, settings)]

    found, ready = await to_thread.run_sync(look, limiter=request.state.checkers)
    return answer({"datasets": found, "roots": roots, "known": known, "ready": ready})


def _is_ready(name: str, catalog: Catalog, settings: Settings) -> bool:
    """Whether a training can have this known dataset: it is here, or may be downloaded."""
    downloads = settings.allow_downloads and not settings.offline
    try:
        description.named(name, catalog.datasets, settings.folder / "datasets", downloads)
    except InvalidPayload:
        return False
    return True


async def check_dataset(request: Request) -> Response:
    """`POST /datasets/check`: what is in a dataset, read as a training would; nothing is trained."""
    wanted = train_request.parse_check(await _json_body(request)).model_dump()
    catalog = await _ready(request)
    inspections: Inspections = request.state.inspections
    return answer(await inspections.inspect(wanted, catalog.datasets, request.is_disconnected))


async def schema(request: Request) -> Response:
    """`GET /schema/train`: JSON Schema of the payload, from the installed Ultralytics."""
    return document(train_schema(await _ready(request)))


# Jobs


async def list_jobs(request: Request) -> Response:
    """`GET /jobs?status=&q=&limit=&cursor=`: newest first, in pages, and how many there are of each status."""
    query = request.query_params
    statuses, search = _statuses(query.get("status", "")), query.get("q", "")
    if len(search) > MAX_SEARCH:
        raise InvalidCursor(f"q may have {MAX_SEARCH} characters, got {len(search)}")
    limit = _number(query.get("limit") or "100", "limit", PAGE) or 1
    before = _number(query["cursor"], "cursor") if query.get("cursor") else None
    store: Store = request.state.store
    ask = functools.partial(store.jobs, statuses=statuses, search=search, before=before, limit=limit)
    found, counts = await to_thread.run_sync(lambda: (ask(), store.counts(search)))
    more = _address(request, cursor=found[-1].number) if len(found) == limit else None
    shown = [job.snapshot() for job in found]
    return answer({"jobs": shown, "counts": {status: counts.get(status, 0) for status in Status}, "next": more})


def _statuses(text: str) -> list[str]:
    """What is listed with commas. Raises InvalidCursor."""
    named = [name for name in text.split(",") if name]
    if unknown := [name for name in named if name not in [*Status]]:
        raise InvalidCursor(f"status must be one or more of {', '.join(Status)}, got {', '.join(unknown)[:40]!r}")
    return named


async def show_job(request: Request) -> Response:
    """`GET /jobs/<id>`: the snapshot."""
    job = await _job(request)
    shown = job.snapshot()
    if job.dataset is not None:  # the lists have the counts only
        shown["dataset"] = await to_thread.run_sync(_dataset_of, request.state.store, job.id, job.dataset)
    return document(shown)


def _dataset_of(store: Store, job_id: str, counts: DatasetCounts) -> DatasetCounts | Dataset:
    """All that the event behind these counts tells; the counts where the job is just being deleted."""
    for record in store.read(job_id, counts.seq - 1, 1):
        event = loads(record.data)
        return {
            "seq": counts.seq,
            "splits": event["splits"],
            "warnings": event["warnings"],
            "classes": event["classes"],
            "class_count": event["class_count"],
        }
    return counts


async def events(request: Request) -> Response:
    """`GET /jobs/<id>/events?types=&last_event_id=&limit=`: Server-Sent Events, or as JSON a page."""
    # The header beats the query: a browser's reconnect sends it beside the address it was opened with.
    given = request.headers.get("last-event-id") or request.query_params.get("last_event_id") or "0"
    cursor = _number(given, "Last-Event-ID")
    types = _types(request.query_params.get("types"))
    job = await _job(request)
    if preferred(request.headers.get("accept"), EVENT_FORMS) == "application/json":
        response = await _page(request, job, cursor, types)
    else:
        response = _stream(request, job, cursor, types)
    response.headers["Vary"] = "Accept"  # a cache must not give one for the other
    return response


def _stream(request: Request, job: Job, cursor: int, types: Types | None) -> Response:
    if job.is_final and cursor == job.last_seq:
        return Response(status_code=204, headers={"Cache-Control": "no-store"})
    return JobStream(request.state.hub, job, cursor, types)


async def _page(request: Request, job: Job, cursor: int, types: Types | None) -> Response:
    store: Store = request.state.store
    cursor = 0 if cursor > job.last_seq else cursor  # as in a stream, which says `reset`
    limit = _number(request.query_params.get("limit") or str(PAGE), "limit", PAGE) or 1
    records = await to_thread.run_sync(store.read, job.id, cursor, limit)
    last = (records[-1].seq or 0) if records else cursor
    shown = [record.data for record in records if types is None or record.type in types | UNFILTERED_TYPES]
    more = _address(request, last_event_id=last) if last < job.last_seq else None
    head = encode({"job_id": job.id, "last_seq": job.last_seq, "last_event_id": last, "next": more})
    # The events are JSON already: as logged, not parsed and written again.
    content = head[:-1] + b',"events":[' + b",".join(shown) + b"]}"
    response = _document(content)
    if more is None and not job.is_final:  # the next event makes another one of it
        response.headers["Cache-Control"] = "no-store"
    return response


async def logs(request: Request) -> Response:
    """`GET /jobs/<id>/logs?tail=&after=&offset=&follow=1`: the log as plain text; with `follow` to the job's end."""
    job = await _job(request)
    store: Store = request.state.store
    query = request.query_params
    if len(given := [name for name in ("tail", "after", "offset") if query.get(name)]) > 1:
        raise InvalidCursor(f"give one of tail, after and offset, got {' and '.join(given)}")
    first, after = b"", 0
    if query.get("tail"):
        count = _number(query["tail"], "tail", log_text.MAX_TAIL)
        first, after = await to_thread.run_sync(log_text.last, store, job.id, count)
    elif query.get("offset"):
        offset = _number(query["offset"], "offset")
        first, after = await to_thread.run_sync(log_text.beyond, store, job.id, offset)
    elif query.get("after") and (after := _number(query["after"], "after")) > job.last_seq:
        raise InvalidCursor(f"after is {after}, but the log ends at {job.last_seq}: start again at 0")
    if query.get("follow", "0") not in ("", "0", "false"):
        return log_text.FollowedLog(request.state.hub, job.id, first, after)
    last_seq = max(after, job.last_seq)
    headers = {**log_text.HEADERS, "Log-Seq": str(last_seq)}
    return _streamed(request, log_text.between(store, job.id, first, after, last_seq), headers, "text/plain")


async def all_events(request: Request) -> Response:
    """`GET /events`: the list of jobs, then each of them as it changes, at most twice a second."""
    store: Store = request.state.store  # the stream keeps this, and not the request
    return BoardStream(request.state.hub, lambda: store.jobs(limit=BOARD_JOBS))


# Artifacts


async def list_artifacts(request: Request) -> Response:
    """`GET /jobs/<id>/artifacts`: the files that the training has written so far."""
    job = await _job(request)
    found = await to_thread.run_sync(artifacts.listing, _run_folder(request, job))
    base = f"/jobs/{job.id}/artifacts"
    return answer({"artifacts": [artifact.as_dict(base) for artifact in found], "zip": f"{base}.zip"})


async def artifact(request: Request) -> Response:
    """`GET /jobs/<id>/artifacts/<path>?v=`: one file, with Range and ETag."""
    job = await _job(request)
    return artifacts.Download(
        await to_thread.run_sync(artifacts.find, _run_folder(request, job), request.path_params["path"])
    )


async def artifacts_zip(request: Request) -> Response:
    """`GET /jobs/<id>/artifacts.zip`: all of them; once the job has ended, with Range and ETag."""
    job = await _job(request)
    root = _run_folder(request, job)
    return await to_thread.run_sync(lambda: bundle.Download(request, root, job.id, is_final=job.is_final))


def _run_folder(request: Request, job: Job) -> Path:
    settings: Settings = request.state.settings
    return settings.folder / "jobs" / job.id / "run"


async def _job(request: Request) -> Job:
    store: Store = request.state.store
    job_id = request.path_params["job_id"]
    current: Job | None = store.current(job_id)  # in memory, if it has not ended: nothing keeps it from being shown
    return current if current is not None else await to_thread.run_sync(store.job, job_id)


# Health


async def healthz(request: Request) -> Response:
    """`GET /healthz`: the process answers."""
    return answer({"status": "ok"})


async def readyz(request: Request) -> Response:
    """`GET /readyz`: 503 until a training can be taken without waiting."""
    if reason := request.state.readiness.reason():
        raise NotReady(reason)
    if request.state.store.failing:
        raise NotReady(request.state.store.failing)
    request.state.runner.check_recovered()
    return answer({"status": "ready"})


async def metrics(request: Request) -> Response:
    """`GET /metrics`: for Prometheus."""
    return Response(request.state.metrics.text(), media_type=CONTENT_TYPE_LATEST)


async def openapi_document(request: Request) -> Response:
    """`GET /openapi.json`: these calls, for programs that make clients."""
    return document(openapi.document(ROUTES))


async def docs(request: Request) -> Response:
    """`GET /docs`: these calls, for people."""
    return Response(openapi.page(ROUTES), headers=DOCS_HEADERS, media_type="text/html")


# What several routes need


async def _ready(request: Request) -> Catalog:
    readiness: Readiness = request.state.readiness
    return await readiness.wait(WARM_UP_SECONDS)


async def _json_body(request: Request, *, optional: bool = False) -> bytes:
    """The body of a JSON request. A form or plain text is refused: a foreign page can send those unasked."""
    limit: int = request.state.settings.max_body_bytes
    announced = request.headers.get("content-length", "0")
    if not announced.isdecimal() or int(announced) > limit:  # nothing of it is waited for
        raise BodyTooLarge(f"the body is longer than {limit} bytes, the most that is read")
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise BodyTooLarge(f"the body is longer than {limit} bytes, the most that is read")
    if (coding := request.headers.get("content-encoding", "identity").strip().lower()) not in ("", "identity"):
        raise UnsupportedCoding(coding)
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json" and (body or not optional):
        raise UnsupportedMedia(f"send application/json, got {media_type or 'no content type'}")
    return body


def _streamed(
    request: Request, content: AsyncIterator[bytes] | Iterator[bytes], headers: dict[str, str], media_type: str
) -> Response:
    """The content as it comes. HEAD gets none: its connection would wait for the end of what nobody sees."""
    shown = iter(()) if request.method == "HEAD" else content
    return StreamingResponse(shown, headers=headers, media_type=media_type)


def _address(request: Request, **changes: object) -> str:
    """The request's own address with another query; from the root, since the host may have had another name."""
    url = request.url.include_query_params(**changes)
    return f"{url.path}?{url.query}"


def _number(text: str, name: str, highest: int = HIGHEST) -> int:
    """A whole number in ASCII digits. Raises InvalidCursor."""
    if not (text.isascii() and text.isdigit() and len(text) <= 16 and int(text) <= highest):
        raise InvalidCursor(f"{name} must be a whole number from 0 to {highest}, got {text[:40]!r}")
    return int(text)


def _types(text: str | None) -> Types | None:
    if text is None:
        return None
    types = frozenset(filter(None, text.split(",")))
    if unknown := sorted(types - EVENT_TYPES):
        raise InvalidCursor(f"unknown event types {', '.join(unknown)[:200]}; known: {', '.join(sorted(EVENT_TYPES))}")
    return types


ROUTES: list[BaseRoute] = [
    call("/", page_files.index),
    call("/train", train, "POST"),
    call("/demo", demo, "POST"),
    call("/models", models),
    call("/datasets", datasets),
    call("/datasets/check", check_dataset, "POST"),
    call("/schema/train", schema),
    call("/events", all_events),
    call("/jobs", list_jobs),
    call("/jobs/{job_id}", show_job),
    call("/jobs/{job_id}", delete, "DELETE"),
    call("/jobs/{job_id}/events", events),
    call("/jobs/{job_id}/logs", logs),
    call("/jobs/{job_id}/artifacts", list_artifacts),
    call("/jobs/{job_id}/artifacts.zip", artifacts_zip, sends_files=True),
    call("/jobs/{job_id}/artifacts/{path:path}", artifact, sends_files=True),
    call("/jobs/{job_id}/cancel", cancel, "POST"),
    call("/jobs/{job_id}/stop", stop, "POST"),
    call("/jobs/{job_id}/resume", resume, "POST"),
    call("/healthz", healthz),
    call("/readyz", readyz),
    call("/metrics", metrics),
    call("/openapi.json", openapi_document),
    call("/docs", docs),
    Mount("/static", page_files.FILES),
    Mount("/vendor/uplot", page_files.PageFiles(page_files.UPLOT)),
]
