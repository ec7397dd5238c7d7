"""Turns what Ultralytics' trainer tells its callbacks into events.

Ultralytics is untyped: `Any` comes in here and leaves as the events of `events`. Names of losses, metrics and
parameter groups are read from the trainer, so every task works. What the trainer offers, and when, is described in
https://docs.ultralytics.com/usage/callbacks and was read in `ultralytics/engine/trainer.py` of 8.4.190.
"""

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from AI.model_trainer.events import EpochEnd, Numbers, ProgressCallback, Reason, Tick, TrainEnd, Where, finite, numbers
from AI.model_trainer.listener import Listener, telemetry
from AI.model_trainer.progress_state import Moment
from AI.model_trainer.ticker import Ticker
from AI.model_trainer.ultralytics.checkpoint_keeper import Keeper
from AI.model_trainer.ultralytics.detail_events import Details
from AI.model_trainer.ultralytics.exact_resume import ExactResume
from AI.model_trainer.ultralytics.hooks import Hooks, Saved, epoch_ended, saved
from AI.model_trainer.ultralytics.objects import Trainer, Validator
from AI.model_trainer.ultralytics.stopping import GracefulStop


class Progress:
    """Reports one training to `callback`. The training's thread owns it; its tick thread only reads `_moment`.

    Nothing but plain data is held before the training starts, so that Ultralytics can send the hooks to the processes
    of a multi-GPU run; there, only rank 0 reports. With `everything` the events of `detail_events` come as well.
    """

    _moment: Moment
    _save_dir: str

    def __init__(
        self,
        callback: ProgressCallback | None,
        tick_interval: float,
        stop: GracefulStop,
        everything: bool = False,
        keeper: Keeper | None = None,
        exact: ExactResume | None = None,
    ) -> None:
        self._callback = callback
        self.listener = Listener(callback or (lambda _: None))
        self._tick_interval = tick_interval  # seconds
        self._stop = stop
        self._everything = everything
        self._keeper = keeper or Keeper(None)
        self._exact = exact or ExactResume()
        self._ticker: Ticker | None = None
        self._losses_read = 0.0  # monotonic seconds
        self._planned_epochs = 0
        self._validated = False
        self._best_epoch: int | None = None

    def hooks(self) -> Hooks:
        """Ultralytics callbacks; none when nobody listens."""
        return [] if self._callback is None else [("on_pretrain_routine_start", self._setup_start)]

    def close(self) -> None:
        """End the ticks; no event comes after this. Twice is as good as once."""
        self._end_ticks()
        self.listener.close()

    def _end_ticks(self) -> None:
        if self._ticker is not None:
            self._ticker.stop()

    # Set-up

    @telemetry
    def _setup_start(self, trainer: Trainer) -> None:
        self._moment = Moment(began=time.monotonic(), total_epochs=trainer.args.epochs)
        self._save_dir = str(trainer.save_dir)
        details = Details(self.listener, self._where, self._keeper, self._exact) if self._everything else None
        # Put on the trainer, not on the model: of a multi-GPU run's processes only rank 0 gets as far as this.
        for event, hook in [*self._training_hooks(), *(details.hooks() if details else []), *self._last_hooks()]:
            trainer.add_callback(event, hook)
        if details:
            details.begin(trainer)
        self._ticker = Ticker(self._tick_interval, self._tick)
        self._ticker.start()

    def _training_hooks(self) -> Hooks:
        return [
            ("on_train_start", self._train_start),
            ("on_train_epoch_start", self._pass_start),
            ("on_train_batch_end", self._batch_end),
            ("on_train_epoch_end", self._pass_end),
            ("on_val_start", self._validation_start),
            ("on_val_batch_end", self._validation_batch_end),
            ("on_val_end", self._validation_end),
            *saved(self._saved),
            *epoch_ended(self._epoch_end),
        ]

    def _last_hooks(self) -> Hooks:
        return [("on_train_end", self._train_end), ("teardown", self._teardown)]

    @telemetry
    def _train_start(self, trainer: Trainer) -> None:
        now = time.monotonic()
        hours = trainer.args.time
        start = trainer.start_epoch
        if start and trainer.best.exists():  # resumed: the best epoch may lie before this run
            self._best_epoch = trainer.stopper.best_epoch or None
        self._planned_epochs = trainer.epochs
        self._moment = replace(
            self._moment,
            deadline=now + hours * 3600 if hours else None,
            completed=start,
            began_after=start,
            first_epoch_began=now,
        )

    # One epoch: one pass through the data, or more when Ultralytics repeats it (NaN recovery, out of memory)

    @telemetry
    def _pass_start(self, trainer: Trainer) -> None:
        self._planned_epochs = trainer.epochs
        self._validated = False
        self._losses_read = 0.0
        self._moment = replace(
            self._moment,
            epoch=trainer.epoch + 1,
            total_epochs=max(trainer.epochs, trainer.epoch + 1),
            batch=0,
            batches=len(trainer.train_loader),  # an out-of-memory retry has halved the batch size
            pass_began=time.monotonic(),
            losses={},
        )

    @telemetry
    def _batch_end(self, trainer: Trainer) -> None:
        now = time.monotonic()
        loader = trainer.train_loader
        batch = self._moment.batch + 1
        images = min(batch * trainer.batch_size, len(loader.dataset))  # the last batch may be smaller
        self._moment = moment = replace(
            self._moment,
            batch=batch,
            batch_ended=now,
            images_per_second=images / max(now - self._moment.pass_began, 1e-9),
        )
        # On a GPU each float() waits for the device: once per half interval is fresh enough for the next tick.
        if now - self._losses_read >= self._tick_interval / 2:
            self._losses_read = now
            self._moment = replace(moment, losses=_losses(trainer), lr=_learning_rates(trainer))
        if batch == 1 and moment.completed == moment.began_after and self._ticker is not None:
            self._ticker.soon()  # that the training has begun is news

    @telemetry
    def _pass_end(self, trainer: Trainer) -> None:
        self._moment = replace(self._moment, losses=_losses(trainer), lr=numbers(trainer.lr))

    @telemetry
    def _validation_start(self, validator: Validator) -> None:
        self._moment = replace(self._moment, val_batch=0, val_batches=len(validator.dataloader))

    @telemetry
    def _validation_batch_end(self, validator: Validator) -> None:
        self._moment = replace(self._moment, val_batch=validator.batch_i + 1)

    @telemetry
    def _validation_end(self, validator: Validator) -> None:
        self._validated = bool(validator.training)
        self._moment = replace(self._moment, val_batch=None, val_batches=None)

    @telemetry
    def _saved(self, fact: Saved) -> None:
        if fact.improved:
            self._best_epoch = fact.epoch
        if self._validated:
            self._moment = replace(self._moment, metrics=_without_losses(fact.metrics))

    @telemetry
    def _epoch_end(self, trainer: Trainer) -> None:
        now = time.monotonic()
        metrics = _without_losses(trainer.metrics) if self._validated else {}
        moment = self._moment = replace(
            self._moment,
            total_epochs=max(trainer.epochs, trainer.epoch + 1),  # `time` has Ultralytics count anew
            completed=trainer.epoch + 1,
            epoch_ended=now,
            metrics=metrics or self._moment.metrics,
        )
        event: EpochEnd = {
            "event": "epoch_end",
            **self._where(),
            "metrics": metrics,
            "train_losses": moment.losses,
            "val_losses": _losses_in(trainer.metrics, "val/") if self._validated else {},
            "lr": moment.lr,
            "fitness": finite(trainer.fitness) if self._validated else None,
            "best_fitness": finite(trainer.best_fitness),
            "epoch_seconds": now - moment.pass_began,
            "images_per_second": moment.images_per_second,
        }
        self.listener.tell(event)

    # The end

    @telemetry
    def _train_end(self, trainer: Trainer) -> None:
        self._end_ticks()
        best, last = (str(path) if path.exists() else None for path in (trainer.best, trainer.last))
        if best is None and last is None:
            return  # Ultralytics is about to raise: nothing was saved
        metrics, score = outcome(trainer)
        event: TrainEnd = {
            "event": "train_end",
            **self._where(),
            "metrics": metrics,
            "score": finite(score),
            "reason": self._reason(trainer),
            "best_epoch": self._best_epoch if best else None,
            "elapsed_seconds": time.monotonic() - self._moment.began,
            "weights": {"best": best, "last": last},
        }
        self.listener.tell(event)

    def _reason(self, trainer: Trainer) -> Reason:
        done, limit, stopper = trainer.epoch + 1, trainer.args.time, trainer.stopper
        if self._stop.honoured:
            return "stopped"
        # After each epoch a time limit replaces the number of epochs by what fits into it, so from the second epoch
        # on "the last epoch" means the limit. `_planned_epochs` is the number that the last epoch was begun with.
        whole = not self._moment.batches or self._moment.batch == self._moment.batches  # no batch: only the evaluation
        at_the_end = done >= self._planned_epochs and whole
        if at_the_end and (not limit or done - trainer.start_epoch == 1):
            return "finished"
        if trainer.fitness is not None and done - stopper.best_epoch >= stopper.patience:
            return "early_stopped"
        return "time_limit" if limit else "stopped"  # stopped: by a callback of the caller's own

    def _teardown(self, _: Any) -> None:
        self.close()

    # Sending

    @telemetry
    def _tick(self) -> None:
        moment, now = self._moment, time.monotonic()
        event: Tick = {
            "event": "tick",
            **self._where(moment),
            "batch": moment.batch,
            "batches": moment.batches,
            "val_batch": moment.val_batch,
            "val_batches": moment.val_batches,
            "losses": moment.losses,
            "lr": moment.lr,
            "elapsed_seconds": now - moment.began,
            "remaining_seconds": moment.remaining_seconds(now),
            "images_per_second": moment.images_per_second,
        }
        self.listener.tell(event)

    def _where(self, at: Moment | None = None) -> Where:
        moment = at or self._moment
        return {
            "epoch": moment.epoch,
            "total_epochs": moment.total_epochs,
            "metrics": moment.metrics,
            "save_dir": self._save_dir,
        }


def outcome(trainer: Trainer) -> tuple[Numbers, float]:
    """Metrics and fitness of the best weights, after `trainer` is done.

    The processes of a multi-GPU run leave the numbers of the best epoch in the checkpoint only.
    """
    if trainer.validator is None:
        from ultralytics.nn.tasks import load_checkpoint

        saved = load_checkpoint(trainer.best if trainer.best.exists() else trainer.last)[1]["train_metrics"]
        return _without_losses({k: v for k, v in saved.items() if k != "fitness"}), float(saved["fitness"])
    fitness: Any = getattr(trainer.validator.metrics, "fitness", trainer.best_fitness)
    return _without_losses(trainer.metrics), float(fitness)


def _losses(trainer: Trainer) -> Numbers:
    if trainer.tloss is None:
        return {}
    return _losses_in(trainer.label_loss_items(trainer.tloss, prefix="train"), "train/")


def _losses_in(values: Mapping[str, Any], prefix: str) -> Numbers:
    """The losses among `values`, under their bare names, so that train and val losses can be put side by side."""
    return numbers({name.removeprefix(prefix): v for name, v in values.items() if name.startswith(prefix)})


def _without_losses(metrics: Mapping[str, Any]) -> Numbers:
    return numbers({name: value for name, value in metrics.items() if not name.startswith("val/")})


def _learning_rates(trainer: Trainer) -> Numbers:
    """As `trainer.lr`, which is only brought up to date at an epoch's end."""
    return numbers({f"lr/pg{i}": group["lr"] for i, group in enumerate(trainer.optimizer.param_groups)})
