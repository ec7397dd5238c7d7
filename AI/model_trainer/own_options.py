"""What `fit_params` may hold beside Ultralytics' own arguments."""

import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from AI.model_trainer.cpu_cores import Threads
from AI.model_trainer.errors import InvalidArgument
from AI.model_trainer.events import ProgressCallback

#: More validation images than this make a picture that cannot be read, and take long to draw.
MAX_PREVIEW = 32


@dataclass(frozen=True)
class Options:
    """The library's own training arguments.

    Raises InvalidArgument: when a value is of the wrong kind or out of range.
    """

    #: Gets every event (see `events`); its errors are logged, not raised.
    progress_callback: ProgressCallback | None = None
    #: Seconds between two `tick` events.
    tick_interval: float = 1.0
    #: Asked between batches; True ends the training gracefully. Its errors are logged and count as False.
    should_stop: Callable[[], bool] | None = None
    #: With True `should_stop` is asked between epochs only: the one that runs is trained to its end.
    stop_after_epoch: bool = False
    #: torch's CPU threads: "stock" as Ultralytics sets them, "all" usable cores, or a number.
    threads: Threads = "stock"
    #: "progress": `tick`, `epoch_end` and `train_end`; "all": `phase`, `resumed`, `dataset`, `checkpoint`,
    #: `image` and `class_results` too.
    events: Literal["progress", "all"] = "progress"
    #: How many validation images are drawn with labels and predictions after each epoch (see `previews`); 0: none.
    preview: int = 0
    #: Where official weights are kept (see `downloads`); None: a folder in the user's cache.
    weights_dir: str | os.PathLike[str] | None = None
    #: Where whole copies of the newest checkpoints are kept, to go on from (see `checkpoints`); None: nowhere.
    checkpoints_dir: str | os.PathLike[str] | None = None
    #: Download no weights: official ones that are not there are an error at once.
    offline: bool = False
    #: Fail with InvalidDataset where images are dropped or the dataset's census has a warning (see `census`).
    strict_data: bool = False
    #: Run no code that weights, model files or the dataset's files hold (see `safe_load`).
    safe: bool = False

    def __post_init__(self) -> None:
        for name in ("progress_callback", "should_stop"):
            value = getattr(self, name)
            if value is not None and not callable(value):
                raise InvalidArgument(f"{name} must be callable or None, got {value!r}")
        interval = self.tick_interval
        if not _is_number(interval, int | float) or not 0 < interval <= threading.TIMEOUT_MAX:
            raise InvalidArgument(f"tick_interval must be a number of seconds above 0, got {interval!r}")
        threads = self.threads
        if threads not in ("stock", "all") and not (_is_number(threads, int) and int(threads) >= 1):
            raise InvalidArgument(f'threads must be "stock", "all" or a number of 1 or more, got {threads!r}')
        if self.events not in ("progress", "all"):
            raise InvalidArgument(f'events must be "progress" or "all", got {self.events!r}')
        if not _is_number(self.preview, int) or not 0 <= self.preview <= MAX_PREVIEW:
            raise InvalidArgument(f"preview must be a number of images from 0 to {MAX_PREVIEW}, got {self.preview!r}")
        for name in ("weights_dir", "checkpoints_dir"):
            folder = getattr(self, name)
            if folder is not None and (not isinstance(folder, str | os.PathLike) or not str(folder)):
                raise InvalidArgument(f"{name} must be the path of a folder, got {folder!r}")
        for name in ("offline", "safe", "stop_after_epoch", "strict_data"):
            if not isinstance(getattr(self, name), bool):
                raise InvalidArgument(f"{name} must be True or False, got {getattr(self, name)!r}")

    @classmethod
    def split(cls, arguments: Mapping[str, Any]) -> "tuple[Options, dict[str, Any]]":
        """The options among `arguments`, and all others."""
        own = {field.name for field in fields(cls)}
        options = cls(**{name: value for name, value in arguments.items() if name in own})
        return options, {name: value for name, value in arguments.items() if name not in own}


def _is_number(value: object, kind: Any) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)  # bool is an int to Python
