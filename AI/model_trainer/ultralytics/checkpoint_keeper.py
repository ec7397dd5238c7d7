"""Copies each checkpoint of a training as soon as it is written."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from AI.model_trainer.checkpoints import Generation, end, keep
from AI.model_trainer.ultralytics.hooks import Hooks, Saved, saved

logger = logging.getLogger(__name__)


class Keeper:
    """Copies each checkpoint of a training into `folder` as soon as it is written; the training waits for that.

    `write_exact` writes beside it what else the training holds. A copy that fails (a full disk) is logged, and the
    training goes on with the copies from before.
    """

    def __init__(self, folder: Path | None, write_exact: Callable[[Path], None] | None = None) -> None:
        self._folder = folder
        self._write_exact = write_exact
        #: The copy of the epoch that was saved last; None where that failed, or where none are kept.
        self.newest: Generation | None = None

    @property
    def keeps(self) -> bool:
        return self._folder is not None

    def hooks(self) -> Hooks:
        """Ultralytics callbacks; none where no copies are wanted."""
        return [*saved(self._keep), ("on_train_end", self._end)] if self._folder else []

    def _keep(self, fact: Saved) -> None:
        self.newest = None
        try:
            if self._folder:
                best = None if fact.improved else fact.best
                self.newest = keep(self._folder, fact.epoch, fact.last, best, self._write_exact)
        except OSError as error:
            logger.warning("the checkpoint of epoch %d could not be kept: %s", fact.epoch, error)

    def _end(self, _: Any) -> None:
        try:
            if self._folder:
                end(self._folder)
        except OSError as error:
            logger.warning("a copy of an older checkpoint could not be deleted: %s", error)
