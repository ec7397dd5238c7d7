"""Everything the library raises on purpose, one class per thing a caller can do something about.

    TrainerError
    ├── InvalidArgument      ValueError: an argument is missing, of the wrong kind, or out of range
    │   └── UnknownArgument      Ultralytics knows no argument of this name
    ├── InvalidDataset       ValueError: nothing can be trained on this dataset, or `strict_data` refuses it
    │   └── BadArchive           a zip that cannot be a dataset's
    ├── NothingToResume      ValueError: a training cannot continue from this checkpoint
    ├── Unavailable          OSError: a file is not in its folder and cannot be downloaded
    │   ├── WeightsUnavailable   weights
    │   └── DatasetUnavailable   the archive of a dataset
    ├── Unsafe               ValueError: `safe` refuses a file
    │   ├── UnsafeFile           a file that should hold data names code
    │   └── ForeignWeights       a layer of a model file asks for weights from the net
    └── ForeignVersion       RuntimeError: not the Ultralytics that this library was written for
        ├── UntestedVersion      `safe` refuses to start with it
        └── PatchLost            what the library changes in it is not there

Each is also the built-in error that is named beside it or its parent. Where Ultralytics, torch or the operating system
raise, their own errors pass through. (`resuming.Finished` is no error: it leaves Ultralytics' trainer.)
"""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar


class TrainerError(Exception):
    """Base of all errors of the library. The message is a sentence that says what is wrong."""

    #: What kind of failure this is, in one word for programs; None: no more than that it failed.
    reason: ClassVar[str | None] = None


class InvalidArgument(TrainerError, ValueError):
    """Raised when an argument is missing, of the wrong kind, or out of range."""


class UnknownArgument(InvalidArgument):
    """Raised when Ultralytics knows no argument `name`; `suggestion` is the nearest that it does know, or None."""

    def __init__(self, name: str, suggestion: str | None) -> None:
        hint = f"; did you mean {suggestion!r}?" if suggestion else ""
        super().__init__(f"{name!r} is not a training argument{hint}")
        self.name = name
        self.suggestion = suggestion


class InvalidDataset(TrainerError, ValueError):
    """Raised when a dataset cannot be trained on, or with `strict_data` when something is wrong with it."""

    reason = "invalid_data"


class BadArchive(InvalidDataset):
    """Raised when the archive `path` cannot be a dataset's. The message says why."""

    def __init__(self, path: Path, what: str) -> None:
        super().__init__(f"{path.name} was not unpacked: {what}")
        self.path = path


class NothingToResume(TrainerError, ValueError):
    """Raised when a training cannot continue from a checkpoint: it has no optimizer, or all epochs are done."""


class Unavailable(TrainerError, OSError):
    """Raised when a file is not in its folder and cannot be downloaded: `name`, `folder`, `why`."""

    def __init__(self, name: str, folder: Path, why: str, otherwise: str = "") -> None:
        super().__init__(f"{name} is missing and {why}: put it into {folder}{otherwise}")
        self.name = name
        self.folder = folder
        self.why = why


class WeightsUnavailable(Unavailable):
    """Raised when weights are not in the weights folder and cannot be downloaded."""

    reason = "weights_unavailable"


class DatasetUnavailable(Unavailable):
    """Raised when the archive of a dataset is not in the datasets folder and cannot be downloaded."""

    reason = "dataset_unavailable"


class Unsafe(TrainerError, ValueError):
    """Base of what `safe` refuses."""

    reason = "unsafe_file"


class UnsafeFile(Unsafe):
    """Raised when a file that should hold data (`path`) names code that would have been run."""

    def __init__(self, path: object) -> None:
        super().__init__(f"{path} holds more than data, so it was not loaded: use one that holds only data")
        self.path = path


class ForeignWeights(Unsafe):
    """Raised when a layer of a model file would get weights from the net: from `url`."""

    def __init__(self, url: str) -> None:
        super().__init__(f"a layer asks for the weights at {url}: downloading is disabled; set `weights: null`")
        self.url = url


class ForeignVersion(TrainerError, RuntimeError):
    """Base of what is wrong with the Ultralytics that is installed."""


class UntestedVersion(ForeignVersion):
    """Raised when `safe` is asked of a version of Ultralytics that it was not tested with: `installed`, `tested`."""

    def __init__(self, installed: str, tested: Sequence[str]) -> None:
        known = " or ".join(tested)
        super().__init__(
            f"safe=True is tested with ultralytics {known}, but {installed} is installed, which may run"
            f" code of the files that it loads: install ultralytics=={tested[-1]}, or use safe=False with trusted files"
        )
        self.installed = installed
        self.tested = tuple(tested)


class PatchLost(ForeignVersion):
    """Raised when `target`, which the library changes in Ultralytics, torch or torchvision, is not there."""

    def __init__(self, target: str, why: str) -> None:
        super().__init__(f"{target} cannot be changed ({why}): install the versions that yolo-trainer pins")
        self.target = target
