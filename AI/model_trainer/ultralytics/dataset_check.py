"""Looks through a dataset as a training would, without training: what is in it, and what is not right with it."""

import os
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from AI.model_trainer.errors import InvalidArgument, InvalidDataset
from AI.model_trainer.events import Census
from AI.model_trainer.ultralytics import patches
from AI.model_trainer.ultralytics.census import Counter, explain
from AI.model_trainer.ultralytics.dataset_scan import recorded
from AI.model_trainer.ultralytics.known_models import TASKS
from AI.model_trainer.ultralytics.safe_load import restricted

_SAVE = "ultralytics.data.dataset:save_dataset_cache_file"


class Checked(Census):
    """The answer of `check_dataset`."""

    task: str


def check_dataset(
    data: str | os.PathLike[str],
    task: str | None = None,
    *,
    single_cls: bool = False,
    classes: Sequence[int] | None = None,
    safe: bool = False,
) -> Checked:
    """Read every image and label of a dataset and count them, by what a training reads them with.

    `data` is what `fit_params["data"]` would be, on this machine: nothing is downloaded. Without a `task` a folder is
    for classification, a YAML with `kpt_shape` for poses, any other for detection. `single_cls` and `classes` are the
    training arguments, `safe` the option. The splits are `train`, `val` and, where there is one, `test`. Images are
    left as they are; a label cache is kept where a training would keep it, so the training that follows finds it.

    Raises InvalidDataset: when a training could not begin. Raises InvalidArgument: when the task is none of these.
    """
    path = Path(data)
    if task is not None and task not in TASKS:
        raise InvalidArgument(f"task must be one of {', '.join(TASKS)}, got {task!r}")
    with restricted() if safe else nullcontext(), _leaving_images_alone() as repairs, _same_random_numbers():
        described = _described(path, task or ("classify" if path.is_dir() else None))
        task = task or ("classify" if path.is_dir() else "pose" if described.get("kpt_shape") else "detect")
        if single_cls:
            described |= {"names": {0: "item"}, "nc": 1}
        given = {"task": task, "data": str(path), "single_cls": single_cls, "classes": list(classes or []) or None}
        checked = _count(described, given)
    if repairs:
        checked["warnings"].append(
            f"{len(repairs)} JPEGs are cut off, {repairs[0]} is the first: a training rewrites them in place"
        )
    return {"task": task, **checked}


def _described(path: Path, task: str | None) -> dict[str, Any]:
    """What Ultralytics makes of the dataset's description. Raises InvalidDataset."""
    from ultralytics.data.utils import check_cls_dataset, check_det_dataset

    if task == "classify" and not (path / "train").is_dir():  # Ultralytics would download it, or split it anew
        raise InvalidDataset(f"there is no folder {path / 'train'}, with a folder for each class in it")
    if not path.exists():
        raise InvalidDataset(f"there is no {path}")
    try:
        if task == "classify":
            return dict(check_cls_dataset(path, split="val"))
        return dict(check_det_dataset(path, autodownload=False, split="val"))
    except (OSError, SyntaxError, TypeError, ValueError) as error:
        raise InvalidDataset(str(error)) from error


def _count(described: dict[str, Any], given: dict[str, Any]) -> Census:
    from ultralytics.cfg import get_cfg

    arguments, counter, beside = get_cfg(overrides=given), Counter(), []
    for name in ("train", "val", "test"):
        if not described.get(name):
            continue
        try:
            _read(name, described, arguments, counter)
        except InvalidDataset as error:
            if name != "test":
                raise
            beside.append(str(error))  # a training does without
    census = counter.census(described["names"])
    return {**census, "warnings": census["warnings"] + beside}


def _read(name: str, described: dict[str, Any], arguments: Any, counter: Counter) -> None:
    with recorded() as scans:
        try:
            dataset = _dataset(name, described, arguments)
        except (OSError, ValueError, RuntimeError) as error:
            if fault := counter.add(name, scans) or explain(name, scans, error):
                raise fault from error
            raise
    if fault := counter.add(name, scans, dataset):
        raise fault


def _dataset(name: str, described: dict[str, Any], arguments: Any) -> Any:
    """One split as a training makes it: `build_dataset` of Ultralytics' trainers, of which there is none here."""
    from ultralytics.data.build import build_yolo_dataset
    from ultralytics.data.dataset import ClassificationDataset

    if arguments.task == "classify":
        return ClassificationDataset(
            described[name], arguments, augment=name == "train", prefix=name, names=described["names"]
        )
    mode = "train" if name == "train" else "val"
    return build_yolo_dataset(arguments, described[name], arguments.batch, described, mode=mode)


@contextmanager
def _leaving_images_alone() -> Iterator[list[str]]:
    """Have Ultralytics write no image anew; has those that it would. What it says of them is then in no cache."""
    repairs: list[str] = []
    save = patches.find(_SAVE)

    def keep(prefix: str, path: Path, x: dict[str, Any], version: str) -> None:
        x["version"] = version  # the caller counts on it, whether or not anything is written
        if not repairs:
            save(prefix, path, x, version)

    def note(file: object, write: object) -> None:
        repairs.append(str(file))

    with (
        patches.ONE_AT_A_TIME,
        patches.applied("ultralytics.data.utils:_replace_image", note),
        patches.applied(_SAVE, keep),
    ):
        yield repairs


@contextmanager
def _same_random_numbers() -> Iterator[None]:
    """Leave the generator from which Ultralytics draws the files whose speed it measures."""
    state = random.getstate()
    try:
        yield
    finally:
        random.setstate(state)
