"""What is used of Ultralytics' objects, by name. They are untyped: this is where `Any` ends.

https://docs.ultralytics.com/usage/callbacks describes what a trainer has at which event; what of it is private, or is
written to, stands in `patch_register`.
"""

from collections.abc import Callable, Mapping, Sized
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from ultralytics import YOLO as YOLO
else:
    YOLO = Any


class Loader(Protocol):
    """Batches of a dataset; its length is their number."""

    dataset: Any
    collate_fn: Callable[[list[Any]], Any] | None

    def __len__(self) -> int: ...


class Stopper(Protocol):
    """Ends a training that no longer improves."""

    best_epoch: int
    patience: float


class Validator(Protocol):
    """One validation, or the final evaluation (`training` is False then)."""

    args: Any
    batch_i: int
    data: Mapping[str, Any]
    dataloader: Sized
    device: Any
    metrics: Any
    training: bool

    def init_metrics(self, model: Any) -> None: ...
    def on_plot(self, name: Any, data: Any = None) -> None: ...
    def postprocess(self, predictions: Any) -> Any: ...
    def preprocess(self, batch: dict[str, Any]) -> dict[str, Any]: ...


class Trainer(Protocol):
    """One training. Epochs are counted from 0 here."""

    accumulate: int
    args: Any
    amp: Any
    batch_size: int
    best: Path
    best_fitness: float | None
    data: dict[str, Any]
    device: Any
    ema: Any
    epoch: int
    epochs: int
    fitness: float | None
    last: Path
    lr: Mapping[str, Any]
    metrics: Mapping[str, Any]
    model: Any
    optimizer: Any
    save_dir: Path
    scaler: Any
    start_epoch: int
    stop: bool
    stopper: Stopper
    test_loader: Loader
    tloss: Any
    train_loader: Loader
    validator: Validator | None
    world_size: int

    def add_callback(self, event: str, callback: Callable[[Any], None]) -> None: ...
    def build_dataset(self, img_path: Any, mode: str = "train", *arguments: Any, **named: Any) -> Any: ...
    def final_eval(self) -> None: ...
    def get_validator(self) -> Validator: ...
    def label_loss_items(self, loss_items: Any, prefix: str = "train") -> Mapping[str, Any]: ...
    def on_plot(self, name: Any, data: Any = None) -> None: ...
    def optimizer_step(self) -> None: ...
    def preprocess_batch(self, batch: Any) -> Any: ...
    def plot_metrics(self) -> None: ...
    def run_callbacks(self, event: str) -> None: ...
