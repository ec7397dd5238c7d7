"""The Python servers that `fanout` measures: `python -m benchmarks.fanout_servers KIND EVENTS RATE FOLDER`.

A server prints `listening PORT` when it is warm, and on a line on stdin publishes its events at their pace. All run on
the same uvicorn (uvloop, httptools) and send the same JSON.
"""

import argparse
import asyncio
import json
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import uvicorn
from anyio import to_thread
from sse_starlette import EventSourceResponse
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from benchmarks.load import raise_file_limit
from service.app import create_app
from service.encoding import encode
from service.frames import Record
from service.job import Job
from service.settings import Settings
from service.store.store import Store
from service.store.transaction import Change
from service.streaming import Hub

JOB = "0123456789ab"
#: Where a server of this file, and the C floor, is subscribed to.
PATH = f"/jobs/{JOB}/events"
METRICS = {"metrics/precision(B)": 0.91234, "metrics/recall(B)": 0.81234, "metrics/mAP50(B)": 0.93456}

#: Sends event number 1, 2, 3, …
Publish = Callable[[int], None]
#: Called once a server is warm: from then on the publisher may be told to begin.
Ready = Callable[[Publish], None]


def event(number: int) -> dict[str, Any]:
    """What a training would say: an `epoch_end` that makes a frame of about 300 bytes."""
    return {
        "event": "epoch_end",
        "epoch": number,
        "total_epochs": 1000,
        "metrics": METRICS,
        "save_dir": "/data/jobs/0123456789ab/run",
        "fitness": None,
        "best_fitness": None,
    }


def stamped(number: int) -> dict[str, Any]:
    """The same with what the service's log adds to it."""
    return {"job_id": JOB, "attempt": 1, "seq": number, "time": time.time(), **event(number)}


# The service


def through_the_log(store: Store, hub: Hub) -> Publish:
    """As a training's supervisor does: append; the log commits, then shows."""

    def publish(number: int) -> None:
        store.append(JOB, 1, event(number), time.time())

    return publish


def to_the_hub(store: Store, hub: Hub) -> Publish:
    """Events that are in no log: what showing them costs."""
    job = store.job(JOB)

    def publish(number: int) -> None:
        seq = job.last_seq + number
        hub.publish([Change(job, Record(seq, "epoch_end", encode(stamped(seq))))])

    return publish


def service(folder: Path, ready: Ready, publisher: Callable[[Store, Hub], Publish] = through_the_log) -> Starlette:
    """The service as it is, with one job that no worker runs."""
    app = create_app(Settings(data_dir=folder, max_streams=100_000))
    inner = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[Any]:
        async with inner(app) as state:
            await state["readiness"].catalog  # the forkserver is warm: it takes no CPU from here on
            await to_thread.run_sync(_make_job, state["store"])
            ready(publisher(state["store"], state["hub"]))
            yield state

    app.router.lifespan_context = lifespan
    return app


def _make_job(store: Store) -> None:
    store.create(Job(id=JOB, request={"model": "yolov8n", "hyperparameters": {}, "fit_params": {"data": "x.yaml"}}))
    store.append(JOB, 1, {"event": "started", "pid": 0, "pid_started": ""}).result()


class WithoutServer:
    """Middleware that hides uvicorn's own `send`: event streams then go the stock class's way."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope.pop("raw_send", None)
        await self._app(scope, receive, send)


def service_fallback(folder: Path, ready: Ready) -> Starlette:
    app = service(folder, ready)
    app.add_middleware(WithoutServer)
    return app


# sse-starlette as one uses it


def plain(folder: Path, ready: Ready, *, asks: bool = True) -> Starlette:
    """A queue per subscriber, a generator that waits on it, a dict per event.

    Before each event it asks `is_disconnected`, as the generators in sse-starlette's README do.
    """
    queues: set[asyncio.Queue[dict[str, str]]] = set()

    async def generate(request: Request) -> AsyncIterator[dict[str, str]]:
        queue: asyncio.Queue[dict[str, str]] = asyncio.Queue()
        queues.add(queue)
        try:
            yield {"comment": "subscribed"}
            while not (asks and await request.is_disconnected()):
                yield await queue.get()
        finally:
            queues.discard(queue)

    async def events(request: Request) -> EventSourceResponse:
        return EventSourceResponse(generate(request))

    def broadcast(message: dict[str, str]) -> None:
        for queue in queues:
            queue.put_nowait(message)

    return Starlette(routes=[Route(PATH, events)], lifespan=partial(_broadcasting, ready, broadcast))


@asynccontextmanager
async def _broadcasting(
    ready: Ready, broadcast: Callable[[dict[str, str]], None], app: Starlette
) -> AsyncIterator[None]:
    loop = asyncio.get_running_loop()

    def publish(number: int) -> None:
        data = json.dumps(stamped(number), separators=(",", ":"))
        loop.call_soon_threadsafe(broadcast, {"id": str(number), "event": "epoch_end", "data": data})

    ready(publish)
    yield


KINDS: dict[str, Callable[[Path, Ready], Starlette]] = {
    "service": service,
    "hub": partial(service, publisher=to_the_hub),
    "fallback": service_fallback,
    "lean": partial(plain, asks=False),
    "plain": plain,
}


# The process


def main() -> None:
    """Serve until ended."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fanout_servers")
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("events", type=int)
    parser.add_argument("rate", type=float, help="events per second")
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    raise_file_limit()
    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)

    def ready(publish: Publish) -> None:
        when_told = threading.Thread(target=_publish, args=(publish, arguments.events, arguments.rate), daemon=True)
        when_told.start()
        print("listening", listener.getsockname()[1], flush=True)

    app = KINDS[arguments.kind](arguments.folder, ready)
    config = uvicorn.Config(app, http="httptools", loop="uvloop", log_config=None, access_log=False)
    uvicorn.Server(config).run(sockets=[listener])


def _publish(publish: Publish, events: int, rate: float) -> None:
    if not sys.stdin.readline():
        return
    began = time.monotonic()
    for number in range(1, events + 1):
        time.sleep(max(0.0, began + number / rate - time.monotonic()))
        publish(number)


if __name__ == "__main__":
    main()
