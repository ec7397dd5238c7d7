"""Descriptions of datasets, as tests write them, and how they are refused."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from service.datasets import description
from service.errors import InvalidPayload


def write(folder: Path, content: Any, name: str = "data.yaml") -> str:
    path = folder / name
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return str(path)


def good(**changes: Any) -> dict[str, Any]:
    return {"train": "images/train", "val": "images/val", "names": ["a", "b"], **changes}


def refusal(data: Any, task: str | None = None) -> str:
    with pytest.raises(InvalidPayload) as caught:
        description.read(data, task)
    (fault,) = caught.value.faults
    assert fault.pointer == "/fit_params/data"
    return fault.detail


def label(folder: Path, text: str, split: str = "train") -> Path:
    path = folder / "labels" / split / "a.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path
