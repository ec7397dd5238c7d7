"""A job's files: what its training wrote, and nothing outside of that folder.

Names come from a training, which may have been hostile: a link that leads out of the folder is not there for anybody.
"""

import logging
import mimetypes
import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from starlette.datastructures import Headers
from starlette.responses import FileResponse
from starlette.types import Message, Receive, Scope, Send
from typing_extensions import TypedDict

from service.errors import ArtifactNotFound, InvalidRange, RangeNotSatisfiable

log = logging.getLogger(__name__)

#: Types that a browser shows without running anything; all others are downloaded.
INLINE_TYPES = frozenset({"image/png", "image/jpeg", "image/webp", "text/csv", "text/plain", "application/yaml"})
_TYPES = {
    ".pt": "application/octet-stream",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
    ".csv": "text/csv",
    ".log": "text/plain",
}
CHUNK_BYTES = 1 << 16
#: What a Range may look like.
RANGES = "bytes=0-99 asks for the first 100 bytes, bytes=100- for all others, bytes=-100 for the last ones"


class ArtifactFile(TypedDict):
    """One file of a job, as it is listed."""

    #: Path below the job's run folder, with forward slashes.
    name: str
    size_bytes: int
    media_type: str
    #: Unix seconds.
    modified_at: float
    url: str


@dataclass(frozen=True, slots=True)
class Artifact:
    """One file of a job."""

    #: Path below the job's run folder, with forward slashes.
    name: str
    path: Path
    stat: os.stat_result

    @property
    def media_type(self) -> str:
        """Its content type by its name."""
        return media_type(self.name)

    def is_unchanged(self) -> bool:
        """Whether the file is still the one that was found."""
        try:
            now = self.path.lstat()
        except OSError:
            return False
        return (now.st_ino, now.st_size, now.st_mtime_ns) == (
            self.stat.st_ino,
            self.stat.st_size,
            self.stat.st_mtime_ns,
        )

    def as_dict(self, base: str) -> ArtifactFile:
        return {
            "name": self.name,
            "size_bytes": self.stat.st_size,
            "media_type": self.media_type,
            "modified_at": self.stat.st_mtime,
            "url": f"{base}/{quote(self.name)}",
        }


def media_type(name: str) -> str:
    """The content type of a file of this name. `x.csv.gz` is octet-stream, not CSV."""
    guessed, compression = mimetypes.guess_type(name)
    found = _TYPES.get(Path(name).suffix.lower()) or guessed
    return found if found and not compression else "application/octet-stream"


def listing(root: Path) -> list[Artifact]:
    """The regular files below `root`, by name; links are not followed and not listed."""
    found: list[Artifact] = []
    if root.is_symlink():
        return found
    for folder, folders, names in os.walk(root, followlinks=False):
        folders[:] = filter(_is_addressable, folders)
        for name in names:
            path = Path(folder, name)
            try:
                stat = path.lstat()
            except OSError:
                continue  # replaced or removed by the training meanwhile
            if _is_addressable(name) and _is_shown(path):
                found.append(Artifact(path.relative_to(root).as_posix(), path, stat))
    return sorted(found, key=lambda artifact: artifact.name)


def find(root: Path, name: str) -> Artifact:
    """The file of this name below `root`.

    Raises ArtifactNotFound: when there is none, or the name leads elsewhere, by dots or by a link.
    """
    path = root / name
    try:
        # Resolved, the path must be what it says: no link on the way, no step upwards, nothing but a file.
        inside = "\0" not in name and not name.startswith("/") and not name.endswith("/") and not root.is_symlink()
        genuine = inside and path.resolve(strict=True) == root.resolve() / name and _is_shown(path)
        stat = path.stat() if genuine else None
    except (OSError, ValueError):
        stat = None
    if stat is None:
        raise ArtifactNotFound(name)
    return Artifact(name, path, stat)


def _is_shown(path: Path) -> bool:
    """A regular file, and not one that is still being written under another name."""
    return path.is_file() and not path.is_symlink() and path.suffix not in (".part", ".tmp")


def _is_addressable(name: str) -> bool:
    """Whether an address, JSON and a zip can carry this name: not when it is no UTF-8, or has a line break in it."""
    return "\n" not in name and name.encode("utf-8", "replace").decode() == name


class Download(FileResponse):
    """An artifact as it was when it was found.

    A training writes its files in place. When it writes this one meanwhile, the transfer breaks off, so that nobody
    takes the halves of two files for one.
    """

    def __init__(self, artifact: Artifact) -> None:
        super().__init__(
            artifact.path,
            stat_result=artifact.stat,
            media_type=artifact.media_type,
            filename=artifact.path.name,
            content_disposition_type="inline" if artifact.media_type in INLINE_TYPES else "attachment",
            # "no-cache" lets a browser keep it but ask with its ETag: the training may write it again.
            headers={"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"},
        )
        self._artifact = artifact

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # HTTP has a range ignored where the unit is not known, which Starlette calls a fault, and for HEAD.
        ranged = scope["method"] == "GET"
        known = [
            (name, value) for name, value in scope["headers"] if name != b"range" or (ranged and value[:5] == b"bytes")
        ]
        promised = 0  # bytes of the body that are still to come

        async def send_promised(message: Message) -> None:
            nonlocal promised
            if message["type"] == "http.response.start":
                if message["status"] == 400:
                    raise InvalidRange(f"the Range does not parse; {RANGES}")
                if message["status"] == 416:
                    raise RangeNotSatisfiable(self._artifact.stat.st_size)
                promised = int(Headers(raw=message["headers"])["content-length"])
            elif scope["method"] != "HEAD":
                promised -= len(message["body"])
                ends = promised <= 0 or not message.get("more_body")
                if ends and (promised or not self._artifact.is_unchanged()):
                    raise RuntimeError(f"{self._artifact.name} was written while it was sent")
                message = {**message, "more_body": not ends}
            await send(message)

        try:
            await super().__call__({**scope, "headers": known}, receive, send_promised)
        except (OSError, RuntimeError):
            if self._artifact.is_unchanged():
                raise
            # The response stays incomplete, so the server drops the connection, and the client can tell.
            log.info("a download broke off: the file was written meanwhile", extra={"action": "download_broke_off"})
