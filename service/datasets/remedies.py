"""What to do about a dataset that is not as Ultralytics reads it: sentences, and a look at what is there instead."""

import os
import re
from pathlib import Path

from AI.model_trainer.lookalikes import in_other_case, names
from service.datasets.files import Survey, UnsoundFiles, label_of
from service.datasets.values import Content

_WINDOWS = re.compile(r"[A-Za-z]:[\\/]|.*\\")

#: Suffix of a file that is no dataset's YAML → what it is, and what to do.
_FOREIGN = {
    ".json": "is JSON, perhaps COCO's: convert it with ultralytics.data.converter.convert_coco, then name a data.yaml",
    ".xml": "is Pascal VOC's: convert the .xml files to YOLO's .txt, then name a data.yaml",
    ".ndjson": "names images by their addresses, and none are downloaded here: convert it with"
    " ultralytics.data.converter.convert_ndjson_to_yolo, then name the data.yaml that it writes",
    ".data": "is Darknet's: write a data.yaml with path, train, val and names, and name that",
    ".names": "has only the names of the classes: write a data.yaml with path, train, val and names, and name that",
    ".txt": "is a list: write a data.yaml whose `train:` or `val:` names it, and name that",
    **dict.fromkeys(
        (".tar", ".gz", ".tgz", ".bz2", ".tbz2", ".xz", ".txz", ".7z", ".rar"),
        "is an archive of a kind that is not read here: unpack it and name its data.yaml, or pack it as .zip",
    ),
}


def is_of_windows(path: str) -> bool:
    """Whether a path begins with a drive, or has backslashes for slashes."""
    return _WINDOWS.match(path) is not None


def foreign(source: Path) -> str:
    """For a file that is no YAML."""
    if said := _FOREIGN.get(source.suffix.lower()):
        return f"{source.name} {said}"
    return f"must be a .yaml file, got {source.name!r}"


def missing(split: str, entry: str, path: Path, root: Path, content: Content) -> str:
    """For a folder or a list that is not there."""
    named = content.get("path")
    for key, value in ((split, entry), ("path", named)):
        if isinstance(value, str) and is_of_windows(value):
            return f"{key}: {value[:200]!r} is a Windows path: write it with / and relative to the YAML's folder"
    if named and not root.exists():
        return f"path: there is no folder {root}: remove `path:`, so that the splits are relative to the YAML's folder"
    if os.path.isabs(entry):
        return f"{split}: there is no {path}: write it as it is on this machine, or relative to the dataset's folder"
    if found := in_other_case(path):
        return f"{split}: there is no {path}, but {found[0]}: case matters"
    return f"{split}: there is no {path}"


def no_labels(split: str, image: str, count: int, survey: Survey) -> str:
    """For images of which none has a label."""
    label = label_of(image)
    said = f"{split}: none of its {count} images has a label; the first is looked for at {label}"
    return f"{said}{_instead(image, label, survey) or ''}"


def _instead(image: str, label: str, survey: Survey) -> str | None:
    """What lies where the labels should be."""
    folder = os.path.dirname(label)
    if found := in_other_case(Path(label)):
        return f" (there is {found[0]}: rename it, case matters)"
    if "/images/" not in image and "/images/" in image.lower():
        return " (in a folder `images`, with a small i, they would be looked for in `labels` beside it)"
    beside = {folder, os.path.dirname(folder), *map(str, Path(image).parents[:3])}
    beside |= {os.path.join(place, name) for place in beside for name in ("Annotations", "annotations")}
    there = [name for place in sorted(beside) if _is_inside(place, survey) for name in names(Path(place))]
    suffixes = {os.path.splitext(name)[1].lower() for name in there}
    if ".xml" in suffixes:
        return " (there are .xml files, Pascal VOC's: convert them to YOLO's .txt)"
    if ".json" in suffixes:
        return " (there is a .json, perhaps COCO's: ultralytics.data.converter.convert_coco makes .txt of it)"
    return None


def _is_inside(folder: str, survey: Survey) -> bool:
    try:
        return survey.check(folder) is not None
    except UnsoundFiles:
        return False
