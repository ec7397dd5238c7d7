"""What the installed Ultralytics knows: its arguments with types and bounds, its model names.

The web process does not import Ultralytics. A short-lived worker reads the table once, and a file keeps it for as long
as the same version is installed.
"""

import importlib.metadata
import importlib.util
import logging
import os
import tempfile
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import orjson
from pydantic import JsonValue
from typing_extensions import TypedDict

from service.encoding import encode
from service.errors import NotReady
from service.workers import worker
from service.workers.launcher import EventQueue, Launcher

log = logging.getLogger(__name__)

#: Raise it when the library's table gets other keys or bounds: a table that was kept before is then replaced.
TABLE_VERSION = 6
#: What a training cannot do without.
NEEDED = ("ultralytics", "torch", "torchvision")
#: Seconds for a worker that has answered to end. A forkserver that was stopped just then does not tell that it has.
END_SECONDS = 5.0

#: What a worker answers: the library's `arguments.describe`, from JSON.
Table: TypeAlias = dict[str, Any]


class KnownModel(TypedDict):
    """A model that Ultralytics has."""

    name: str
    family: str
    #: A letter; None: there is but one.
    size: str | None
    task: str
    #: Whether there are official weights, and a packaged model file.
    weights: bool
    config: bool


@dataclass(frozen=True, eq=False)
class Catalog:
    """The table of one Ultralytics version."""

    #: Name → `types`, `default`, `minimum`?, `maximum`?, `description`.
    arguments: dict[str, dict[str, JsonValue]]
    #: Names of official weights, without `.pt`.
    models: frozenset[str]
    #: Names of packaged model files, such as `yolov8n.yaml`.
    model_configs: frozenset[str]
    #: One entry a model.
    model_table: list[KnownModel]
    #: Name of a dataset, such as `coco8.yaml` → address of its archive, or None.
    datasets: dict[str, str | None]
    #: Name of an argument of before, which Ultralytics translates or leaves out with a warning → its types.
    deprecated: dict[str, list[str]]

    @classmethod
    def of(cls, table: Table) -> "Catalog":
        return cls(
            table["arguments"],
            frozenset(table["models"]),
            frozenset(table["model_configs"]),
            table["model_table"],
            table.get("datasets", {}),
            table.get("deprecated", {}),
        )

    @classmethod
    def load(cls, launcher: Launcher, cache_dir: Path, unwanted: "Future[None] | None" = None) -> "Catalog":
        """Read the table from its cache or by a worker; a worker starts in any case, so the forkserver is warm.

        Blocks for seconds on a cold start, but not once it is `unwanted`. Raises NotReady: when Ultralytics
        is not installed, or the worker could not read it. Raises OSError: when there is none.
        """
        for name in NEEDED:
            if importlib.util.find_spec(name) is None:
                raise NotReady(f"{name} is not installed; install yolo-trainer[train]")
        version = importlib.metadata.version("ultralytics")
        kept = cache_dir / f"arguments-{version}-{TABLE_VERSION}.json"
        try:
            table = orjson.loads(kept.read_bytes())
            catalog = cls.of(table)
        except (OSError, ValueError, KeyError, TypeError):
            table = None
        answer = _ask(launcher, unwanted, describe=table is None)
        if table is None:
            try:
                _keep(kept, answer)
            except OSError as error:
                log.warning("the table of arguments could not be cached: %s", error)
            catalog = cls.of(answer)
        return catalog


def _ask(launcher: Launcher, unwanted: "Future[None] | None", *, describe: bool) -> Table:
    """The answer of a worker. Raises NotReady, OSError."""
    queue = EventQueue()
    with queue.reader:
        if describe:
            process = launcher.start(worker.describe, queue, unwanted=unwanted)
        else:
            needed = NEEDED if launcher.method == "forkserver" else ()  # they are there for nothing, or take seconds
            process = launcher.start(worker.greet, queue, needed, unwanted=unwanted)
        try:
            answer: Table = orjson.loads(queue.get())
        except EOFError:
            process.join(END_SECONDS)
            raise NotReady(f"Ultralytics cannot be read here: worker exit code {process.exitcode}") from None
        process.join(END_SECONDS)
        if process.exitcode is not None:
            process.close()
    if "error" in answer:
        raise NotReady(f"Ultralytics cannot be read here: {answer['error']}")
    return answer


def _keep(path: Path, table: Table) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        file.write(encode(table))
    os.replace(file.name, path)
