"""Whether there is the model that a training names: one that Ultralytics knows, or a file of one's own."""

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from service.datasets import safe_yaml
from service.errors import Fault
from service.trainings.catalog import Catalog
from service.trainings.faults import nearest

POINTER = "/model"
ADDRESS = "must be a name or a path, not an address"
#: Layers that a model file may ask for; the largest packaged one has some hundred.
MAX_LAYERS = 10_000
#: For a model file of such a name Ultralytics reads another one: `yolov8n-p6.yaml` for `yolov8n6.yaml`.
_RENAMED = re.compile(r"yolov[58][nsmlx]6")


def check(model: str, catalog: Catalog, only_weights_in: Path | None, roots: Sequence[Path]) -> Iterator[Fault]:
    """What is wrong with it, if anything is.

    `only_weights_in` is the folder of the official weights where nothing is downloaded, None where that is allowed.
    A model's file must lie in one of `roots`, links resolved; without any, anywhere.
    """
    path = Path(model)
    stem = model.removesuffix(".pt")
    if "\0" in model:
        yield Fault(POINTER, ADDRESS)
    elif path.suffix not in (".pt", ".yaml", ".yml", ""):
        yield Fault(POINTER, f"must be a known model, a .pt or a .yaml, got {path.suffix!r}")
    elif path.is_absolute():
        if detail := _wrong_file(path, roots):
            yield Fault(POINTER, detail)
    elif path.suffix in (".yaml", ".yml"):
        if model not in catalog.model_configs:
            yield Fault(POINTER, "unknown model file", nearest(model, catalog.model_configs))
    elif stem not in catalog.models:
        yield Fault(POINTER, "unknown model", nearest(stem, catalog.models))
    elif only_weights_in is not None and not (only_weights_in / f"{stem}.pt").is_file():
        config = f"{stem}.yaml" if f"{stem}.yaml" in catalog.model_configs else None
        yield Fault(POINTER, f"{stem}.pt is not in {only_weights_in}, and nothing is downloaded (--offline)", config)


def _wrong_file(path: Path, roots: Sequence[Path]) -> str | None:
    """What is wrong with a model's file, or None."""
    real = Path(os.path.realpath(path))
    if roots and not any(real.is_relative_to(os.path.realpath(root)) for root in roots):
        return f"{path} is outside of the folders that --model-root names"
    try:
        if not path.suffix or not path.is_file():
            return f"there is no .pt or .yaml file {path}"
        if path.suffix != ".pt" and _RENAMED.fullmatch(path.stem):
            return (
                f"{path} would not be read: Ultralytics looks for {path.stem[:-1]}-p6{path.suffix}, give it that name"
            )
        if path.suffix != ".pt" and not 0 < (layers := _layers(safe_yaml.read(path))) <= MAX_LAYERS:
            return f"{path} describes a model of {layers} layers, expected 1 to {MAX_LAYERS}"
    except (OSError, ValueError) as error:  # a name that is too long, a folder that may not be read; a wild YAML
        return error.strerror or "cannot be read" if isinstance(error, OSError) else str(error)
    return None


def _layers(content: object) -> int:
    """How many layers a model file asks for: each of its rows is [from, repeats, layer, arguments]."""
    parts = [content.get(part) for part in ("backbone", "head")] if isinstance(content, dict) else []
    rows = [row for part in parts if isinstance(part, list) for row in part if isinstance(row, list) and len(row) == 4]
    return sum(row[1] for row in rows if isinstance(row[1], int))
