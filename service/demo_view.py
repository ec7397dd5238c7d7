"""What the demo shows of a training: a plain line per epoch, or bars on a terminal.

It reads events as any client does, and knows nothing of the service or of HTTP.
"""

from collections import deque
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Column

from service.events import EpochEnd, Event, Tick, TrainEnd

#: Lines of the training's log that are kept for when it fails.
LOG_LINES = 20
MAP50 = "metrics/mAP50(B)"


class View:
    """Shows events as one plain line per epoch, and remembers what is asked for at the end."""

    def __init__(self, console: Console) -> None:
        self._console = console
        #: The newest tick; and how the training ended, once it has.
        self._tick: Tick | None = None
        self._end: TrainEnd | None = None
        #: The training's last log lines.
        self.log: deque[str] = deque(maxlen=LOG_LINES)

    def take(self, event: Event) -> None:
        match event["event"]:
            case "tick":
                self._tick = event
            case "train_end":
                self._end = event
            case "log":
                self.log.extend(event["lines"])
        self._show(event)

    def weights(self) -> str | None:
        """Path of the best weights, or else of the last ones."""
        return (self._end["weights"]["best"] or self._end["weights"]["last"]) if self._end else None

    def _show(self, event: Event) -> None:
        if event["event"] == "epoch_end":
            numbers = (_map50(event), _losses(event["train_losses"]), _rate(event), self._remaining())
            self._console.out(_joined(f"epoch {event['epoch']}/{event['total_epochs']}", *numbers))

    def _remaining(self) -> str:
        """Of the whole training, as the newest tick has it."""
        seconds = self._tick["remaining_seconds"] if self._tick else None
        return "" if seconds is None else f"{round(seconds) // 60}:{round(seconds) % 60:02} left"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Nothing to undo: lines stay."""


class Bars(View):
    """A bar for the epochs and one for the batches of the running epoch, on a terminal."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        text = TextColumn("{task.fields[text]}", table_column=Column(no_wrap=True, overflow="ellipsis"))
        bar = BarColumn(16)  # characters: leaves room for three losses in a terminal of 80
        self._progress = Progress(
            TextColumn("{task.description}"), bar, MofNCompleteColumn(), text, console=console, refresh_per_second=4
        )
        self._epochs = self._progress.add_task("epochs", total=None, text="starting the service")
        self._batches = self._progress.add_task("batches", total=None, text="", visible=False)

    def _show(self, event: Event) -> None:
        match event["event"]:
            case "queued":
                self._progress.update(self._epochs, text="queued")
            case "started":
                self._progress.update(self._epochs, text="preparing data and model")
            case "tick":
                if event["batches"] is not None:  # None: the training is still being set up
                    self._show_batches(event, event["batches"])
            case "epoch_end":
                self._show_epochs(event, event["epoch"], self._remaining())
            case "train_end":
                self._show_epochs(event, event["epoch"], event["reason"])

    def _show_batches(self, tick: Tick, total: int) -> None:
        self._show_epochs(tick, tick["epoch"] - 1, self._remaining())
        text = _joined(_losses(tick["losses"]), _rate(tick))
        self._progress.update(self._batches, completed=tick["batch"], total=total, text=text, visible=True)

    def _show_epochs(self, event: Tick | EpochEnd | TrainEnd, completed: int, text: str) -> None:
        text = _joined(_map50(event), text)
        self._progress.update(self._epochs, completed=completed, total=event["total_epochs"], text=text)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._progress.stop()


def _map50(event: Tick | EpochEnd | TrainEnd) -> str:
    value = event["metrics"].get(MAP50)
    return "" if value is None else f"mAP50 {value:.3f}"


def _losses(losses: dict[str, float | None]) -> str:
    named = [f"{name.removesuffix('_loss')} {value:.2f}" for name, value in losses.items() if value is not None]
    return " ".join(["losses", *named]) if named else ""


def _rate(event: Tick | EpochEnd) -> str:
    rate = event["images_per_second"]
    return "" if rate is None else f"{rate:.0f} images/s"


def _joined(*parts: str) -> str:
    return "  ".join(filter(None, parts))
