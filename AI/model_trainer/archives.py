"""Zips that hold a dataset: looked into, and unpacked into a folder, once and with care."""

import hashlib
import os
import re
import stat
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from AI.model_trainer.errors import BadArchive

#: What an archive may grow to: pictures do not shrink in a zip, so this is far beyond any honest one.
MAX_GROWTH = 20
MAX_FILES = 1_000_000
#: What macOS leaves behind, and nobody reads.
_CLUTTER = {"__MACOSX", ".DS_Store"}
#: The end of a zip is within this many bytes of the file's.
_END_BYTES = 22 + 65_535
_END, _LARGE_END = re.compile(b"PK\5\6"), b"PK\6\7"


def unpacked(archive: Path, folder: Path) -> Path:
    """The folder that the files of a zip are in, below `folder`; they are unpacked if need be.

    Where the zip has all of them in one folder, it is that one. A zip that was changed is unpacked anew. Processes may
    share `folder`. Raises BadArchive.
    """
    status = archive.stat()
    version = f"{os.path.abspath(archive)}\0{status.st_size}\0{status.st_mtime_ns}"
    home = folder / "unpacked" / hashlib.sha256(os.fsencode(version)).hexdigest()[:16]
    if not home.is_dir():
        home.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=home.parent, prefix=".unpack-") as part:
            unpack(archive, Path(part) / "whole" / archive.stem)
            try:
                os.replace(Path(part) / "whole", home)
            except OSError:
                if not home.is_dir():  # another process was faster
                    raise
    top = home / archive.stem
    inner = [path for path in top.iterdir() if path.name not in _CLUTTER]
    return inner[0] if len(inner) == 1 and inner[0].is_dir() else top


def directory_bytes(archive: Path) -> int:
    """Bytes that a zip's table of contents may have: as its end says; all of the file where there is a second end."""
    with archive.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _END_BYTES))
        end = file.read()
    if _LARGE_END in end:  # a second end, of a very large zip: that one counts
        return size
    # Whatever looks like an end: a reader may take another one than the last.
    return max(
        (int.from_bytes(end[at.start() + 12 : at.start() + 16], "little") for at in _END.finditer(end)), default=0
    )


def contents(archive: Path) -> list[str]:
    """The names of the files in a zip. Raises BadArchive."""
    with _opened(archive) as source:
        return [entry.filename for entry in _checked(source, archive)]


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a zip into a new folder: plain files below it, nothing else. Raises BadArchive."""
    with _opened(archive) as source:
        for entry in _checked(source, archive):  # what an entry really holds is cut at what it says
            source.extract(entry, folder)


@contextmanager
def _opened(archive: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(archive) as source:
            yield source
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:  # damaged, or encrypted
        raise BadArchive(archive, str(error)) from error


def _checked(source: zipfile.ZipFile, archive: Path) -> list[zipfile.ZipInfo]:
    entries = [entry for entry in source.infolist() if not _CLUTTER & {*PurePosixPath(entry.filename).parts}]
    most = archive.stat().st_size * MAX_GROWTH
    if len(entries) > MAX_FILES or sum(entry.file_size for entry in entries) > most:
        raise BadArchive(archive, f"its files have more than {MAX_GROWTH} times its size")
    for entry in entries:
        path = PurePosixPath(entry.filename)
        if path.is_absolute() or ".." in path.parts or "\\" in entry.filename or _is_special(entry):
            raise BadArchive(archive, f"{entry.filename!r} is not a plain file inside the archive's folder")
    return entries


def _is_special(entry: zipfile.ZipInfo) -> bool:
    kind = stat.S_IFMT(entry.external_attr >> 16)
    return kind not in (0, stat.S_IFREG, stat.S_IFDIR)
