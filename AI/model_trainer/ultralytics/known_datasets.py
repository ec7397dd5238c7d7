"""Datasets that Ultralytics knows by name, such as `coco8.yaml`.

Ultralytics itself gets them as their file says, which may be a shell command or Python. Here it is an archive from the
address in the installed package or nothing, and the archive is unpacked with care.
"""

import os
import re
import tempfile
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

from AI.model_trainer.archives import unpack
from AI.model_trainer.errors import DatasetUnavailable
from AI.model_trainer.listener import Listener
from AI.model_trainer.ultralytics.downloads import DownloadFolder

#: Searched for, not parsed: reading 50 files as YAML takes seconds.
_ADDRESS = re.compile(r"^download: (https://\S+\.zip)\b *(?:#.*)?$", re.MULTILINE)


class _DatasetsFolder(DownloadFolder):
    def missing(self, name: str, why: str) -> DatasetUnavailable:
        return DatasetUnavailable(name, self.path, why)


@cache
def packaged() -> dict[str, str | None]:
    """Name → address of its archive; None where Ultralytics gets it by a script, or not at all."""
    found = {path.name: _ADDRESS.search(path.read_text(encoding="utf-8")) for path in sorted(_folder().glob("*.yaml"))}
    return {name: match[1] if match else None for name, match in found.items()}


def fetch(name: str, folder: Path, listener: Listener | None = None, offline: bool = False) -> Path:
    """The data.yaml of a dataset in `folder`, which is got and unpacked if need be; `listener` hears of the download.

    An archive that lies in `folder` already is taken. Processes may share a folder.

    Raises KeyError: when the name is none that has an archive. Raises DatasetUnavailable: when the archive is not there
    and cannot be downloaded. Raises BadArchive.
    """
    address = packaged()[name]
    if address is None:
        raise KeyError(name)
    data = folder / Path(name).stem / "data.yaml"
    if not data.is_file():
        try:
            _get(name, address, data.parent, _DatasetsFolder(folder, offline, listener))
        except OSError:
            if not data.is_file():  # another process was faster
                raise
    return data


def _get(name: str, address: str, home: Path, folder: DownloadFolder) -> None:
    archive = folder.get(PurePosixPath(address).name, address)
    with tempfile.TemporaryDirectory(dir=folder.path, prefix=".unpack-") as part:
        unpacked = Path(part) / "unpacked"
        unpack(archive, unpacked)
        _describe(name, unpacked, home)
        os.replace(unpacked, home)  # whole, or not at all
    archive.unlink(missing_ok=True)


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
