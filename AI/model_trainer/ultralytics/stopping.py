"""Ending a training early and gracefully, because somebody asked for it."""

import logging
from collections.abc import Callable

from AI.model_trainer.complaint import Complaint
from AI.model_trainer.ultralytics.hooks import Hooks
from AI.model_trainer.ultralytics.objects import Trainer

logger = logging.getLogger(__name__)


class GracefulStop:
    """Asks `should_stop` after every training batch and after every epoch; yes ends the training.

    Ultralytics then ends the epoch where it is, validates, saves, evaluates the best weights and returns as
    ever; what was asked during set-up takes effect after the first batch, during a validation after it. A
    `should_stop` that raises counts as no and is logged once. With `whole_epochs` it is asked after the last batch
    of an epoch, not after the others. With several GPUs it is asked after epochs only: the ranks have to agree, and
    that is where Ultralytics compares notes.
    """

    def __init__(self, should_stop: Callable[[], bool] | None, whole_epochs: bool = False) -> None:
        self._should_stop = should_stop
        self._whole_epochs = whole_epochs
        self._batches_left = 0
        self._complaint = Complaint(logger, "should_stop failed; the training goes on", "should_stop")
        #: True once the training was ended by the answer, rather than by itself.
        self.honoured = False

    def hooks(self) -> Hooks:
        """Ultralytics callbacks; none when there is nothing to ask."""
        if self._should_stop is None:
            return []
        return [
            ("on_train_epoch_start", self._epoch_start),
            ("on_train_batch_end", self._batch_end),
            ("on_fit_epoch_end", self._epoch_end),
        ]

    def _epoch_start(self, trainer: Trainer) -> None:
        self._batches_left = len(trainer.train_loader)

    def _batch_end(self, trainer: Trainer) -> None:
        self._batches_left -= 1
        at_the_end = self._batches_left <= 0 and trainer.epoch + 1 >= trainer.epochs
        too_early = self._whole_epochs and self._batches_left > 0
        if trainer.world_size <= 1 and not too_early and not at_the_end:
            # Whoever stops a run that saves its last epoch only (save=False) would get an error instead of weights.
            trainer.args.save = self._stop(trainer) or trainer.args.save

    def _epoch_end(self, trainer: Trainer) -> None:
        if trainer.last.exists():  # otherwise (save=False) the next batch is the place to ask
            self._stop(trainer)

    def _stop(self, trainer: Trainer) -> bool:
        # trainer.stop may be True already: the last epoch, patience, the time limit. Then it is not our doing.
        if not trainer.stop and self._asked():
            self.honoured = trainer.stop = True
        return self.honoured

    def ask(self) -> None:
        """Ask once more, after the last epoch: whether that was the end because somebody wanted it."""
        self.honoured = self._asked()

    def _asked(self) -> bool:
        try:
            return self._should_stop is not None and bool(self._should_stop())
        except Exception:
            self._complaint.make()
            return False
