"""A job's files as one zip. Nothing in it is compressed, so its length is known before it is made, and a part of it can
be asked for: a download that broke off goes on.
"""

import hashlib
import io
import logging
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send
from typing_extensions import Buffer

from service.web import conditions
from service.web.artifacts import CHUNK_BYTES, Artifact, listing
from service.web.state import Request

log = logging.getLogger(__name__)

#: Bytes of a zip beside names and contents (APPNOTE 4.3): before a file, with sizes of 64 bits, and after it,
BEFORE, AFTER = 30 + 20, 24
#: of its line in the directory, of the directory's end, and of that for a large zip.
LINE, END, LARGE_END = 46, 22, 56 + 20


class FileChanged(Exception):
    """Raised when a file is no longer the one whose length was promised."""


class _Pipe(io.RawIOBase):
    """A file for `zipfile` to write to, whose content is taken away piece by piece: memory stays flat."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, data: Buffer) -> int:
        self._pieces.append(bytes(data))
        return len(self._pieces[-1])

    def take(self) -> bytes:
        taken, self._pieces = b"".join(self._pieces), []
        return taken


def pieces(files: list[Artifact], *, strict: bool = False) -> Iterator[bytes]:
    """These files as a zip, uncompressed (pictures and weights are compressed already).

    A file that has gone meanwhile is left out; if `strict`, that or any other change of a file raises FileChanged.
    """
    pipe = _Pipe()
    with zipfile.ZipFile(cast("IO[bytes]", pipe), "w", zipfile.ZIP_STORED) as made:
        for file in files:
            try:
                entry = zipfile.ZipInfo.from_file(file.path, _name(file), strict_timestamps=False)
                source = file.path.open("rb")
            except OSError:
                if strict:
                    raise FileChanged(file.name) from None
                continue  # replaced or removed by the training meanwhile
            with source, made.open(entry, "w", force_zip64=True) as target:
                while chunk := source.read(CHUNK_BYTES):
                    if strict and not file.is_unchanged():  # asked before the chunk goes out, which may be too much
                        raise FileChanged(file.name)
                    target.write(chunk)
                    yield pipe.take()
            if strict and not file.is_unchanged():
                raise FileChanged(file.name)
    yield pipe.take()


def size(files: list[Artifact]) -> int:
    """The length of the zip of these files, in bytes."""
    offset = directory = 0
    for file in files:
        name, length = len(_name(file).encode()), file.stat.st_size
        large = 2 * (length > zipfile.ZIP64_LIMIT) + (offset > zipfile.ZIP64_LIMIT)
        directory += LINE + name + (4 + 8 * large if large else 0)
        offset += BEFORE + name + length + AFTER
    is_large = len(files) > zipfile.ZIP_FILECOUNT_LIMIT or max(offset, directory) > zipfile.ZIP64_LIMIT
    return offset + directory + END + (LARGE_END if is_large else 0)


def _name(file: Artifact) -> str:
    """To whoever unpacks it on Windows, a backslash is a folder and a colon a drive: they become underscores."""
    return re.sub(r"[\\:]", "_", file.name)


class Download(StreamingResponse):
    """The zip of the files below a folder, whole or in part. While a job runs, its length is not known.

    When a file is written meanwhile, the transfer breaks off: nobody takes the halves of two zips for one.
    """

    def __init__(self, request: Request, root: Path, name: str, *, is_final: bool) -> None:
        files = listing(root)
        headers = {
            "Cache-Control": "no-cache" if is_final else "no-store",
            "Content-Disposition": f'attachment; filename="{name}.zip"',
            "X-Content-Type-Options": "nosniff",
        }
        status, start, stop = 200, 0, None
        if is_final:
            length = size(files)
            headers |= {"Accept-Ranges": "bytes", "ETag": _etag(files)}
            if part := conditions.part(request, headers["ETag"], length):
                status, (start, stop) = 206, part
                headers["Content-Range"] = f"bytes {start}-{stop - 1}/{length}"
            headers["Content-Length"] = str((length if stop is None else stop) - start)
        # HEAD gets none: its connection would wait for the end of what nobody sees.
        content = iter(()) if request.method == "HEAD" else _cut(pieces(files, strict=is_final), start, stop)
        super().__init__(content, status, headers, "application/zip")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        except FileChanged:
            # The response stays incomplete, so the server drops the connection, and the client can tell.
            log.info("a download broke off: a file was written meanwhile", extra={"action": "download_broke_off"})


def _etag(files: list[Artifact]) -> str:
    """A strong one: other names, lengths or times make other bytes."""
    about = [(file.name, file.stat.st_size, file.stat.st_mtime_ns) for file in files]
    return f'"{hashlib.blake2b(repr(about).encode(), digest_size=12).hexdigest()}"'


def _cut(content: Iterator[bytes], start: int, stop: int | None) -> Iterator[bytes]:
    """The bytes from `start` up to `stop`. What comes before has to be made all the same, for the checksums."""
    at = 0
    for piece in content:
        first, last = max(start - at, 0), len(piece) if stop is None else min(stop - at, len(piece))
        at += len(piece)
        if first < last:
            yield piece[first:last]
        if stop is not None and at >= stop:
            return
