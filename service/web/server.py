"""Uvicorn as this service starts it: by its public names only (what goes beyond is in `uvicorn_seam`)."""

import logging
import socket
import sys

import uvicorn
from starlette.types import ASGIApp

from service.web.guard import is_loopback

log = logging.getLogger(__name__)

#: What whoever listens on more than loopback has to know.
ELSEWHERE = (
    "only requests to a loopback address of this machine are answered; docs/operations.md"
    " has what a proxy on this machine needs"
)
#: Seconds that open responses get at the end before their connections are closed.
GRACE_SECONDS = 5
#: Connections that may wait to be accepted.
BACKLOG = 2_048


class Server(uvicorn.Server):
    """Uvicorn's server, which says where it listens once it does."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listener in sockets or []:
            host, port, *_ = listener.getsockname()
            name = f"[{host}]" if ":" in host else host
            print(f"listening on http://{name}:{port}", file=sys.stderr, flush=True)  # noqa: T201 (the promise)


def listen(host: str, port: int) -> socket.socket:
    """A socket that connections can be made to. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family, backlog=BACKLOG)
    # Connections inherit it. asyncio sets it only for sockets that name their protocol, which these do not: without it
    # an answer of two writes waits 40 ms for the reader's delayed acknowledgement.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def configuration(app: ASGIApp) -> uvicorn.Config:
    """How uvicorn is to serve it."""
    return uvicorn.Config(
        app,
        loop="auto",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )


def serve(app: ASGIApp, listener: socket.socket) -> None:
    """Serve until a signal ends it."""
    if not is_loopback(address := listener.getsockname()[0]):
        log.warning("%s: %s", address, ELSEWHERE)
    Server(configuration(app)).run(sockets=[listener])
