"""The page's files: where they lie, and the headers under which they go out. The page itself is in `static/`."""

import gzip
import os
from pathlib import Path

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, Response
from starlette.staticfiles import NotModifiedResponse, PathLike, StaticFiles
from starlette.types import Message, Receive, Scope, Send

from service.web import compression
from service.web.negotiation import takes_gzip
from service.web.state import Request

_SERVICE = Path(__file__).parent.parent


def _first(*folders: Path) -> Path:
    """The first of these folders that is there: a wheel carries what a checkout has elsewhere (see `setup.py`)."""
    return next((folder for folder in folders if folder.is_dir()), folders[0])


STATIC = _first(_SERVICE / "static", _SERVICE.parent / "static")
#: The chart library as npm installs it; without it the page says so where charts would be.
UPLOT = _first(_SERVICE / "vendor" / "uplot", _SERVICE.parent / "node_modules" / "uplot" / "dist")

#: Nothing but our own files is loaded, nothing inline runs, and no text can become markup (Trusted Types: the one
#: policy, in `static/line/connection.js`, names one script). `data:` pictures are the favicon, which shows progress.
POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "worker-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types page",
    ]
)
HEADERS = {
    "Cache-Control": "no-cache",  # kept, but asked for: the files of one version never meet those of another
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class PageFiles(StaticFiles):
    """Files of one folder under the page's headers; a worker's script has its policy from there."""

    def __init__(self, folder: Path) -> None:
        super().__init__(directory=folder, check_dir=False)
        self._folder = folder
        #: Files as gzip, by path and time: there are some sixty of them, 100 KB in all.
        self._packed: dict[tuple[str, int], bytes] = {}

    async def check_config(self) -> None:
        """Nothing is there where the folder is not, such as the chart library's in a checkout without npm."""
        if not self._folder.is_dir():
            raise HTTPException(404)
        await super().check_config()

    def file_response(
        self, full_path: PathLike, stat_result: os.stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        plain = FileResponse(full_path, status_code=status_code, stat_result=stat_result)
        response: Response = plain
        asked = Headers(scope=scope)
        if compression.is_text(plain.headers["content-type"]):
            if takes_gzip(asked.get("accept-encoding")):
                response = self._as_gzip(plain, stat_result)
            response.headers.add_vary_header("Accept-Encoding")
        return NotModifiedResponse(response.headers) if self.is_not_modified(response.headers, asked) else response

    def _as_gzip(self, plain: FileResponse, stat: os.stat_result) -> Response:
        key = str(plain.path), stat.st_mtime_ns
        if key not in self._packed:
            self._packed[key] = gzip.compress(Path(plain.path).read_bytes(), mtime=0)
        # Other bytes have another strong ETag.
        etag = plain.headers["etag"].removesuffix('"') + '-gzip"'
        headers = {"ETag": etag, "Last-Modified": plain.headers["last-modified"], "Content-Encoding": "gzip"}
        return Response(self._packed[key], headers=headers, media_type=plain.media_type)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await super().__call__(scope, receive, send_with_headers)


FILES = PageFiles(STATIC)


async def index(request: Request) -> Response:
    """The page."""
    response = await FILES.get_response("index.html", request.scope)
    response.headers.update(HEADERS)
    return response
