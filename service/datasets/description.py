"""The clean copy of a dataset's YAML, which is all that a training sees of it.

A dataset's YAML may hold shell commands and Python (`download:`), which Ultralytics would run, and relative paths,
which Ultralytics looks for in several places. So the service reads and checks the YAML itself. The clean copy holds
only known keys and absolute paths.
"""

import difflib
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import yaml

from service.datasets import archives, class_folders, keys, labels, remedies, safe_yaml, splits
from service.datasets.files import Survey
from service.datasets.values import Content, shown
from service.errors import CannotTrain, Fault, UnfitDataset, UnreadSplit

POINTER = "/fit_params/data"
#: Names in the job's folder of what a training sees: a clean copy, or a folder of links.
COPY, LINKED = "data.yaml", "dataset"
#: Most folders that are searched for a dataset's YAML.
MAX_FOLDERS = 1_000


@dataclass(frozen=True)
class Description:
    """What the clean copy of a dataset's YAML says."""

    #: The dataset's folder, absolute.
    root: str
    #: Split → its folders, absolute, and its lists by their names in `Dataset.lists`.
    places: Mapping[str, Sequence[str]]
    keys: keys.Keys

    def as_dict(self) -> dict[str, object]:
        """The keys and values of the YAML."""
        return {"path": self.root, **self.places, **self.keys.as_dict()}


@dataclass(frozen=True)
class Dataset:
    """What a training may see of a dataset."""

    #: None for a classification dataset.
    description: Description | None = None
    #: Name of a list file in the job's folder → the images in it, absolute.
    lists: Mapping[str, Sequence[str]] = field(default_factory=dict)
    #: Name in the job's folder `dataset` → what it leads to: a classification dataset that is split here.
    links: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Use:
    """What a training's arguments say about the dataset it reads. Faults in them are found by the payload's check."""

    #: The split that it evaluates on.
    evaluated: str
    #: Whether it takes all classes for one.
    single_cls: bool
    #: Whether it takes only a part of the images.
    is_sampled: bool

    @classmethod
    def of(cls, arguments: Mapping[str, object]) -> "_Use":
        split = arguments.get("split")
        return cls(
            evaluated=split if isinstance(split, str) and split in keys.SPLITS else "val",
            single_cls=bool(arguments.get("single_cls")),
            is_sampled=arguments.get("fraction", 1) != 1,
        )


def read(
    data: object,
    task: str | None = None,
    roots: Sequence[Path] = (),
    *,
    arguments: Mapping[str, object] | None = None,
    split_pointer: str = POINTER,
    is_unpacked: bool = False,
) -> Dataset | None:
    """What a training may see of the dataset at the path `data`.

    None for a folder of classes that a training can see as it is, and for an archive, which the worker unpacks first.
    `task` is Ultralytics' name of the task. It is None when only the weights know it. Every path must lie in one of
    `roots` after its links are resolved; without roots, only the file system's permissions decide. `arguments` are the
    training's; `split`, `single_cls` and `fraction` say which part of the dataset it reads. In an unpacked archive the
    YAML's `path` is ignored, because it is a path of the machine that packed it; splits count from the YAML's folder.
    Raises CannotTrain: when there is no such dataset, or training on it could not work.
    """
    with _refusing(split_pointer):
        source = _path(data)
        survey = Survey(roots, task, "the unpacked archive") if is_unpacked else Survey(roots, task)
        survey.check(str(source))
        if is_archive(source):
            archives.check(source, task)
            return None
        described = _yaml_of(source, task, survey)
        if described is None:
            survey.images(str(source), 0)  # before a refusal could name a file outside of the roots
            links = class_folders.find(source)
            return Dataset(links=links) if links else None
        survey.check(str(described))
        content = _load(described, left_out=["path"] if is_unpacked else [])
        return _read(described, content, task, survey, _Use.of(arguments or {}))


def is_archive(source: str | Path) -> bool:
    """Whether a path is a zip by its name. A folder never is one."""
    return Path(source).suffix.lower() == ".zip" and not os.path.isdir(source)


def _yaml_of(source: Path, task: str | None, survey: Survey) -> Path | None:
    """The YAML that describes a dataset; None for a folder of classes."""
    if task == "classify":
        if not source.is_dir():
            is_there = "is a file" if source.exists() else "does not exist"
            raise UnfitDataset(f"{source} {is_there}: a classification model trains on a folder with train/ and val/")
        return None
    if source.is_dir():
        return _yaml_in(source, task, survey)
    if source.suffix.lower() not in (".yaml", ".yml"):
        raise UnfitDataset(remedies.foreign(source))
    if not source.exists():
        raise UnfitDataset(f"there is no file {source}")
    return source


def _yaml_in(folder: Path, task: str | None, survey: Survey) -> Path | None:
    """The one YAML in a folder, found as `find_dataset_yaml` of Ultralytics' data/utils.py finds it."""
    found = next(filter(None, (_yamls(folder, suffix, survey) for suffix in (".yaml", ".yml"))), [])
    if not found and task is None:  # the weights may be of a classification model
        return None
    if not found:
        raise UnfitDataset(f"{folder} has no .yaml in it: only a classification model trains on a folder without one")
    if len(found) > 1:
        found = [path for path in found if path.stem == folder.stem] or found
    if len(found) > 1:
        names = ", ".join(path.name for path in found[:3])
        raise UnfitDataset(
            f"{folder} has {len(found)} YAML files ({names}): give the path of the one that describes the dataset"
        )
    return found[0]


def _yamls(folder: Path, suffix: str, survey: Survey) -> list[Path]:
    """The YAML files in the folder itself. Where it has none, those in the folders below it."""
    found: list[Path] = []
    for place, _, names in islice(os.walk(folder), MAX_FOLDERS):
        found += [Path(place, name) for name in sorted(names) if name.endswith(suffix)]
        if survey.is_late() or (found and place == str(folder)):
            break
    return found


def named(name: str, addresses: Mapping[str, str | None], folder: Path, downloads: bool) -> str | None:
    """The path of the dataset that a payload names; None when the worker must download or unpack it first.

    `addresses` are the datasets that Ultralytics knows, name → address. `folder` holds those that were downloaded.
    Raises CannotTrain: when a name is not known, or its dataset is missing and may not be downloaded.
    """
    if name not in addresses:
        near = difflib.get_close_matches(f"{name.removesuffix('.yaml')}.yaml", addresses, 1, cutoff=0.8)
        if near and not os.path.isabs(name):
            raise CannotTrain([Fault(POINTER, f"{name!r} is not a dataset that Ultralytics knows", near[0])])
        return name
    address = addresses[name]
    if address is None:
        raise _invalid(
            f"{name} is downloaded by a script, which this service does not run:"
            " download it yourself and give its data.yaml"
        )
    found = folder / Path(name).stem / "data.yaml"
    if found.is_file():
        return str(found)
    archive = address.rpartition("/")[2]
    if not downloads and not (folder / archive).is_file():
        raise _invalid(
            f"{name} is not in the data folder: start the service with --allow-downloads,"
            f" or put {archive} into {folder}"
        )
    return None


@contextmanager
def _refusing(split_pointer: str) -> Iterator[None]:
    try:
        yield
    except UnreadSplit as error:
        raise CannotTrain([Fault(split_pointer, str(error))]) from None
    except (safe_yaml.UnreadableYaml, UnfitDataset) as error:
        raise _invalid(str(error)) from None
    except OSError as error:  # a folder that may not be read, a name that is too long
        raise _invalid(f"{error.filename} cannot be read: {error.strerror}") from None


def _read(source: Path, content: Content, task: str | None, survey: Survey, use: _Use) -> Dataset:
    root = splits.root_of(source, content)
    survey.check(str(root))
    masks = keys.masks_dir(content, task)
    if masks:
        survey.look_beside(masks)
    found = splits.find(source, content, survey, use.evaluated)
    checked = keys.checked(content, task)
    if not _is_labelled_by_images(root, masks, task):
        expected = _expected(checked, task, use)
        for name in ("train", use.evaluated):
            labels.check(found[name], expected, survey)
    places = {name: split.places for name, split in found.items()}
    places.setdefault("val", places["train"])  # not read, but Ultralytics wants the key
    lists = {name: images for split in found.values() for name, images in split.lists.items()}
    return Dataset(Description(str(root), places, checked), lists)


def _is_labelled_by_images(root: Path, masks: str | None, task: str | None) -> bool:
    """Whether a training would read masks or depth images instead of label files. Without a task it might."""
    has_masks = masks is not None or (root / "masks").is_dir()
    return task == "depth" or (task in ("semantic", None) and (has_masks or (root / "depth").is_dir()))


def _expected(checked: keys.Keys, task: str | None, use: _Use) -> labels.Expected:
    classes = math.inf if use.single_cls else len(checked.names)
    return labels.Expected(task, classes, checked.kpt_shape or (0, 0), use.is_sampled)


def write(clean: Dataset, folder: Path) -> Path:
    """Write what a training sees into the job's folder: the clean copy or the links. Returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    if clean.description is None:
        return class_folders.write(clean.links, folder / LINKED)
    for name, images in clean.lists.items():
        _write(folder / name, "".join(f"{image}\n" for image in images))
    content = clean.description.as_dict()
    for split, places in clean.description.places.items():
        paths = [str(folder / name) if name in clean.lists else name for name in places]
        content[split] = paths[0] if len(paths) == 1 else paths
    copy = folder / COPY
    _write(copy, yaml.safe_dump(content, sort_keys=False, allow_unicode=True))
    return copy


def written(folder: Path) -> Path | None:
    """The path of what `write` has put into a job's folder, if it has."""
    return next((folder / name for name in (COPY, LINKED) if (folder / name).exists()), None)


def _write(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())  # the POST is answered only when all that the job needs is on the disk


def _load(source: Path, left_out: Sequence[str]) -> Content:
    content = safe_yaml.read_dataset(source)
    if not isinstance(content, dict):
        raise UnfitDataset(f"{source} is not a mapping: expected the keys path, train, val and names")
    # Ultralytics takes the text None for nothing.
    return {key: None if value == "None" else value for key, value in content.items() if key not in left_out}


def _path(data: object) -> Path:
    if not isinstance(data, str) or not data:
        raise UnfitDataset(f"must be the path of a dataset, got {shown(data)}")
    if "://" in data:
        raise UnfitDataset("must be a path, not an address: download the dataset and give the path of its data.yaml")
    if not safe_yaml.is_plain(data):
        raise UnfitDataset(f"must be a path without control characters, got {shown(data)}")
    if remedies.is_of_windows(data):
        raise UnfitDataset(f"{data[:200]!r} is a Windows path: give the path on the machine of the service")
    source = Path(data)
    if not source.is_absolute():
        raise UnfitDataset(f"must be an absolute path, or a name that Ultralytics knows, got {data!r}")
    return Path(os.path.abspath(source))


def _invalid(detail: str) -> CannotTrain:
    return CannotTrain([Fault(POINTER, detail)])
