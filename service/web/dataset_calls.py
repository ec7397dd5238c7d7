"""Datasets: found, and looked through."""

from anyio import to_thread
from starlette.responses import Response

from service.datasets import description, search
from service.errors import CannotTrain
from service.settings import Settings
from service.trainings import body
from service.trainings.catalog import Catalog
from service.web.answers import DatasetList, answer
from service.web.requested import json_body, ready
from service.web.state import Request


async def datasets(request: Request) -> Response:
    """What lies under the data roots, and the names of those that Ultralytics knows."""
    catalog, settings = await ready(request), request.state["settings"]
    return answer(await to_thread.run_sync(_found, catalog, settings, limiter=request.state["checkers"]))


def _found(catalog: Catalog, settings: Settings) -> DatasetList:
    known = sorted(catalog.datasets)
    return {
        "datasets": search.find((*settings.data_root, settings.folder / "demo")),
        "roots": [str(root) for root in settings.data_root],
        "known": known,
        "ready": [name for name in known if _is_ready(name, catalog, settings)],
    }


def _is_ready(name: str, catalog: Catalog, settings: Settings) -> bool:
    """Whether a training can have this known dataset: it is here, or may be downloaded."""
    try:
        description.named(name, catalog.datasets, settings.folder / "datasets", settings.may_download)
    except CannotTrain:
        return False
    return True


async def check_dataset(request: Request) -> Response:
    """What is in a dataset, read as a training would; nothing is trained."""
    wanted = body.parse_check(await json_body(request))
    catalog = await ready(request)
    inspections = request.state["inspections"]
    return answer(await inspections.inspect(wanted, catalog.datasets, request.is_disconnected))
