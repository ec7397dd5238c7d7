"""What a request finds of the service: its parts, by name and type."""

from typing import TypeAlias

from anyio import CapacityLimiter
from starlette.requests import Request as StarletteRequest
from typing_extensions import TypedDict

from service.runner import Runner
from service.settings import Settings
from service.store.retention import Retention
from service.store.store import Store
from service.streaming import Hub
from service.trainings.inspection import Inspections
from service.trainings.readiness import Readiness
from service.web.metrics import Metrics


class State(TypedDict):
    """The service's parts; made by `app`."""

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


Request: TypeAlias = StarletteRequest[State]
