"""Error texts for a dataset that Ultralytics could not read: what is wrong, what is there instead, and what to do."""

import os
import re
from pathlib import Path

from AI.model_trainer.lookalikes import in_other_case, names
from service.datasets.files import Survey, UnsoundFiles, label_of
from service.datasets.values import Content

_WINDOWS = re.compile(r"[A-Za-z]:[\\/]|.*\\")

#: Suffix of a file that is not YAML → what the file is, and what to do.
_FOREIGN = {
    ".json": "is JSON, perhaps in COCO format: convert it with ultralytics.data.converter.convert_coco,"
    " then give a data.yaml",
    ".xml": "is in Pascal VOC format: convert the .xml files to YOLO's .txt, then give a data.yaml",
    ".ndjson": "names images by their addresses, which this service does not download: convert it with"
    " ultralytics.data.converter.convert_ndjson_to_yolo, then give the data.yaml that it writes",
    ".data": "is in Darknet's format: write a data.yaml with path, train, val and names, and give that",
    ".names": "holds only the names of the classes: write a data.yaml with path, train, val and names, and give that",
    ".txt": "is a list of images: write a data.yaml whose `train:` or `val:` names it, and give that",
    **dict.fromkeys(
        (".tar", ".gz", ".tgz", ".bz2", ".tbz2", ".xz", ".txz", ".7z", ".rar"),
        "is an archive that this service cannot read: unpack it and give its data.yaml, or pack it as .zip",
    ),
}


def is_of_windows(path: str) -> bool:
    """Whether a path begins with a drive letter, or has backslashes."""
    return _WINDOWS.match(path) is not None


def foreign(source: Path) -> str:
    """The text for a file that is not YAML."""
    if said := _FOREIGN.get(source.suffix.lower()):
        return f"{source.name} {said}"
    return f"must be a .yaml file, got {source.name!r}"


def missing(split: str, entry: str, path: Path, root: Path, content: Content) -> str:
    """The text for a folder or a list file that does not exist."""
    named = content.get("path")
    for key, value in ((split, entry), ("path", named)):
        if isinstance(value, str) and is_of_windows(value):
            return f"{key}: {value[:200]!r} is a Windows path: write it with / and relative to the YAML's folder"
    if named and not root.exists():
        return f"path: there is no folder {root}: remove `path:`, so that the splits are relative to the YAML's folder"
    if os.path.isabs(entry):
        return (
            f"{split}: there is no {path}: give the path on the machine of the service,"
            " or one relative to the dataset's folder"
        )
    if found := in_other_case(path):
        return f"{split}: there is no {path}, but there is {found[0]}: case matters"
    return f"{split}: there is no {path}"


def no_labels(split: str, image: str, count: int, survey: Survey) -> str:
    """The text for a split in which no image has a label."""
    label = label_of(image)
    said = f"{split}: none of its {count} images has a label; the first is looked for at {label}"
    return f"{said}{_instead(image, label, survey) or ''}"


def _instead(image: str, label: str, survey: Survey) -> str | None:
    """What was found near the place where the labels should be, and what to do with it."""
    folder = os.path.dirname(label)
    if found := in_other_case(Path(label)):
        return f" (there is {found[0]}: rename it, case matters)"
    if "/images/" not in image and "/images/" in image.lower():
        return " (rename the folder to `images`, in lower case: then the folder `labels` beside it is read)"
    beside = {folder, os.path.dirname(folder), *map(str, Path(image).parents[:3])}
    beside |= {os.path.join(place, name) for place in beside for name in ("Annotations", "annotations")}
    there = [name for place in sorted(beside) if _is_inside(place, survey) for name in names(Path(place))]
    suffixes = {os.path.splitext(name)[1].lower() for name in there}
    if ".xml" in suffixes:
        return " (there are .xml files, in Pascal VOC format: convert them to YOLO's .txt)"
    if ".json" in suffixes:
        return " (there is a .json, perhaps in COCO format: convert it with ultralytics.data.converter.convert_coco)"
    return None


def _is_inside(folder: str, survey: Survey) -> bool:
    try:
        return survey.check(folder) is not None
    except UnsoundFiles:
        return False
