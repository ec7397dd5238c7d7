"""A classification dataset: a folder with `train/`, `val/` and a folder per class in each, or with the classes alone.

Where there is no `train/`, Ultralytics copies four fifths of each class's images into `<folder>_split/train`, and the
rest into `<folder>_split/val`. Here the same images become links in the job's own folder. Nothing is written beside the
user's files.
"""

import os
import random
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path

from service.datasets import safe_yaml
from service.datasets.files import is_image
from service.errors import UnfitDataset

#: Where Ultralytics looks for validation images, in its order.
VAL_FOLDERS = ("val", "validation", "valid", "test")
#: Most class folders that are looked at, and most files of one class folder.
MAX_ENTRIES = 10_000
#: Most images that a dataset may have to be split here.
MAX_IMAGES = 1_000_000
#: The share of each class's images that goes into train, as in Ultralytics.
TRAIN_RATIO = 0.8


def find(root: Path) -> Mapping[str, str]:
    """The links that the job's folder needs: name in it → target. Empty when Ultralytics can read `root` as it is.

    Raises UnfitDataset.
    """
    _check_ndjson(root)
    if (root / "train").is_dir():
        _check(root, root / "train", _val_of(root))
        return {}
    if other := _other_case(root):
        train, val = other
        _check(root, train, val)
        return {"train": str(train), "val": str(val)}
    return _split(root)


def _val_of(root: Path) -> Path | None:
    return next((root / name for name in VAL_FOLDERS if (root / name).is_dir()), None)


def _other_case(root: Path) -> tuple[Path, Path] | None:
    """The folders `Train` and `Val`, in any case of letters. Ultralytics would take them for two classes."""
    folders = {path.name.lower(): path for path in _folders(root)}
    val = next((folders[name] for name in VAL_FOLDERS if name in folders), None)
    return (folders["train"], val) if "train" in folders and val else None


def _check(root: Path, train: Path, val: Path | None) -> None:
    if val is None:
        raise UnfitDataset(
            f"{root} has no folder val: move some images of each class from train/<class>/ to val/<class>/"
        )
    if not any(_has_image(folder) for folder in _folders(train)):
        raise UnfitDataset(
            f"train: no images in the folders of {train}: put the images of each class into a folder there"
        )
    if not any(_has_image(folder) for folder in _folders(val)):
        raise UnfitDataset(f"val: no images in the folders of {val}: put the images of each class into a folder there")


def _split(root: Path) -> dict[str, str]:
    """As `split_classify_dataset` of Ultralytics' data/split.py, but with links. The target "" stands for a folder."""
    classes = _folders(root)
    with_images = [folder.name for folder in classes if _has_image(folder)]
    if not with_images or with_images == ["images"]:
        raise UnfitDataset(
            f"{root} needs the folders train and val with a folder per class in each,"
            " or a folder per class directly in it"
        )
    links, room = {f"{part}/{folder.name}": "" for folder in classes for part in ("train", "val")}, MAX_IMAGES
    for folder in classes:
        images = list(islice(_images(folder), room + 1))
        if len(images) > room:  # before they are sorted, which takes long for so many
            raise UnfitDataset(
                f"{root} has more than {MAX_IMAGES} images, too many to split here: move them into train/ and val/"
            )
        room -= len(images)
        images.sort()
        random.Random(0).shuffle(images)  # noqa: S311 (the order that Ultralytics has)
        count = int(len(images) * TRAIN_RATIO)
        for number, image in enumerate(images):
            links[f"{'train' if number < count else 'val'}/{image.relative_to(root)}"] = str(image)
    for part in ("train", "val"):
        if not any(target and name.startswith(f"{part}/") for name, target in links.items()):
            raise UnfitDataset(
                f"{root} has too few images to split: put images of each class into train/ and into val/"
            )
    return links


def _images(folder: Path) -> Iterator[Path]:
    """The images that `Path.rglob("*.*")` finds. Links to folders are not followed."""
    for place, _, files in os.walk(folder):
        yield from (Path(place, name) for name in files if is_image(name) and Path(name).suffix)


def _check_ndjson(root: Path) -> None:
    """Refuse a harmful `.ndjson.yaml`. It holds the names of a converted dataset, and Ultralytics reads it."""
    names = root / ".ndjson.yaml"
    if os.path.lexists(names):
        safe_yaml.read(names)


def _folders(folder: Path) -> list[Path]:
    return [path for path in islice(folder.iterdir(), MAX_ENTRIES) if path.is_dir()]


def _has_image(folder: Path) -> bool:
    return any(is_image(path.name) for path in islice(folder.rglob("*"), MAX_ENTRIES))


def write(links: Mapping[str, str], folder: Path) -> Path:
    """Make the links that `find` gives, in a new folder."""
    for name, target in links.items():
        link = folder / name
        (link.parent if target else link).mkdir(parents=True, exist_ok=True)
        if target:
            link.symlink_to(target)
    return folder
