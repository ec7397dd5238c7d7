"""The finer events of a training: its phases, checkpoints and pictures (`events="all"`).

Like `progress_events`, this is where Ultralytics' untyped trainer and validator are read.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from AI.model_trainer.events import Checkpoint, ClassResult, ClassResults, Phase, Picture, Resumed, Where, finite
from AI.model_trainer.listener import Listener, telemetry
from AI.model_trainer.ultralytics import patches, plot_files
from AI.model_trainer.ultralytics.checkpoint_keeper import Keeper
from AI.model_trainer.ultralytics.exact_resume import ExactResume
from AI.model_trainer.ultralytics.hooks import Hooks, Saved, saved
from AI.model_trainer.ultralytics.objects import Trainer, Validator


class Details:
    """Reports phases, checkpoints and pictures of one training to `listener`; `where` says where it stands.

    The training's thread owns it. Pictures are told from the threads that draw them, as each file is closed.
    """

    def __init__(self, listener: Listener, where: Callable[[], Where], keeper: Keeper, exact: ExactResume) -> None:
        self.listener = listener
        self._where = where
        self._keeper = keeper
        self._exact = exact
        self._phase: str | None = None

    def hooks(self) -> Hooks:
        """Ultralytics callbacks from `begin` on, for the trainer."""
        return [
            ("on_pretrain_routine_end", self._setup_end),
            ("on_train_start", self._train_start),
            ("on_train_epoch_start", self._training),
            ("on_val_start", self._validation_start),
            *saved(self._saved),
            ("on_fit_epoch_end", self._epoch_end),
            ("on_train_end", self._train_end),
        ]

    @telemetry
    def begin(self, trainer: Trainer) -> None:
        """What comes next is the check of the dataset."""
        self._watch(trainer, "ultralytics.engine.trainer:BaseTrainer.on_plot")
        self._turn_to("checking_data")

    @telemetry
    def _setup_end(self, trainer: Trainer) -> None:
        # The one validator, for all epochs and the final evaluation.
        self._watch(trainer.validator, "ultralytics.engine.validator:BaseValidator.on_plot")

    @telemetry
    def _train_start(self, _: Any) -> None:
        if verdict := self._exact.verdict:
            event: Resumed = {
                "event": "resumed",
                **self._where(),
                "after_epoch": verdict.after_epoch,
                "exact": verdict.exact,
                "reason": verdict.reason,
            }
            self.listener.tell(event)
        self._turn_to("training")

    @telemetry
    def _training(self, _: Any) -> None:
        self._turn_to("training")

    @telemetry
    def _validation_start(self, validator: Validator) -> None:
        self._turn_to("validating" if validator.training else "finishing")

    @telemetry
    def _saved(self, fact: Saved) -> None:
        kept = self._keeper.newest
        if self._keeper.keeps and kept is None:
            return
        event: Checkpoint = {
            "event": "checkpoint",
            **self._where(),
            "last": str(fact.last),
            "best": str(fact.best) if fact.improved else None,
            "kept": str(kept.last) if kept else None,
            "size_bytes": fact.last.stat().st_size,
            "fitness": finite(fact.fitness),
        }
        self.listener.tell(event)

    @telemetry
    def _epoch_end(self, trainer: Trainer) -> None:
        if trainer.stop:  # what comes next takes the optimizer out of the weights: from here on there are no epochs
            self._turn_to("finishing")

    @telemetry
    def _train_end(self, trainer: Trainer) -> None:
        self._turn_to("finishing")  # without a best.pt there was no final evaluation
        plot_files.wait_for_writers()
        if classes := _class_results(trainer.validator):
            event: ClassResults = {"event": "class_results", **self._where(), "classes": classes}
            self.listener.tell(event)

    def _turn_to(self, phase: Literal["checking_data", "training", "validating", "finishing"]) -> None:
        if phase != self._phase:
            self._phase = phase
            event: Phase = {"event": "phase", "phase": phase, **self._where()}
            self.listener.tell(event)

    # Pictures

    def _watch(self, source: Any, target: str) -> None:
        """Hear of each plot of a trainer or validator: `on_plot` is called when its file has been written and closed.

        The wrapper lies on the one object; the class, and all other trainings, are as they were.
        """
        stock = source.on_plot

        def on_plot(name: Any, data: Any = None) -> None:
            stock(name, data)
            self._picture(Path(name))

        patches.on_one(source, target, on_plot)

    @telemetry
    def _picture(self, path: Path) -> None:
        size = plot_files.measure(path)
        if size is None:  # a newer version is being written over it; that one will be told
            return
        event: Picture = {
            "event": "image",
            **self._where(),
            "path": str(path),
            "name": path.name,
            "kind": plot_files.kind_of(path.name),
            "width": size.width,
            "height": size.height,
            "size_bytes": size.size_bytes,
        }
        self.listener.tell(event)


def _class_results(validator: Validator | None) -> list[ClassResult]:
    """The classes of the last validation; none for a task that does not tell them apart, such as classification.

    `Metric.class_result(i)` gives precision, recall, mAP50 and mAP50-95 of the i-th class that was found
    (`ultralytics/utils/metrics.py` of 8.4.190).
    """
    metrics: Any = getattr(validator, "metrics", None)
    if not hasattr(metrics, "box") or not hasattr(metrics, "nt_per_image"):
        return []
    found: list[ClassResult] = []
    for position, index in enumerate(metrics.ap_class_index):
        precision, recall, map50, map50_95 = (finite(value) for value in metrics.box.class_result(position))
        found.append(
            {
                "name": str(metrics.names[int(index)]),
                "images": int(metrics.nt_per_image[index]),
                "instances": int(metrics.nt_per_class[index]),
                "precision": precision,
                "recall": recall,
                "map50": map50,
                "map50_95": map50_95,
            }
        )
    return found
