"""Files: what a training has written, one by one and all together."""

from anyio import to_thread
from starlette.responses import Response

from service.web import artifacts, bundle, requested
from service.web.answers import ArtifactList, answer
from service.web.state import Request


async def list_artifacts(request: Request) -> Response:
    """The files that the training has written so far."""
    job = await requested.job(request)
    found = await to_thread.run_sync(artifacts.listing, requested.run_folder(request, job.id))
    base = f"/jobs/{job.id}/artifacts"
    shown: ArtifactList = {"artifacts": [artifact.as_dict(base) for artifact in found], "zip": f"{base}.zip"}
    return answer(shown)


async def artifact(request: Request) -> Response:
    """One file, with Range and ETag."""
    job = await requested.job(request)
    folder, name = requested.run_folder(request, job.id), request.path_params["path"]
    return artifacts.Download(await to_thread.run_sync(artifacts.find, folder, name))


async def artifacts_zip(request: Request) -> Response:
    """All of them; once the job has ended, with Range and ETag."""
    job = await requested.job(request)
    folder = requested.run_folder(request, job.id)
    return await to_thread.run_sync(lambda: bundle.Download(request, folder, job.id, is_final=job.is_final))
