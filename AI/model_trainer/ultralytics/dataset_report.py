"""Reports what is in a training's dataset, and ends the training where that is not good enough."""

import logging
from typing import Any

from AI.model_trainer.errors import InvalidDataset
from AI.model_trainer.events import DatasetRead
from AI.model_trainer.listener import Listener, telemetry
from AI.model_trainer.ultralytics.census import Counter, complain, explain
from AI.model_trainer.ultralytics.dataset_scan import Scan, recorded
from AI.model_trainer.ultralytics.hooks import Hooks
from AI.model_trainer.ultralytics.objects import Trainer
from AI.model_trainer.ultralytics.patches import on_one

logger = logging.getLogger(__name__)


class DatasetReport:
    """Tells `listener` of one training's dataset, when its splits are read or when it cannot be trained on.

    With `strict` it ends the training where an image is dropped or a warning is due. The training's thread owns it; it
    draws no random numbers. It holds plain data until the training starts, as hooks of a multi-GPU run must.
    """

    def __init__(self, listener: Listener, strict: bool) -> None:
        self.listener = listener
        self._strict = strict
        self._counter = Counter()
        self._told = False

    def hooks(self) -> Hooks:
        """Ultralytics callbacks."""
        return [("on_pretrain_routine_start", self._setup_start), ("teardown", self._tell)]

    def _setup_start(self, trainer: Trainer) -> None:
        """Hear of each dataset that the trainer makes. The wrapper lies on the one object."""
        stock = trainer.build_dataset

        def build_dataset(img_path: Any, mode: str = "train", *arguments: Any, **named: Any) -> Any:
            name = "train" if mode == "train" else str(trainer.args.split or "val")
            with recorded() as scans:
                try:
                    dataset = stock(img_path, mode, *arguments, **named)
                except (ValueError, RuntimeError) as error:
                    if fault := self._count(name, scans) or explain(name, scans, error):
                        raise fault from error
                    raise
            if fault := self._count(name, scans, dataset):
                raise fault
            if name != "train":
                self._tell(trainer)
                self._insist(trainer)
            return dataset

        on_one(trainer, "ultralytics.engine.trainer:BaseTrainer.build_dataset", build_dataset)

    def _count(self, name: str, scans: list[Scan], dataset: Any = None) -> InvalidDataset | None:
        """Count a split; that nothing is left of it. A mistake of ours ends no training."""
        try:
            return self._counter.add(name, scans, dataset)
        except Exception:
            self.listener.complain()
            return None

    def _insist(self, trainer: Trainer) -> None:
        if self._strict and (fault := complain(self._counter.census(trainer.data["names"]))):
            raise fault

    @telemetry
    def _tell(self, trainer: Trainer) -> None:
        if self._told or not self._counter.splits:
            return
        self._told = True
        census = self._counter.census(trainer.data["names"])
        for text in census["warnings"]:
            logger.warning("%s", text, extra={"action": "dataset"})
        event: DatasetRead = {
            "event": "dataset",
            "epoch": 0,
            "total_epochs": int(trainer.args.epochs),
            "metrics": {},
            "save_dir": str(trainer.save_dir),
            **census,
        }
        self.listener.tell(event)
