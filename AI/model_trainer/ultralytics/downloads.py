"""Where weights and datasets come from: a folder of one's own, and the net for what is not there yet.

Ultralytics' own way with a name such as `yolov8n` is to download the file into the current directory. Here it
goes, in one step, into a folder that is chosen once; the downloading itself is Ultralytics'.
"""

import inspect
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from AI.model_trainer.errors import Unavailable, WeightsUnavailable
from AI.model_trainer.events import Download
from AI.model_trainer.listener import Listener, telemetry
from AI.model_trainer.ultralytics import known_models, patches

#: Below it, `/<release>/<name>.pt`.
RELEASES = "https://github.com/ultralytics/assets/releases/download"

_MIN_BYTES = 100_000  # no official model is smaller; an error page is. Ultralytics' own bound
_REPORT_INTERVAL = 0.25  # seconds between two events of a download
_PARTS = ".download-"  # folders in which downloads grow
_FORGOTTEN_SECONDS = 86_400.0  # a part that did not grow for so long belongs to a process that was killed


def default_folder() -> Path:
    """The user's cache folder for weights; it need not exist."""
    if sys.platform == "darwin":
        caches = Path.home() / "Library" / "Caches"
    else:
        caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return caches / "yolo-trainer" / "weights"


class DownloadFolder:
    """A folder of files that are downloaded when they are first asked for; `listener` hears of it.

    Threads and processes may share a folder: a file appears in it whole or not at all.
    """

    def __init__(self, folder: Path, offline: bool = False, listener: Listener | None = None) -> None:
        self.path = folder
        self.offline = offline
        self.listener = listener or Listener(lambda _: None)
        self._watched = listener is not None

    def missing(self, name: str, why: str) -> Unavailable:
        """What is raised for a file that is not there."""
        return Unavailable(name, self.path, why)

    def get(self, name: str, url: str) -> Path:
        """The file `name` of this folder, downloaded from `url` if it is not there. Raises Unavailable."""
        target = self.path / name
        if target.is_file():
            return target
        if self.offline:
            raise self.missing(name, "downloads are off")
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._sweep()
            with patches.ONE_AT_A_TIME:
                if not target.is_file():  # another thread was faster
                    self._download(url, target)
        except (OSError, MemoryError) as error:  # MemoryError: the disk is full
            raise self.missing(name, f"cannot be downloaded ({_reason(error)})") from error
        return target

    def _download(self, url: str, target: Path) -> None:
        from ultralytics.utils import downloads

        self._report(target.name, 0, None)
        with tempfile.TemporaryDirectory(dir=self.path, prefix=_PARTS) as part, self._metered(target.name):
            downloads.safe_download(url, file=target.name, dir=part, unzip=False, min_bytes=_MIN_BYTES)
            os.replace(Path(part) / target.name, target)
        size = target.stat().st_size
        self._report(target.name, size, size)

    @telemetry
    def _report(self, name: str, received: int, total: int | None) -> None:
        event: Download = {
            "event": "phase",
            "phase": "downloading",
            "epoch": 0,
            "metrics": {},
            "file": name,
            "received_bytes": received,
            "total_bytes": total,
        }
        self.listener.tell(event)

    @contextmanager
    def _metered(self, name: str) -> Iterator[None]:
        """Have Ultralytics' progress bar report as well, in this thread only."""
        from ultralytics.utils import downloads

        if not self._watched:
            yield
            return
        meter = _meter(downloads.TQDM, lambda n, total: self._report(name, n, total))
        with patches.applied("ultralytics.utils.downloads:TQDM", meter):
            yield

    def _sweep(self) -> None:
        """Remove what downloads of killed processes have left."""
        for part in self.path.glob(f"{_PARTS}*"):
            try:
                newest = max(path.stat().st_mtime for path in (part, *part.iterdir()))
            except OSError:  # it has just been finished
                continue
            if time.time() - newest > _FORGOTTEN_SECONDS:
                shutil.rmtree(part, ignore_errors=True)


class WeightsFolder(DownloadFolder):
    """Finds weights by name; without a folder of its own it is the user's cache."""

    def __init__(
        self,
        folder: str | os.PathLike[str] | None = None,
        offline: bool = False,
        listener: Listener | None = None,
    ) -> None:
        super().__init__(Path(folder).expanduser().absolute() if folder else default_folder(), offline, listener)

    def missing(self, name: str, why: str) -> Unavailable:
        config = known_models.config_for(name.removesuffix(".pt"))
        return WeightsUnavailable(name, self.path, why, f", or train {config} from random weights" if config else "")

    def resolve(self, model: str) -> str:
        """The path of the weights that `model` names; a model file (`.yaml`) is returned as it is.

        A bare official name, with or without `.pt`, is looked for in this folder, the current directory and
        Ultralytics' own weights folder, then downloaded. Anything else is a path, or the address of a `.pt`.

        Raises WeightsUnavailable: when it would have to be downloaded and that is off, or fails. Raises
        FileNotFoundError: when a path does not exist.
        """
        if model.lower().endswith((".yaml", ".yml")):
            return model
        if "://" in model and urlsplit(model).path.endswith(".pt"):
            return str(self.get(Path(urlsplit(model).path).name, model))
        if name := official_file(model):
            return str(self.find(name) or self.get(name, f"{RELEASES}/{_release()}/{name}"))
        if not os.path.exists(model):
            raise FileNotFoundError(f"there is no model {model!r}: neither an official name nor a file")
        return model

    def find(self, name: str) -> Path | None:
        """The file `name` where it lies already, as an absolute path."""
        from ultralytics.utils import SETTINGS

        folders = (self.path, Path.cwd(), Path(SETTINGS["weights_dir"]).absolute())
        return next((folder / name for folder in folders if (folder / name).is_file()), None)


def official_file(model: str) -> str | None:
    """`yolov8n.pt` for `yolov8n` or `yolov8n.pt`; None when it is no official name, or has a folder before it."""
    from ultralytics.utils.checks import check_yolov5u_filename

    name = check_yolov5u_filename(model.removesuffix(".pt") + ".pt", verbose=False)  # yolov5n is called yolov5nu now
    return name if name.removesuffix(".pt") in known_models.official() else None


def _release() -> str:
    from ultralytics.utils.downloads import attempt_download_asset

    return str(inspect.signature(attempt_download_asset).parameters["release"].default)


def _meter(bar: type[Any], report: Callable[[int, int | None], None]) -> type[Any]:
    """A class of progress bars that also report, at their first and then at most every `_REPORT_INTERVAL`."""
    thread = threading.get_ident()

    class Meter(bar):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self._received = self.initial
            self._due = 0.0

        def update(self, n: int = 1) -> None:
            super().update(n)
            self._received += n
            if threading.get_ident() == thread and time.monotonic() >= self._due:
                self._due = time.monotonic() + _REPORT_INTERVAL
                report(self._received, self.total)

    return Meter


def _reason(error: BaseException) -> str:
    """In a few words; the whole chain is in the traceback."""
    while error.__cause__ is not None:
        error = error.__cause__
    response = getattr(error, "response", None)
    if response is not None:
        return f"HTTP {response.status_code}"
    if isinstance(error, MemoryError):
        return "not enough disk space"
    return getattr(error, "strerror", None) or "the connection failed"
