"""The calls, described: as an OpenAPI document for programs, and as a page for people."""

import functools
from collections.abc import Sequence

from anyio import to_thread
from pydantic import TypeAdapter
from starlette.responses import Response

from service.errors import NotReady
from service.trainings.schema import Checked, train_schema
from service.web import openapi, openapi_page, queries
from service.web.answers import document
from service.web.call import ETAG, JSON, Answer, Call, Header
from service.web.queries import DocumentQuery
from service.web.requested import ready
from service.web.state import Request

#: A page without anything that could run or be framed.
PAGE_HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}


def described(others: Sequence[Call]) -> list[Call]:
    """These calls, and the two that describe them all."""

    @functools.cache
    def made(schema: Checked, version: str) -> openapi.Json:
        return openapi.document(calls, schema, version)

    async def made_here(request: Request, version: str) -> openapi.Json:
        """The document; where no training can be started, arguments are open objects in it."""
        try:
            catalog = await ready(request)
        except NotReady:
            catalog = None
        return await to_thread.run_sync(made, train_schema(catalog), version)

    async def openapi_document(request: Request) -> Response:
        """These calls, for programs that make clients."""
        return document(await made_here(request, queries.read(request, DocumentQuery).version))

    async def docs(request: Request) -> Response:
        """These calls, for people."""
        shown = openapi_page.page(await made_here(request, "3.1"))
        return Response(shown, headers=PAGE_HEADERS, media_type="text/html")

    calls = [
        *others,
        Call(
            "GET /openapi.json",
            openapi_document,
            name="openapi_document",
            summary="These calls for programs, as OpenAPI has it.",
            answers={
                200: Answer("The document.", {JSON: TypeAdapter(openapi.Json)}, [ETAG]),
                304: Answer("The client has it already (If-None-Match).", headers=[ETAG]),
            },
            query=DocumentQuery,
            headers=[Header("If-None-Match", TypeAdapter(str), "The ETag of what the client has.")],
        ),
        Call(
            "GET /docs",
            docs,
            name="docs",
            summary="These calls for people.",
            answers={200: Answer("The page.", {"text/html": None})},
        ),
    ]
    return calls
