"""Going on with a training from a checkpoint: to its planned end, for more epochs, or only to its final evaluation.

Ultralytics' own `resume` restores weights, optimizer and schedule; it takes the number of epochs from the checkpoint
and refuses a run that has reached it. What was read in `ultralytics/engine/trainer.py` of 8.4.190.
"""

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from AI.model_trainer.errors import NothingToResume
from AI.model_trainer.ultralytics.hooks import Hooks
from AI.model_trainer.ultralytics.objects import Trainer
from AI.model_trainer.ultralytics.stopping import GracefulStop

if TYPE_CHECKING:
    from ultralytics import YOLO


class Finished(BaseException):
    """Leaves Ultralytics' trainer after a final evaluation that no epoch came before."""


class Continuation:
    """A part of a training that goes on from `model`, built from a checkpoint with its optimizer.

    `epochs` is the new total, None for the planned one. With `finish` no epoch is trained: the best weights are
    evaluated and the run ends as it would have ended. A run that has ended for want of progress gets its patience
    anew; one that was cut off as it was about to end so is evaluated only.

    Raises NothingToResume.
    """

    def __init__(self, model: "YOLO", epochs: int | None, finish: bool, stop: GracefulStop) -> None:
        state = model.ckpt or {}
        if state.get("epoch", -1) < 0 or state.get("optimizer") is None:
            raise NothingToResume(
                "the checkpoint of a finished training has no optimizer state: start a new training from it"
            )
        #: Epochs that are done.
        self.done: int = state["epoch"] + 1
        #: Arguments that the run was begun with.
        self.arguments: dict[str, Any] = state["train_args"]
        self._total: int = epochs or self.arguments["epochs"]
        self._stopper: dict[str, Any] = state.get("stopper") or {}
        #: Nothing is left but the final evaluation.
        self.finish = finish
        self._stop = stop
        if self.done >= self._total and not finish:
            raise NothingToResume(f"{self.done} epochs are done already; to go on, ask for more than {self.done}")

    def look_at(self, run: Path) -> None:
        """See from a run's folder, before it is put back to the checkpoint, whether it was about to end."""
        from ultralytics.nn.tasks import load_checkpoint

        patience = self.arguments["patience"] or float("inf")
        last = run / "weights" / "last.pt"
        if self.done - self._stopper.get("best_epoch", self.done) < patience or not last.is_file():
            return
        with suppress(Exception):  # half a file: it was not about to end when it was killed, but at a save
            written = load_checkpoint(last)[1]
            self.finish = written.get("optimizer") is not None and written["epoch"] == self.done - 1

    def hooks(self) -> Hooks:
        """Ultralytics callbacks."""
        return [("on_pretrain_routine_start", self._setup_start), ("on_pretrain_routine_end", self._setup_end)]

    def _setup_start(self, trainer: Trainer) -> None:
        trainer.args.epochs = self._total
        trainer.epochs = max(self._total, self.done + 1)  # Ultralytics checks that something is left

    def _setup_end(self, trainer: Trainer) -> None:
        from ultralytics.utils import YAML

        trainer.epochs = self._total
        YAML.save(Path(trainer.save_dir) / "args.yaml", vars(trainer.args))  # it was written with the old number
        trainer.add_callback("on_train_start", self._begin)  # the last of them: whoever reports has heard of the start

    def _begin(self, trainer: Trainer) -> None:
        stopper = trainer.stopper
        if self.finish:
            self._evaluate(trainer)
            raise Finished
        if self.done - stopper.best_epoch >= stopper.patience:
            stopper.best_epoch = self.done

    def _evaluate(self, trainer: Trainer) -> None:
        """The end of `BaseTrainer._do_train`, for a run whose last epoch lies in an earlier process."""
        trainer.epoch = self.done - 1
        trainer.fitness = trainer.best_fitness
        self._stop.ask()
        trainer.stop = True
        trainer.final_eval()
        if trainer.args.plots:
            trainer.plot_metrics()
        trainer.run_callbacks("on_train_end")
        for loader in (trainer.train_loader, trainer.test_loader):
            if hasattr(loader, "close"):
                loader.close()


def take_over(model: "YOLO") -> None:
    """Give the model its best weights after `Finished`, as `Model.train` does when the trainer returns."""
    from ultralytics.nn.tasks import load_checkpoint

    trainer = model.trainer
    weights = trainer.best if trainer.best.exists() else trainer.last
    model.model, model.ckpt = load_checkpoint(weights)
    model.predictor = None
    model.metrics = trainer.validator.metrics
