"""What Ultralytics found when it read the files of a split: each image that it took or dropped, and why.

Its datasets forget most of that once they are made. So the two functions that know it, whether they read the files or a
label cache, are wrapped; the wrappers note what those return. A third one only has better words for a file that is no
image. No wrapper changes what is trained on. Read in 8.4.190's `data/dataset.py` and `data/utils.py`.
"""

import os
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import wraps
from itertools import islice
from typing import Any

from AI.model_trainer.imposters import unmask
from AI.model_trainer.ultralytics.patches import apply_for_good, find

#: Characters of a reason; Ultralytics lists every coordinate that is out of bounds.
MAX_REASON = 300
_LEAD = re.compile(r"^ignoring (?:corrupt image/\w+: )?")
_DUPLICATES = re.compile(r": (\d+) duplicate labels removed$")


@dataclass
class Scan:
    """One split as it was read. `is_done` is False where Ultralytics gave up on the way."""

    files: Sequence[str]
    kept: Sequence[str] = ()
    #: Ultralytics' own labels of each image that was kept; None for images in folders of their class.
    labels: Sequence[Any] | None = None
    #: Images without a label file, and images that are corrupt or whose labels are.
    missing: int = 0
    corrupt: int = 0
    messages: Sequence[str] = ()
    #: Where labels were looked for, one file an image; empty where there are none but masks, depth maps or folders.
    label_files: Sequence[str] = ()
    is_done: bool = False

    @property
    def dropped(self) -> int:
        return len(self.files) - len(self.kept)

    @property
    def duplicates(self) -> int:
        """Rows of labels that were there twice; only the messages tell."""
        return sum(int(found[1]) for found in map(_DUPLICATES.search, self.messages) if found)

    def first_bad(self, most: int) -> list[tuple[str, str]]:
        """The first dropped files and why each was dropped."""
        if not self.dropped:
            return []
        kept = set(self.kept)
        return [(file, self._reason(file)) for file in islice((f for f in self.files if f not in kept), most)]

    def _reason(self, file: str) -> str:
        if not os.path.lexists(file):
            return "there is no such file"
        if imposter := unmask(file):
            return f"this is not an image: {imposter}"
        said = next(filter(None, (_said_of(file, message) for message in self.messages)), "")
        return _LEAD.sub("", said or _verify(file))[:MAX_REASON]


def _said_of(file: str, message: str) -> str:
    """What a message says of a file, "" when it is about another one; before the file stands the split's name."""
    lead, _, rest = message.partition(f"{file}: ")
    return "" if os.sep in lead else rest


_SCANS: ContextVar["list[Scan] | None"] = ContextVar("scans", default=None)
_LOCK = threading.Lock()


@contextmanager
def recorded() -> Iterator[list[Scan]]:
    """Has the scans that this thread's datasets make meanwhile, in their order."""
    _wrap()
    scans: list[Scan] = []
    token = _SCANS.set(scans)
    try:
        yield scans
    finally:
        _SCANS.reset(token)


def _wrap() -> None:
    """Wrap Ultralytics' functions, once."""
    with _LOCK:
        for target, wrapper in (
            ("ultralytics.data.dataset:YOLODataset._load_or_scan_cache", _labels),
            ("ultralytics.data.dataset:ClassificationDataset.verify_images", _images),
            ("ultralytics.data.utils:check_image", _in_words),
        ):
            stock = find(target)
            if not hasattr(stock, "records"):
                wrapped = wrapper(stock)
                wrapped.records = True
                apply_for_good(target, wrapped)


def _labels(stock: Any) -> Any:
    @wraps(stock)
    def _load_or_scan_cache(self: Any, *arguments: Any) -> Any:
        scans = _SCANS.get()
        if scans is None:
            return stock(self, *arguments)
        scan = Scan(self.im_files, label_files=getattr(self, "label_files", ()))
        scans.append(scan)
        cache, exists = stock(self, *arguments)
        if "results" in cache:  # not for YOLO-World's own kind of labels
            _, scan.missing, _, scan.corrupt, _ = cache["results"]
            scan.messages = cache["msgs"]
            scan.labels = cache["labels"]
            scan.kept = [label["im_file"] for label in scan.labels]
            scan.is_done = True
        return cache, exists

    return _load_or_scan_cache


def _images(stock: Any) -> Any:
    @wraps(stock)
    def verify_images(self: Any) -> Any:
        scans = _SCANS.get()
        if scans is None:
            return stock(self)
        scan = Scan([file for file, _ in self.samples])
        scans.append(scan)
        samples = stock(self)
        scan.kept = [file for file, _ in samples]
        scan.corrupt = scan.dropped
        scan.is_done = True
        return samples

    return verify_images


def _in_words(stock: Any) -> Any:
    @wraps(stock)
    def check_image(im_file: str) -> Any:
        try:
            return stock(im_file)
        except ModuleNotFoundError as error:  # the plugin in which Pillow was to find a format that it does not know
            what = unmask(im_file) or "a file of no format that is known"
            raise ValueError(f"this is not an image: {what}") from error

    return check_image


def _verify(file: str) -> str:
    """What Ultralytics says of an image of a classification dataset, whose messages it keeps to itself."""
    from ultralytics.data.utils import verify_image

    return str(verify_image(((file, 0), ""))[3]).partition(f"{file}: ")[2]
