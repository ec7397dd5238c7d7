"""How every call runs: its query is checked, its handler asked; what its client has is not sent again, what is long is
sent compressed.
"""

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from service.web import compression, conditions, parameters

Handler = Callable[[Request], Awaitable[Response]]


class Call:
    """A handler as an ASGI application, so that an open stream keeps nothing but its own response.

    Starlette's wrapper for functions would keep the request and two more coroutines for as long as the stream is open.
    """

    def __init__(self, handler: Handler) -> None:
        self.handler = handler

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await self._answer(Request(scope, receive))
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        parameters.check(request, self.handler.__name__)
        response = compression.mark(await self.handler(request))
        return await compression.encoded(request, conditions.unless_known(request, response))


class Download(Call):
    """A call that is answered with a file, which is open while it is sent: as many at once as there are places."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await self._answer(Request(scope, receive))
        async with scope["state"]["downloads"]:
            await response(scope, receive, send)


def call(path: str, handler: Handler, method: str = "GET", *, sends_files: bool = False) -> Route:
    """The route of one call."""
    kind = Download if sends_files else Call
    return Route(path, kind(handler), methods=[method], name=handler.__name__)
