"""Going on with a training so that it ends as if it had never been interrupted, bit for bit."""

import importlib.util
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from AI.model_trainer.checkpoints import EXACT
from AI.model_trainer.ultralytics.hooks import Hooks
from AI.model_trainer.ultralytics.objects import Trainer

if TYPE_CHECKING:
    from AI.model_trainer.ultralytics.exact_run import ExactRun

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Verdict:
    """Whether a training that goes on is the one that was interrupted; `reason` says why it is not."""

    after_epoch: int
    reason: str | None = None

    @property
    def exact(self) -> bool:
        return self.reason is None


class ExactResume:
    """Writes a training's whole state beside each checkpoint, and puts a training there that goes on from one.

    `last` is the checkpoint that a training goes on from, after the epoch `done`; None: it begins with the first. With
    `finish` only its evaluation is left. A training goes on in any case: where the state cannot be had, with what
    Ultralytics' checkpoint holds. It holds plain data until the training starts, as hooks of a multi-GPU run must.
    """

    def __init__(self, last: Path | None = None, done: int = 0, finish: bool = False) -> None:
        self._last = last
        self._done = done
        self._finish = finish
        self._run: ExactRun | None = None
        #: Known when the set-up has ended; None: the training begins with the first epoch.
        self.verdict: Verdict | None = None

    def hooks(self) -> Hooks:
        """Ultralytics callbacks."""
        return [("on_pretrain_routine_end", self._setup_end)]

    def write(self, path: Path) -> None:
        """Write the state at an epoch's end to a new file; none, and a warning, where there is no reading it.

        Raises OSError.
        """
        if self._run is None:
            return
        try:
            self._run.write(path)
        except OSError:
            raise
        except Exception:
            logger.exception("the training's whole state could not be kept: a resume from this epoch will not be exact")
            path.unlink(missing_ok=True)

    def _setup_end(self, trainer: Trainer) -> None:
        if trainer.world_size <= 1:
            from AI.model_trainer.ultralytics.exact_run import ExactRun

            self._run = ExactRun(trainer)
        if self._last is not None:
            self.verdict = Verdict(self._done, self._go_on(trainer, self._last.with_name(EXACT)))
            if self.verdict.reason:
                logger.warning("the resume is not exact: %s", self.verdict.reason)
            else:
                logger.info("the resume is exact: epoch %d and all after it are as without it", self._done + 1)

    def _go_on(self, trainer: Trainer, path: Path) -> str | None:
        """Why it is not exact."""
        if self._run is None:
            return "several GPUs train, each with random numbers of its own"
        from AI.model_trainer.ultralytics import exact_state

        try:
            state = exact_state.load(path)
            if state["epoch"] != self._done:
                raise ValueError(f"it is of epoch {state['epoch']}")
            if exact_state.fits(state["conditions"], self._run.conditions):
                self._run.go_on(state)
        except FileNotFoundError:
            return f"there is no {EXACT} beside the checkpoint"
        except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
            return f"{EXACT} beside the checkpoint cannot be used: {error}"
        stopper = trainer.stopper
        if self._done - stopper.best_epoch >= stopper.patience and not self._finish:
            return "it had ended for want of progress, and gets its patience anew"
        return _why_not(trainer) or exact_state.difference(state["conditions"], self._run.conditions)


def _why_not(trainer: Trainer) -> str | None:
    """What makes two runs of a training differ, whether one of them is interrupted or not."""
    if trainer.args.time:
        return "with `time` the clock decides when the training ends, and the learning rate"
    if importlib.util.find_spec("albumentations") is not None:
        return "albumentations is installed, which has random numbers of its own"
    return None
