"""Datasets that Ultralytics knows by name, such as `coco8.yaml`, and zips of one's own: unpacked into a folder, once.

Ultralytics itself gets them as their file says, which may be a shell command or Python. Here it is an archive from the
address in the installed package or nothing, and the archive is unpacked with care.
"""

import hashlib
import os
import re
import stat
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

from AI.model_trainer.listener import Listener
from AI.model_trainer.weights import WeightsFolder

#: What an archive may grow to: pictures do not shrink in a zip, so this is far beyond any honest one.
MAX_GROWTH = 20
MAX_FILES = 1_000_000
#: What macOS leaves behind, and nobody reads.
_CLUTTER = {"__MACOSX", ".DS_Store"}
#: The end of a zip is within this many bytes of the file's.
_END_BYTES = 22 + 65_535
_END, _LARGE_END = re.compile(b"PK\5\6"), b"PK\6\7"

#: Searched for, not parsed: reading 50 files as YAML takes seconds.
_ADDRESS = re.compile(r"^download: (https://\S+\.zip)\b *(?:#.*)?$", re.MULTILINE)


class BadArchive(ValueError):
    """Raised when an archive holds what no dataset holds: `path`; the message says what."""

    def __init__(self, path: Path, what: str) -> None:
        super().__init__(f"{path.name} was not unpacked: {what}")
        self.path = path


@cache
def packaged() -> dict[str, str | None]:
    """Name → address of its archive; None where Ultralytics gets it by a script, or not at all."""
    found = {path.name: _ADDRESS.search(path.read_text(encoding="utf-8")) for path in sorted(_folder().glob("*.yaml"))}
    return {name: match[1] if match else None for name, match in found.items()}


def fetch(name: str, folder: Path, listener: Listener | None = None, offline: bool = False) -> Path:
    """The data.yaml of a dataset in `folder`, which is got and unpacked if need be; `listener` hears of the download.

    An archive that lies in `folder` already is taken. Processes may share a folder.

    Raises KeyError: when the name is none that has an archive. Raises WeightsUnavailable: when the archive is not there
    and cannot be downloaded. Raises BadArchive.
    """
    address = packaged()[name]
    if address is None:
        raise KeyError(name)
    data = folder / Path(name).stem / "data.yaml"
    if not data.is_file():
        try:
            _get(name, address, data.parent, WeightsFolder(folder, offline, listener))
        except OSError:
            if not data.is_file():  # another process was faster
                raise
    return data


def _get(name: str, address: str, home: Path, folder: WeightsFolder) -> None:
    archive = folder.get(PurePosixPath(address).name, address)
    with tempfile.TemporaryDirectory(dir=folder.path, prefix=".unpack-") as part:
        unpacked = Path(part) / "unpacked"
        unpack(archive, unpacked)
        _describe(name, unpacked, home)
        os.replace(unpacked, home)  # whole, or not at all
    archive.unlink(missing_ok=True)


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
        raise BadArchive(archive, f"it would grow to more than {MAX_GROWTH} times its size")
    for entry in entries:
        path = PurePosixPath(entry.filename)
        if path.is_absolute() or ".." in path.parts or "\\" in entry.filename or _is_special(entry):
            raise BadArchive(archive, f"{entry.filename!r} is not a plain file inside the archive's folder")
    return entries


def _is_special(entry: zipfile.ZipInfo) -> bool:
    kind = stat.S_IFMT(entry.external_attr >> 16)
    return kind not in (0, stat.S_IFREG, stat.S_IFDIR)


def _describe(name: str, unpacked: Path, home: Path) -> None:
    """Write data.yaml, as the package describes the dataset: what describes it in the archive is not looked at."""
    import yaml

    described = _described(_folder() / name)
    inside = [str(described.get("path", "")), *(path.name for path in unpacked.iterdir() if path.is_dir())]
    top = next((place for place in inside if (unpacked / place / "images").is_dir()), "")
    content = {key: value for key, value in described.items() if key != "download"} | {"path": str(home / top)}
    (unpacked / "data.yaml").write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), encoding="utf-8")


def _folder() -> Path:
    from ultralytics.utils import ROOT

    return Path(ROOT) / "cfg" / "datasets"


def _described(path: Path) -> dict[str, Any]:
    import yaml

    described: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return described
