"""The program that trains, with as many processes for the data as are asked for."""

import functools
from typing import Any

from service.new_events import Result
from service.workers import programs
from service.workers.spec import ShouldStop, TrainSpec
from service.workers.streams import Emit


def train(spec: TrainSpec, emit: Emit, should_stop: ShouldStop) -> Result:
    """Ultralytics uses none on a CPU, whatever it is asked for."""
    from ultralytics.engine.trainer import BaseTrainer

    stock = BaseTrainer.get_dataset

    @functools.wraps(stock)
    def get_dataset(trainer: Any) -> Any:
        trainer.args.workers = spec.hyperparameters.get("workers", 0)
        return stock(trainer)

    setattr(BaseTrainer, "get_dataset", get_dataset)  # noqa: B010 (the process is this training's own)
    return programs.train(spec, emit, should_stop)
