"""Errors as `application/problem+json` (RFC 9457): what routes raise, what routing raises, and faults of our own."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.encoding import encode
from service.errors import PROBLEM, Code, InvalidPayload, PayloadFault, ServiceError, described

#: Characters of an address that are answered.
MAX_SHOWN = 100


def problem(error: ServiceError) -> Response:
    """The answer to an error of ours; a payload's faults are listed with their JSON pointers."""
    faults = [fault.as_dict() for fault in error.faults] if isinstance(error, InvalidPayload) else None
    headers = dict(error.headers)
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    return problem_response(error.status, str(error), error.code, errors=faults, headers=headers)


def problem_response(
    status: int,
    detail: str,
    code: Code,
    *,
    errors: list[PayloadFault] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The answer to any problem (see `described`)."""
    body = described(status, detail, code)
    if errors is not None:
        body["errors"] = errors
    # It repeats what was sent, and a cache may keep a 404 unasked.
    always = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    return Response(encode(body), status_code=status, headers={**always, **(headers or {})}, media_type=PROBLEM)


async def on_service_error(request: Request, error: Exception) -> Response:
    """The answer to everything that this service raises on purpose."""
    assert isinstance(error, ServiceError)  # noqa: S101 (registered for this class)
    return problem(error)


async def on_http_error(request: Request, error: Exception) -> Response:
    """Starlette's own errors in the same form: no such address, another method. OPTIONS is told the methods."""
    assert isinstance(error, HTTPException)  # noqa: S101 (registered for this class)
    path, status = request.url.path[:MAX_SHOWN], error.status_code
    if status == 405:
        allowed = _methods(request) or (error.headers or {}).get("Allow", "")
        if request.method == "OPTIONS":
            return Response(status_code=204, headers={"Allow": allowed})
        detail = f"{path} takes {allowed}, got {request.method[:MAX_SHOWN]}"
        return problem_response(405, detail, "method_not_allowed", headers={"Allow": allowed})
    if status == 404:
        return problem_response(404, f"nothing is at {path}; GET /docs lists the calls", "not_found")
    return problem_response(status, str(error.detail), "http_error", headers=error.headers)


def _methods(request: Request) -> str:
    """All methods of the routes at the request's address: each route knows its own only."""
    whole = {**request.scope, "root_path": request.scope.get("app_root_path", "")}  # a mount has changed it
    routes = [route for route in request.app.routes if route.matches(whole)[0] is not Match.NONE]
    return ", ".join(sorted({method for route in routes for method in getattr(route, "methods", None) or ()}))


async def on_client_gone(request: Request, error: Exception) -> Response:
    """Nobody is left to read it; without this, each such request would leave a traceback in the service's log."""
    return Response(status_code=400)


async def on_crash(request: Request, error: Exception) -> Response:
    """A fault of ours: said without its details, which are in the service's log."""
    return problem_response(500, "the service failed to answer; its log says why", "internal")


class Crashes:
    """Pure ASGI middleware within CORS: Starlette answers a fault of ours outside of all middleware, where an allowed
    page cannot read it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def note(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, note)
        except Exception as error:
            if not begun and scope["type"] == "http":
                await (await on_crash(Request(scope), error))(scope, receive, send)
            raise  # the server logs it


EXCEPTION_HANDLERS: dict[Any, Callable[[Request, Exception], Awaitable[Response]]] = {
    ServiceError: on_service_error,
    HTTPException: on_http_error,
    ClientDisconnect: on_client_gone,
    Exception: on_crash,
}
