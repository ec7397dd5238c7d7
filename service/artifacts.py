"""A job's files: what its training wrote, and nothing outside of that folder.

Names come from a training, which may have been hostile: a link that leads out of the folder is not there for anybody.
"""

import io
import mimetypes
import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast
from urllib.parse import quote

from service.errors import ArtifactNotFound

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

    def as_dict(self, base: str) -> dict[str, Any]:
        return {
            "name": self.name,
            "size_bytes": self.stat.st_size,
            "media_type": self.media_type,
            "modified_at": self.stat.st_mtime,
            "url": f"{base}/{quote(self.name)}",
        }


def media_type(name: str) -> str:
    """The content type of a file of this name."""
    suffix = Path(name).suffix.lower()
    return _TYPES.get(suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"


def listing(root: Path) -> list[Artifact]:
    """The regular files below `root`, by name; links are not followed and not listed."""
    found = []
    for folder, _, names in os.walk(root, followlinks=False):
        for name in names:
            path = Path(folder, name)
            try:
                stat = path.lstat()
            except OSError:
                continue  # replaced or removed by the training meanwhile
            if _is_shown(path):
                found.append(Artifact(path.relative_to(root).as_posix(), path, stat))
    return sorted(found, key=lambda artifact: artifact.name)


def find(root: Path, name: str) -> Artifact:
    """The file of this name below `root`.

    Raises ArtifactNotFound: when there is none, or the name leads elsewhere, by dots or by a link.
    """
    path = root / name
    try:
        # Resolved, the path must be what it says: no link on the way, no step upwards, nothing but a file.
        inside = "\0" not in name and not name.startswith("/")
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


class _Pipe(io.RawIOBase):
    """A file for `zipfile` to write to, whose content is taken away piece by piece: memory stays flat."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, data: Any) -> int:
        self._pieces.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        taken, self._pieces = b"".join(self._pieces), []
        return taken


def zipped(root: Path) -> Iterator[bytes]:
    """All files below `root` as a zip, uncompressed (pictures and weights are compressed already), in pieces."""
    pipe = _Pipe()
    with zipfile.ZipFile(cast("IO[bytes]", pipe), "w", zipfile.ZIP_STORED) as archive:
        for artifact in listing(root):
            try:
                source = artifact.path.open("rb")
            except OSError:
                continue
            entry = zipfile.ZipInfo.from_file(artifact.path, artifact.name, strict_timestamps=False)
            with source, archive.open(entry, "w", force_zip64=True) as target:
                while chunk := source.read(CHUNK_BYTES):
                    target.write(chunk)
                    yield pipe.take()
    yield pipe.take()
