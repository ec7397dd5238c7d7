"""Keeps torch at a number of CPU threads.

Ultralytics sets torch's thread count to the host's cores minus one (at most 8) whenever it selects a device: once
when a training is set up and once more for the final evaluation. It looks at neither affinity nor container quota.
"""

from typing import Any

from AI.model_trainer.cpu_cores import Threads, usable_cores
from AI.model_trainer.ultralytics.hooks import Hooks


class ThreadCount:
    """Sets torch's threads again after each place where Ultralytics sets its own. The count stays after the training.

    More threads change the order of floating-point sums: results differ in the last digits from a stock run.
    """

    def __init__(self, threads: Threads) -> None:
        self._threads = threads

    def hooks(self) -> Hooks:
        """Ultralytics callbacks; none when the stock count is wanted."""
        if self._threads == "stock":
            return []
        return [("on_pretrain_routine_start", self._apply), ("on_val_start", self._apply)]

    def _apply(self, _: Any) -> None:
        import torch

        torch.set_num_threads(usable_cores() if isinstance(self._threads, str) else self._threads)
