"""Takes note of a training's whole state, and puts a training there that goes on.

It hears of each batch and each of the optimizer's steps through wrappers on the one trainer, which change nothing: with
them a training is the same, bit by bit, as without.
"""

from pathlib import Path
from typing import Any

from AI.model_trainer.ultralytics import exact_state, random_numbers
from AI.model_trainer.ultralytics.exact_state import Conditions, State
from AI.model_trainer.ultralytics.objects import Trainer
from AI.model_trainer.ultralytics.patches import on_one
from AI.model_trainer.ultralytics.train_loader import TrainLoader

_TRAINER = "ultralytics.engine.trainer:BaseTrainer"


class ExactRun:
    """Watches one trainer that is set up, from before its first epoch. The training's thread owns it.

    It is the last to be called when an epoch starts: nobody draws random numbers between it and the first batch.
    """

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer
        self.conditions: Conditions = exact_state.conditions(trainer)
        self._loader = TrainLoader(trainer.train_loader)
        self._state: State | None = None
        self._epoch = -1
        self._batch = -1
        self._last_step = -1
        #: Whether Ultralytics' own count of batches since the last step is of another process, so that ours counts.
        self._steps_itself = False
        self._optimizer_step, self._preprocess_batch = trainer.optimizer_step, trainer.preprocess_batch
        on_one(trainer, f"{_TRAINER}.optimizer_step", self._step)
        on_one(trainer, f"{_TRAINER}.preprocess_batch", self._preprocess)
        trainer.add_callback("on_train_epoch_start", self._epoch_start)
        trainer.add_callback("on_train_batch_end", self._batch_end)

    def write(self, path: Path) -> None:
        """Write the state at an epoch's end. Raises OSError."""
        state = exact_state.read(self._trainer, self._last_step, self._loader.place(), self.conditions)
        exact_state.write(state, path)

    def go_on(self, state: State) -> None:
        """Have the training go on from there."""
        exact_state.put_back(self._trainer, state)
        self._state, self._last_step, self._steps_itself = state, state["last_step"], True

    def _epoch_start(self, trainer: Trainer) -> None:
        if self._loader.loader is not trainer.train_loader:  # out of memory: begun anew with smaller batches
            self._loader = TrainLoader(trainer.train_loader)
            self.conditions = exact_state.conditions(trainer)
        if self._epoch == trainer.epoch:  # once more: Ultralytics forgets its last step as well
            self._last_step = -1
        self._epoch, self._batch = trainer.epoch, -1
        if self._state is not None:
            self._arrive(trainer, self._state)
            self._state = None

    def _arrive(self, trainer: Trainer, state: State) -> None:
        exact_state.put_back_gradients(trainer, state)
        closing = trainer.args.close_mosaic
        first_closed = max(trainer.epochs - closing, 0)
        is_closed = bool(closing) and trainer.epoch >= first_closed
        was_closed = trainer.epoch > first_closed
        self._loader.go_to(state["place"], closes=is_closed and not was_closed, closed=is_closed and was_closed)
        random_numbers.put_back(state["random_numbers"])  # the last: reading images for mosaics must not count

    def _preprocess(self, batch: Any) -> Any:
        self._batch += 1
        self._loader.took(batch)
        return self._preprocess_batch(batch)

    def _step(self) -> None:
        if not self._steps_itself:
            self._optimizer_step()
            self._last_step = self._number

    def _batch_end(self, trainer: Trainer) -> None:
        # Nothing looks at the weights between the place where Ultralytics makes the step and here.
        if self._steps_itself and self._number - self._last_step >= trainer.accumulate:
            self._optimizer_step()
            self._last_step = self._number

    @property
    def _number(self) -> int:
        """Of the batch, counted from the training's first."""
        return self._batch + len(self._trainer.train_loader) * self._trainer.epoch
