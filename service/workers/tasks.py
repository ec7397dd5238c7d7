"""What a model is for, as far as its name or its file tells."""

from pathlib import Path

from AI.model_trainer.ultralytics.known_models import task_in
from service.datasets import safe_yaml

#: Module at the end of a model file → task (Ultralytics' naming).
_HEADS = {"Detect": "detect", "Classify": "classify", "Segment": "segment", "Pose": "pose", "OBB": "obb"}


def task_of(model: str) -> str | None:
    """Ultralytics' name of the task that a model is for; None where only its weights know."""
    path = Path(model)
    if path.is_absolute():
        return _task_of_yaml(path) if path.suffix in (".yaml", ".yml") else None
    return task_in(path.name.removesuffix(path.suffix).partition("-")[2])


def _task_of_yaml(path: Path) -> str | None:
    """The task of a model file by the last module of its head."""
    try:
        content = safe_yaml.read(path)
    except safe_yaml.UnreadableYaml:
        return None
    match content:
        case {"head": [*_, [_, _, module, *_]]}:
            return _HEADS.get(str(module))
    return None  # nothing that a model could be made of
