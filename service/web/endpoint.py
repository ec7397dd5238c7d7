"""How every call runs: its query is checked, its handler asked; what its client has is not sent again, what is long is
sent compressed.
"""

from collections.abc import Iterable

from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from service.web import compression, conditions, queries
from service.web.call import Call
from service.web.state import Request


class Endpoint:
    """A call as an ASGI application, so that an open stream keeps nothing but its own response.

    Starlette's wrapper for functions would keep the request and two more coroutines for as long as the stream is open.
    """

    def __init__(self, call: Call) -> None:
        self._call = call

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await _answer(self._call, Request(scope, receive))
        if not self._call.sends_files:
            return await response(scope, receive, send)
        async with scope["state"]["downloads"]:  # as many files at once as there are places
            await response(scope, receive, send)


async def _answer(call: Call, request: Request) -> Response:
    if not call.takes_any_query:
        queries.check(request, call.query)
    response = compression.mark(await call.handler(request))
    return await compression.encoded(request, conditions.unless_known(request, response))


def routes(calls: Iterable[Call]) -> list[BaseRoute]:
    """The routes of these calls, in their order."""
    return [Route(call.path, Endpoint(call), methods=[call.method], name=call.name) for call in calls]
