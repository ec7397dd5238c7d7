"""What Ultralytics calls back with, as facts: the one place that knows when it calls, and what that means then.

A hook is a function that Ultralytics calls with its trainer, or with its validator, at an event of that name. Hooks of
one event are called in the order in which they were added. Those that a model has before its training starts are sent
to the processes of a multi-GPU run: they hold plain data until then.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from AI.model_trainer.ultralytics.objects import YOLO, Trainer

#: The name of an event, and what is called at it: with the trainer, at `on_val_…` with the validator.
Hook: TypeAlias = tuple[str, Callable[[Any], None]]
Hooks: TypeAlias = list[Hook]


class Part(Protocol):
    """Something that takes part in a training by hooks."""

    def hooks(self) -> Hooks: ...


@dataclass(frozen=True)
class Saved:
    """The epoch's checkpoint is on the disk."""

    #: Counted from 1.
    epoch: int
    #: This epoch is the best so far, or as good: best.pt was written just now as well.
    improved: bool
    last: Path
    best: Path
    fitness: float | None
    #: Of the newest validation, and of the epoch's losses in it.
    metrics: Mapping[str, Any]


@dataclass(frozen=True)
class _SavedHook:
    handle: Callable[[Saved], None]

    def __call__(self, trainer: Trainer) -> None:
        improved = trainer.best_fitness == trainer.fitness  # the condition under which Ultralytics writes best.pt
        paths = (trainer.last, trainer.best)
        self.handle(Saved(trainer.epoch + 1, improved, *paths, trainer.fitness, trainer.metrics))


def saved(handle: Callable[[Saved], None]) -> Hooks:
    """Have `handle` told of each checkpoint."""
    return [("on_model_save", _SavedHook(handle))]


class _EpochEnds:
    def __init__(self, handle: Callable[[Trainer], None]) -> None:
        self._handle = handle
        self._is_in_epoch = False

    def begin(self, _: Trainer) -> None:
        self._is_in_epoch = True

    def end(self, trainer: Trainer) -> None:
        if self._is_in_epoch:  # the final evaluation fires this once more, for an epoch that was never trained
            self._is_in_epoch = False
            self._handle(trainer)


def epoch_ended(handle: Callable[[Trainer], None]) -> Hooks:
    """Have `handle` called when an epoch is trained, validated and saved; not for a pass that is thrown away."""
    ends = _EpochEnds(handle)
    return [("on_train_epoch_start", ends.begin), ("on_fit_epoch_end", ends.end)]


def of(parts: Sequence[Part]) -> Hooks:
    """The hooks of all parts, in the order of the parts."""
    return [hook for part in parts for hook in part.hooks()]


@contextmanager
def registered(model: YOLO, hooks: Hooks) -> Iterator[None]:
    """Have the model call the hooks for as long as this lasts; the next training of the model has its own."""
    for event, hook in hooks:
        model.add_callback(event, hook)
    try:
        yield
    finally:
        for event, hook in hooks:
            with suppress(ValueError):  # a callback of the caller's has cleared the list
                model.callbacks[event].remove(hook)
