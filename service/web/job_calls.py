"""Jobs: listed, shown, ended, deleted."""

from anyio import to_thread
from orjson import loads
from starlette.responses import Response

from service.snapshot import Dataset, DatasetCounts, Status
from service.store.store import Store
from service.web import queries, requested
from service.web.answers import JobList, answer, document
from service.web.queries import ListQuery
from service.web.state import Request


async def list_jobs(request: Request) -> Response:
    """Newest first, in pages, and how many there are of each status."""
    query = queries.read(request, ListQuery)
    listed = await to_thread.run_sync(_listed, request.state["store"], query)
    if len(listed["jobs"]) == (query.limit or 1):
        listed["next"] = requested.address(request, cursor=listed["jobs"][-1]["number"])
    return answer(listed)


def _listed(store: Store, query: ListQuery) -> JobList:
    found = store.jobs(statuses=query.status, search=query.q, before=query.cursor, limit=query.limit or 1)
    counts = store.counts(query.q)
    return {
        "jobs": [job.snapshot() for job in found],
        "counts": {status: counts.get(status, 0) for status in Status},
        "next": None,
    }


async def show_job(request: Request) -> Response:
    """The snapshot."""
    job = await requested.job(request)
    shown = job.snapshot()
    if job.dataset is not None:  # the lists have the counts only
        shown["dataset"] = await to_thread.run_sync(_dataset, request.state["store"], job.id, job.dataset)
    return document(shown)


def _dataset(store: Store, job_id: str, counts: DatasetCounts) -> DatasetCounts | Dataset:
    """All that the event behind these counts tells; the counts where the job is just being deleted."""
    for record in store.read(job_id, counts.seq - 1, 1):
        event = loads(record.data)
        return {
            "seq": counts.seq,
            "splits": event["splits"],
            "classes": event["classes"],
            "class_count": event["class_count"],
            "warnings": event["warnings"],
        }
    return counts


async def cancel(request: Request) -> Response:
    """202 once a restart would honour it; `cancelled` follows as an event."""
    runner, job_id = request.state["runner"], request.path_params["job_id"]
    job = await to_thread.run_sync(runner.cancel, job_id, limiter=request.state["controls"])
    return answer(job.snapshot(), 202)


async def stop(request: Request) -> Response:
    """202 once a restart would honour it; `completed` follows after the epoch's validation."""
    runner, job_id = request.state["runner"], request.path_params["job_id"]
    job = await to_thread.run_sync(runner.stop, job_id, limiter=request.state["controls"])
    return answer(job.snapshot(), 202)


async def delete(request: Request) -> Response:
    """204 once a restart would finish it; files and events follow."""
    await to_thread.run_sync(request.state["retention"].delete, request.path_params["job_id"])
    return Response(status_code=204)
