"""What the installed Ultralytics knows: its arguments with types and bounds, its model names.

The web process does not import Ultralytics. A short-lived worker reads the table once, and a file keeps it for as long
as the same version is installed.
"""

import importlib.metadata
import logging
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from service import worker
from service.errors import NotReady
from service.events import encode
from service.launcher import Launcher

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Catalog:
    """The table of one Ultralytics version."""

    #: Name → `types`, `default`, `minimum`?, `maximum`?, `description`.
    arguments: dict[str, dict[str, Any]]
    #: Names of official weights, without `.pt`.
    models: frozenset[str]
    #: Names of packaged model files, such as `yolov8n.yaml`.
    model_configs: frozenset[str]

    @classmethod
    def of(cls, table: dict[str, Any]) -> "Catalog":
        return cls(table["arguments"], frozenset(table["models"]), frozenset(table["model_configs"]))

    @classmethod
    def load(cls, launcher: Launcher, cache_dir: Path) -> "Catalog":
        """Read the table from its cache or by a worker; a worker starts in any case, so the forkserver is warm.

        Blocks for seconds on a cold start. Raises NotReady: when the worker could not read it.
        """
        kept = cache_dir / f"arguments-{importlib.metadata.version('ultralytics')}.json"
        try:
            table = orjson.loads(kept.read_bytes())
            catalog = cls.of(table)
        except (OSError, ValueError, KeyError, TypeError):
            table = None
        answer = _ask(launcher, describe=table is None)
        if table is None:
            _keep(kept, answer)
            catalog = cls.of(answer)
        return catalog


def _ask(launcher: Launcher, *, describe: bool) -> dict[str, Any]:
    queue = launcher.queue()
    with queue.reader:
        try:
            process = launcher.start(worker.describe if describe else worker.greet, queue)
        finally:
            queue.close_writer()
        try:
            answer: dict[str, Any] = orjson.loads(queue.get())
        except EOFError:
            process.join()
            raise NotReady(f"Ultralytics cannot be read here: worker exit code {process.exitcode}") from None
        process.join()
        process.close()
    return answer


def _keep(path: Path, table: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        file.write(encode(table))
    os.replace(file.name, path)
