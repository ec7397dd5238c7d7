"""Trainings: taken, tried out, gone on with. Each handler checks, calls one thing, and answers."""

import functools
from typing import cast

from anyio import to_thread
from starlette.responses import Response

from service.settings import Settings
from service.snapshot import Status
from service.trainings import body
from service.trainings.catalog import Catalog
from service.trainings.requests import Arguments, TrainRequest
from service.trainings.schema import train_schema
from service.trainings.submission import Accepted, Submission
from service.web import answers
from service.web.answers import answer, document
from service.web.requested import idempotency_key, json_body, ready
from service.web.state import Request
from service.workers import gpus


async def train(request: Request) -> Response:
    """Check everything, put the job on the disk, answer 202."""
    sent = await json_body(request)
    submission = _submission(request, await ready(request))
    # In a thread: a large one takes a while.
    checked = await to_thread.run_sync(submission.check, sent, limiter=request.state["checkers"])
    return await _submit(request, submission, checked)


async def demo(request: Request) -> Response:
    """Train on generated shapes; the dataset is made on first use."""
    from AI.examples import shapes

    submission = _submission(request, await ready(request))
    data = await to_thread.run_sync(shapes.generate, submission.settings.folder / "demo")
    wanted = TrainRequest(
        model=shapes.MODEL,
        hyperparameters=cast("Arguments", shapes.HYPERPARAMETERS),
        # A tenth of a second an epoch, and the page has something to show.
        fit_params={"data": str(data), "preview": 4},
    )
    return await _submit(request, submission, wanted)


def _submission(request: Request, catalog: Catalog) -> Submission:
    state = request.state
    return Submission(state["settings"], state["store"], state["runner"], catalog)


async def _submit(request: Request, submission: Submission, wanted: TrainRequest) -> Response:
    key = idempotency_key(request)
    accepted = await to_thread.run_sync(submission.submit, wanted, key, limiter=request.state["checkers"])
    return _accepted(accepted)


def _accepted(accepted: Accepted) -> Response:
    job, is_new = accepted.job, accepted.is_new
    content: answers.Accepted = {
        "job_id": job.id,
        "status": Status.QUEUED if is_new else job.status,  # it may run by now
        "links": job.links,
    }
    location = {"Location": job.links["self"]}
    if is_new:
        return answer(content, 202, location)
    return answer(content, 200, {**location, "Idempotent-Replayed": "true"})


async def resume(request: Request) -> Response:
    """The same job, its next attempt; 202 once that is on the disk."""
    epochs = body.parse_resume(await json_body(request, optional=True)).epochs
    resumed, job_id = request.state["runner"].resume, request.path_params["job_id"]
    # Among the checkers: it looks for checkpoints.
    job = await to_thread.run_sync(resumed, job_id, epochs, limiter=request.state["checkers"])
    return answer(job.snapshot(), 202)


async def models(request: Request) -> Response:
    """What can be trained and on how many GPUs, and which weights are there already."""
    catalog = await ready(request)
    read = functools.partial(_models, catalog, request.state["settings"])
    return document(await to_thread.run_sync(read))


def _models(catalog: Catalog, settings: Settings) -> answers.ModelList:
    folder = settings.folder / "weights"
    present = sorted(path.name for path in folder.glob("*.pt") if path.is_file())
    return {
        "models": [{**model, "downloaded": f"{model['name']}.pt" in present} for model in catalog.model_table],
        "weights_dir": str(folder),
        "weights": present,
        "offline": settings.offline,
        "gpus": len(gpus.gpus_to_use()),
    }


async def schema(request: Request) -> Response:
    """JSON Schema of the payload, from the installed Ultralytics."""
    return document(train_schema(await ready(request)).schema)
