"""The application: the only place where the service's objects are made and wired together.

uvicorn service.app:app
"""

import asyncio
import functools
import logging
import sys
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from anyio import CapacityLimiter, to_thread
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.types import Message, Receive, Scope, Send

from AI.model_trainer.ultralytics import config_dir
from service.errors import ServiceError
from service.runner import Runner
from service.settings import Settings
from service.store.retention import Retention
from service.store.store import Store
from service.store.transaction import Change
from service.streaming import Hub
from service.trainings.inspection import Inspections
from service.trainings.readiness import Readiness
from service.web import descriptors, uvicorn_seam
from service.web.calls import ROUTES
from service.web.connections import Connections
from service.web.exit_signal import on_exit_signal
from service.web.guard import Guard
from service.web.metrics import Metrics
from service.web.problem_json import EXCEPTION_HANDLERS, Crashes
from service.web.state import State
from service.workers import gpus, limits
from service.workers.environment import worker_environment
from service.workers.launcher import Launcher
from service.workers.terms import Terms

log = logging.getLogger(__name__)

#: Headers that an allowed page's script may send,
SENT_HEADERS = (
    *("Authorization", "Cache-Control", "Content-Type", "Idempotency-Key", "If-Match", "If-Modified-Since"),
    *("If-None-Match", "If-Range", "If-Unmodified-Since", "Last-Event-ID", "Range"),
)
#: and those of an answer that it may read.
SHOWN_HEADERS = (
    *("Accept-Ranges", "Allow", "Content-Disposition", "Content-Range", "ETag", "Idempotent-Replayed", "Location"),
    *("Log-Seq", "Retry-After"),
)
#: Payloads and datasets that are looked at at once.
CHECKERS = 2
#: Jobs that are ended or stopped on request at once.
CONTROLS = 8
#: What the forkserver imports, in this order.
PRELOAD = (
    "service.workers.tether",
    "AI.model_trainer.ultralytics.preload",
    "service.workers.worker",
    "service.workers.programs",
)
#: Seconds that open responses get when the service leaves; then their connections are cut. Uvicorn by itself waits
#: for as long as a reader takes to take nothing.
LEAVE_SECONDS = 4.0
#: Seconds for which the first request waits until the jobs of the previous run are recovered.
START_SECONDS = 5.0


class Service(Starlette):
    """Starlette that remembers the server's own `send`: event streams write to the connection behind it."""

    #: Those of uvicorn; None under another server.
    connections: Connections | None = None
    #: Of the lifespan: the way to the server.
    receive: Receive | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            self.receive = receive
            send = _brief(send)
        elif self.connections is not None:
            scope["raw_send"] = send
        await super().__call__(scope, receive, send)

    def take_over(self, connections: Connections) -> None:
        """Have the server keep its connections so, if it can."""
        self.connections = connections if uvicorn_seam.install(self.receive, connections) else None

    def cut_connections(self) -> None:
        """End what is still open, sent or not."""
        if self.connections is not None:
            self.connections.cut()


def _brief(send: Send) -> Send:
    """A lifespan's `send` that says what is wrong with the data folder, and not where in this code it was found."""

    async def brief(message: Message) -> None:
        error = sys.exc_info()[1]
        if message["type"] == "lifespan.startup.failed" and isinstance(error, ServiceError | OSError):
            message = {**message, "message": str(error)}
        await send(message)

    return brief


def create_app(settings: Settings | None = None) -> Service:
    """The service as an ASGI application; what it owns is opened by its lifespan and closed with it."""
    settings = settings or Settings()
    service = Service(
        routes=ROUTES,
        middleware=_middleware(settings),
        exception_handlers=EXCEPTION_HANDLERS,
        lifespan=functools.partial(_life, settings),
    )
    service.router.redirect_slashes = False  # a redirect would name a host and a path that a proxy may have changed
    return service


@asynccontextmanager
async def _life(settings: Settings, service: Service) -> AsyncIterator[State]:
    """All that the service is made of, from its start to its end."""
    open_files, room = _open_files(settings)
    hub = Hub(
        heartbeat_seconds=settings.heartbeat_seconds,
        stall_seconds=settings.stall_seconds,
        max_streams=room.streams,
    )
    connections = Connections(room.streams + room.others, settings.stall_seconds)
    service.take_over(connections)
    metrics = Metrics()
    store = await _open_store(settings, hub, metrics)
    launcher = make_launcher(settings)
    runner = _make_runner(settings, store, launcher, open_files)
    jobs = settings.folder / "jobs"
    retention = Retention(store, jobs, keep_days=settings.keep_days, keep_jobs=settings.keep_jobs)
    allowed = limits_of(settings, open_files)
    inspections = Inspections(launcher, settings.folder, limits=allowed, roots=settings.dataset_roots)
    metrics.watch(store, hub, runner, launcher)
    readiness = Readiness(launcher, settings.folder)
    try:
        await to_thread.run_sync(inspections.sweep)
        await to_thread.run_sync(config_dir.prepare, settings.folder / "config")
        await to_thread.run_sync(retention.tell_strangers)
        await _start(runner)
        retention.start()
        readiness.start()
        with on_exit_signal(lambda: _leave(hub, runner, service)):
            yield State(
                settings=settings,
                store=store,
                hub=hub,
                runner=runner,
                retention=retention,
                metrics=metrics,
                readiness=readiness,
                inspections=inspections,
                checkers=CapacityLimiter(CHECKERS),
                controls=CapacityLimiter(CONTROLS),
                downloads=CapacityLimiter(room.files),
            )
    finally:
        hub.close()
        connections.close()
        readiness.close()
        await inspections.close()
        await to_thread.run_sync(runner.close)
        await to_thread.run_sync(retention.close)
        await to_thread.run_sync(store.close)


async def _open_store(settings: Settings, hub: Hub, metrics: Metrics) -> Store:
    """The log. What is committed to it is counted, then shown."""

    def publish(changes: Sequence[Change]) -> None:
        metrics.count(changes)
        hub.publish(changes)

    make = functools.partial(Store, settings.folder, publish, observe=metrics.observe_commit)
    store = await to_thread.run_sync(make)
    hub.open(store)
    return store


def _middleware(settings: Settings) -> list[Middleware]:
    """Who may ask; and what the browsers of allowed other pages want to hear, of refusals, too."""
    guard = Middleware(Guard, hosts=settings.allowed_host, origins=settings.allowed_origin)
    if not settings.allowed_origin:
        return [guard]
    cors = Middleware(
        CORSMiddleware,
        allow_origins=list(settings.allowed_origin),
        allow_methods=["*"],
        allow_headers=SENT_HEADERS,
        expose_headers=SHOWN_HEADERS,
        allow_private_network=True,
    )
    return [cors, Middleware(Crashes), guard]


def _open_files(settings: Settings) -> tuple[int | None, descriptors.Room]:
    """How many open files a worker gets, as many as this process was given; and the room for connections."""
    given, limit = descriptors.raise_limit()
    slots = gpus.slots(settings.slots)
    return given, descriptors.share_out(limit, trainings=len(slots), streams=settings.max_streams)


def _make_runner(settings: Settings, store: Store, launcher: Launcher, open_files: int | None) -> Runner:
    terms = Terms(
        data_dir=settings.folder,
        program=settings.program,
        threads=settings.threads,
        offline=settings.offline,
        limits=limits_of(settings, open_files),
        max_log_bytes=settings.max_log_bytes,
        grace_seconds=settings.cancel_grace_seconds,
        stalled_seconds=settings.stalled_seconds,
    )
    return Runner(
        store,
        launcher,
        terms,
        devices=gpus.slots(settings.slots),
        auto_resume=settings.auto_resume,
        max_waiting=settings.max_waiting,
    )


async def _start(runner: Runner) -> None:
    """Start the runner. Where that takes long (a full disk), the service answers meanwhile, and what can end does."""

    def told(task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and (error := task.exception()):  # asked for here: nobody waits for it any more
            log.error(
                "the jobs of the previous run could not be recovered: %s", error, extra={"action": "recovery_failed"}
            )

    starting = asyncio.create_task(to_thread.run_sync(runner.start))
    await asyncio.wait([starting], timeout=START_SECONDS)
    if starting.done():
        return await starting
    starting.add_done_callback(told)


def _leave(hub: Hub, runner: Runner, service: Service) -> None:
    """End the streams, each with a `retry:` line; then cut the connections that keep the server waiting."""
    threading.Thread(target=runner.leave, name="leaving", daemon=True).start()  # at once: a SIGKILL may follow
    hub.close()
    asyncio.get_running_loop().call_later(LEAVE_SECONDS, service.cut_connections)


def limits_of(settings: Settings, open_files: int | None) -> limits.Limits:
    """What each worker may use (see `limits`)."""
    return limits.Limits(
        memory_bytes=settings.max_memory_bytes, file_bytes=settings.max_file_bytes, open_files=open_files
    )


def make_launcher(settings: Settings) -> Launcher:
    """How this service starts its workers."""
    return Launcher(
        preload=PRELOAD,
        environment=worker_environment(settings.folder, settings.worker_env),
        method=settings.start_method,
    )


def __getattr__(name: str) -> Service:
    """`app`, made when a server first asks for it (PEP 562): importing this module does nothing."""
    if name != "app":
        raise AttributeError(name)
    globals()[name] = made = create_app()
    return made
