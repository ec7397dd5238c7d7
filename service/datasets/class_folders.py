"""A classification dataset: a folder with `train/` and `val/`, in each a folder per class; or with the classes alone.

Where there is no `train/`, Ultralytics copies four fifths of each class's images into `<folder>_split/train`, the rest
into `…/val`. The same images become links in the job's own folder here: nothing is written beside the user's files.
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
#: Folders of classes, and files in one of them, that are looked at.
MAX_ENTRIES = 10_000
#: Images of a dataset that is split here.
MAX_IMAGES = 1_000_000
#: Of each class's images, as Ultralytics splits them.
TRAIN_RATIO = 0.8


def find(root: Path) -> Mapping[str, str]:
    """What must be linked into a folder of the job's, by names in it; nothing where `root` is as Ultralytics wants it.

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
    """`Train` and `Val`. Ultralytics would take them for two classes."""
    folders = {path.name.lower(): path for path in _folders(root)}
    val = next((folders[name] for name in VAL_FOLDERS if name in folders), None)
    return (folders["train"], val) if "train" in folders and val else None


def _check(root: Path, train: Path, val: Path | None) -> None:
    if val is None:
        raise UnfitDataset(f"{root} has no folder val: put some of the images of each class of train into val/<class>/")
    if not any(_has_image(folder) for folder in _folders(train)):
        raise UnfitDataset(f"train: no images in the folders of {train}: it needs a folder per class")
    if not any(_has_image(folder) for folder in _folders(val)):
        raise UnfitDataset(f"val: no images in the folders of {val}: it needs a folder per class")


def _split(root: Path) -> dict[str, str]:
    """`split_classify_dataset` of Ultralytics' data/split.py, with links for copies; a folder has "" for its target."""
    classes = _folders(root)
    with_images = [folder.name for folder in classes if _has_image(folder)]
    if not with_images or with_images == ["images"]:
        raise UnfitDataset(f"{root} needs the folders train and val, in each a folder per class; or a folder per class")
    links, room = {f"{part}/{folder.name}": "" for folder in classes for part in ("train", "val")}, MAX_IMAGES
    for folder in classes:
        images = list(islice(_images(folder), room + 1))
        if len(images) > room:  # before they are sorted, which takes long for so many
            raise UnfitDataset(f"{root} has more than {MAX_IMAGES} images: split them into train/ and val/")
        room -= len(images)
        images.sort()
        random.Random(0).shuffle(images)  # noqa: S311 (the order that Ultralytics has)
        count = int(len(images) * TRAIN_RATIO)
        for number, image in enumerate(images):
            links[f"{'train' if number < count else 'val'}/{image.relative_to(root)}"] = str(image)
    for part in ("train", "val"):
        if not any(target and name.startswith(f"{part}/") for name, target in links.items()):
            raise UnfitDataset(f"{root} has too few images to split: put some of each class into train/ and into val/")
    return links


def _images(folder: Path) -> Iterator[Path]:
    """As `Path.rglob("*.*")` finds them: links to folders are not followed."""
    for place, _, files in os.walk(folder):
        yield from (Path(place, name) for name in files if is_image(name) and Path(name).suffix)


def _check_ndjson(root: Path) -> None:
    """A file in which a converted dataset has its names; Ultralytics reads it, so it may not be a bomb."""
    names = root / ".ndjson.yaml"
    if os.path.lexists(names):
        safe_yaml.read(names)


def _folders(folder: Path) -> list[Path]:
    return [path for path in islice(folder.iterdir(), MAX_ENTRIES) if path.is_dir()]


def _has_image(folder: Path) -> bool:
    return any(is_image(path.name) for path in islice(folder.rglob("*"), MAX_ENTRIES))


def write(links: Mapping[str, str], folder: Path) -> Path:
    """Make the links in a new folder."""
    for name, target in links.items():
        link = folder / name
        (link.parent if target else link).mkdir(parents=True, exist_ok=True)
        if target:
            link.symlink_to(target)
    return folder
