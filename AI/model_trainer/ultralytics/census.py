"""Counts what is in a dataset's splits: images, labels, instances of each class, and what is not right with them.

The numbers are those of Ultralytics' own datasets and of its scan (see `dataset_scan`); no text is read for them but
the number of duplicates, which is told nowhere else.
"""

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from AI.model_trainer.errors import InvalidDataset
from AI.model_trainer.events import BadFile, Census, ClassCount, Split
from AI.model_trainer.lookalikes import in_other_case, names
from AI.model_trainer.ultralytics.dataset_scan import Scan

#: Dropped images of a split that are named; and in an error.
MAX_BAD = 10
_IN_AN_ERROR = 3
#: Classes that are listed, and characters of a name.
MAX_CLASSES = 1_000
MAX_NAME = 100
#: Folders that labels were looked for in.
_MAX_FOLDERS = 5
#: Share of a split's images above which their loss is probably not meant.
LOUD = 0.05
_ESCAPES = re.compile(r"\x1b\[[0-9;]*m")


class Counter:
    """Collects the census of one dataset, split by split; a split that is read again counts anew."""

    def __init__(self) -> None:
        self.splits: dict[str, Split] = {}
        self._instances: dict[str, list[int]] = {}

    def add(self, name: str, scans: Sequence[Scan], dataset: Any = None) -> InvalidDataset | None:
        """Count a split; returns that nothing is left of it. `dataset` is None where Ultralytics gave it up.

        What was not read to its end, or from several places at once, is not counted.
        """
        if len(scans) != 1 or not scans[0].is_done:
            return None
        return _useless(name, self._count(name, scans[0], dataset))

    def _count(self, name: str, scan: Scan, dataset: Any) -> Split:
        each, instances = _contents(scan, dataset)
        labelled = sum(1 for count in each if count)
        bad: list[BadFile] = [{"file": file, "reason": reason} for file, reason in scan.first_bad(MAX_BAD)]
        self._instances[name] = instances
        self.splits[name] = {
            "images": len(scan.files),
            "labelled": labelled,
            "background": len(each) - labelled,
            "missing": scan.missing,
            "dropped": len(scan.files) - len(each),
            "corrupt": scan.corrupt,
            "duplicates": scan.duplicates,
            "instances": sum(instances),
            "bad": bad,
            "label_folders": _folders(scan.label_files),
        }
        return self.splits[name]

    def census(self, names: Mapping[int, str]) -> Census:
        """All that was counted; `names` are the dataset's classes by number."""
        classes: list[ClassCount] = [
            {
                "name": str(names[number])[:MAX_NAME],
                "instances": {split: _at(counts, number) for split, counts in self._instances.items()},
            }
            for number in sorted(names)[:MAX_CLASSES]
        ]
        warnings = [text for name, split in self.splits.items() for text in _warnings(name, split)]
        return {"splits": dict(self.splits), "classes": classes, "class_count": len(names), "warnings": warnings}


def _contents(scan: Scan, dataset: Any) -> tuple[list[int], list[int]]:
    """How much is on each image that is trained on, and how often each class is there, by number."""
    import numpy as np

    if scan.labels is None:  # images in folders of their class; those of classes that the model lacks are gone
        numbers = [int(sample[1]) for sample in (dataset.samples if dataset else ())]
        return [1] * len(numbers), np.bincount(np.asarray(numbers, int)).tolist()
    if not scan.label_files:  # masks or depth maps: what is on them is not counted
        return [1] * len(scan.labels), []
    each = [label["cls"].reshape(-1).astype(int) for label in scan.labels]
    return [len(numbers) for numbers in each], np.bincount(np.concatenate([np.zeros(0, int), *each])).tolist()


def _at(counts: list[int], number: int) -> int:
    return counts[number] if number < len(counts) else 0


def _folders(files: Iterable[str]) -> list[str]:
    found: dict[str, None] = {}
    for file in files:
        found.setdefault(os.path.dirname(file))
        if len(found) >= _MAX_FOLDERS:
            break
    return list(found)


# Sentences


def _warnings(name: str, split: Split) -> list[str]:
    """What is probably not meant by this split."""
    images, dropped = split["images"], split["dropped"]
    found = []
    if dropped > LOUD * images:
        found.append(f"{name}: {dropped} of {images} images are dropped ({dropped / images:.0%}): {_named(split, 1)}")
    if split["background"] and not split["labelled"]:
        why = _looked(split["label_folders"]) if split["missing"] else "the label files are empty"
        found.append(f"{name}: no image has a label: {why}")
    elif split["missing"] > images / 2:
        where = _looked(split["label_folders"])
        found.append(f"{name}: {split['missing']} of {images} images have no label file: {where}")
    return found


def complain(census: Census) -> InvalidDataset | None:
    """What `strict_data` makes of it: every dropped image and every warning; None when all is well."""
    found = list(census["warnings"])
    for name, split in census["splits"].items():
        if 0 < split["dropped"] <= LOUD * split["images"]:
            found.append(f"{name}: {split['dropped']} of {split['images']} images are dropped: {_named(split)}")
    return InvalidDataset("; ".join(found)) if found else None


def _useless(name: str, split: Split) -> InvalidDataset | None:
    """That no image of a split is left; None where some are, or where there were none."""
    if not split["images"] or split["dropped"] < split["images"]:
        return None
    return InvalidDataset(f"{name}: none of the {split['images']} images can be used: {_named(split)}")


def explain(name: str, scans: Sequence[Scan], error: Exception) -> InvalidDataset | None:
    """What it means that Ultralytics refused a split; None where that is not about the data."""
    scan = scans[-1] if scans else Scan(())
    if not scan.is_done and "No labels found" in str(error):
        where = _looked(_folders(scan.label_files))
        return InvalidDataset(f"{name}: none of the {len(scan.files)} images has a label file: {where}")
    if not isinstance(error, ValueError | OSError):
        return None
    text = " ".join(_ESCAPES.sub("", str(error)).split())
    return InvalidDataset(f"{name}: {text.removeprefix('train: ').removeprefix('val: ')}")


def _named(split: Split, most: int = _IN_AN_ERROR) -> str:
    """The first bad files with their reasons, and how many more there are."""
    bad = [f"{each['file']}: {each['reason']}" for each in split["bad"][:most]]
    more = split["dropped"] - len(bad)
    unknown = (
        f"{more} of classes that the model does not have" if split["dropped"] > split["corrupt"] and not bad else ""
    )
    return "; ".join(filter(None, [*bad, unknown or (f"and {more} more" if more else "")]))


def _looked(folders: list[str]) -> str:
    """Where labels were looked for, and what was there instead."""
    found = [other for folder in folders for other in _instead(Path(folder))]
    return f"looked in {', '.join(folders)}" + (f", found {', '.join(found)}" if found else "")


def _instead(folder: Path) -> list[str]:
    """What lies where labels were looked for: a folder of that name in another case, files of other kinds."""
    if not folder.exists():
        return in_other_case(folder)
    suffixes = {Path(name).suffix for name in names(folder)}
    return [f"{suffix} files" for suffix in sorted(suffixes & {".TXT", ".xml", ".json"})]
