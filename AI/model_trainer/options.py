"""What `fit_params` may hold beside Ultralytics' own arguments."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from AI.model_trainer.events import ProgressCallback
from AI.model_trainer.threads import Threads


@dataclass(frozen=True)
class Options:
    """The library's own training arguments.

    Raises ValueError: when a value is of the wrong kind or out of range.
    """

    #: Gets every event (see `events`); its errors are logged, not raised.
    progress_callback: ProgressCallback | None = None
    #: Seconds between two `tick` events.
    tick_interval: float = 1.0
    #: Asked between batches; True ends the training gracefully. Its errors are logged and count as False.
    should_stop: Callable[[], bool] | None = None
    #: torch's CPU threads: "stock" as Ultralytics sets them, "all" usable cores, or a number.
    threads: Threads = "stock"

    def __post_init__(self) -> None:
        for name in ("progress_callback", "should_stop"):
            value = getattr(self, name)
            if value is not None and not callable(value):
                raise ValueError(f"{name} must be callable or None, got {value!r}")
        interval = self.tick_interval
        if not _is_number(interval, int | float) or not 0 < interval <= threading.TIMEOUT_MAX:
            raise ValueError(f"tick_interval must be a number of seconds above 0, got {interval!r}")
        threads = self.threads
        if threads not in ("stock", "all") and not (_is_number(threads, int) and int(threads) >= 1):
            raise ValueError(f'threads must be "stock", "all" or a number from 1, got {threads!r}')

    @classmethod
    def split(cls, arguments: Mapping[str, Any]) -> "tuple[Options, dict[str, Any]]":
        """The options among `arguments`, and all others."""
        own = {field.name for field in fields(cls)}
        options = cls(**{name: value for name, value in arguments.items() if name in own})
        return options, {name: value for name, value in arguments.items() if name not in own}


def _is_number(value: object, kind: Any) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)  # bool is an int to Python
