"""Datasets that Ultralytics knows by name, such as `coco8.yaml`: got once into a folder of one's own.

Ultralytics itself gets them as their file says, which may be a shell command or Python. Here it is an archive from the
address in the installed package or nothing, and the archive is unpacked with care.
"""

import os
import re
import stat
import tempfile
import zipfile
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

from AI.model_trainer.listener import Listener
from AI.model_trainer.weights import WeightsFolder

#: What an archive may grow to: pictures do not shrink in a zip, so this is far beyond any honest one.
MAX_GROWTH = 20
MAX_FILES = 1_000_000

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


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a zip into a new folder: plain files below it, nothing else. Raises BadArchive."""
    most = archive.stat().st_size * MAX_GROWTH
    try:
        with zipfile.ZipFile(archive) as source:
            entries = source.infolist()
            if len(entries) > MAX_FILES or sum(entry.file_size for entry in entries) > most:
                raise BadArchive(archive, f"it would grow to more than {MAX_GROWTH} times its size")
            for entry in entries:
                path = PurePosixPath(entry.filename)
                if path.is_absolute() or ".." in path.parts or "\\" in entry.filename or _is_special(entry):
                    raise BadArchive(archive, f"{entry.filename!r} is no file below its folder")
            for entry in entries:  # what an entry really holds is cut at what it says
                source.extract(entry, folder)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:  # damaged, or encrypted
        raise BadArchive(archive, str(error)) from error


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
