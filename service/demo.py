"""`python -m service demo`: what a user would do, in one command.

It starts the service, trains on generated shapes through HTTP and follows its own event stream. Of the service it knows
the command line, the HTTP answers and the event types only: it is also a small example of a client.
"""

import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any, Self

import httpx
import typer
from httpx_sse import ServerSentEvent, connect_sse
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from service.events import FINAL_TYPES, Event

HOST = "127.0.0.1"
#: Begins the line of the service's log that says where it listens.
LISTENING = "listening on "
#: Seconds until the service listens, and until it has left before it is killed (it ends its workers first).
START_SECONDS = 60.0
LEAVE_SECONDS = 20.0
#: A POST waits while the service warms up, up to 120 s; a stream brings a heartbeat every 15 s.
POST_TIMEOUT = httpx.Timeout(10.0, read=150.0)
STREAM_TIMEOUT = httpx.Timeout(10.0, read=60.0)
#: Seconds between connections until the service has named its own number.
RETRY_SECONDS = 2.0
#: Lines of a log, the job's or the service's, that are shown when something went wrong.
LOG_LINES = 20
MAP50 = "metrics/mAP50(B)"

#: Takes one event for display.
Show = Callable[[Event], None]


class DemoFailed(Exception):
    """The service cannot be used; the message says why."""


def run(
    data_dir: Annotated[
        Path, typer.Option(envvar="YOLO_TRAINER_DATA_DIR", help="Folder of everything the service keeps.")
    ] = Path("var"),
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the service; 0 takes a free one.")] = 0,
    epochs: Annotated[int | None, typer.Option(min=1, help="Epochs to train; enough for a good model if unset.")] = None,
) -> None:
    """Start the service, train on generated data, and show the training live."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)  # as Ctrl-C: the service must not be left behind
    folder = data_dir.expanduser().absolute()
    console = Console(highlight=False)
    with _Service(folder, port) as service:
        try:
            completed = _train(service, folder, epochs, console)
        except (DemoFailed, httpx.TransportError) as error:
            _complain(str(error), service.lines)
            completed = False
    raise typer.Exit(0 if completed else 1)


def _train(service: "_Service", folder: Path, epochs: int | None, console: Console) -> bool:
    """Train one model and show it; whether it was completed."""
    newest: dict[str, Event] = {}  # of each type
    log: deque[str] = deque(maxlen=LOG_LINES)
    with _view(console, newest) as show, httpx.Client(timeout=POST_TIMEOUT, trust_env=False) as client:
        client.base_url = httpx.URL(service.address())
        job_id = _submit(client, folder, epochs)
        page = f"{service.address()}/#{job_id}"
        console.out(f"page     {page}")

        def take(event: Event) -> None:
            newest[event["event"]] = event
            log.extend(event.get("lines", ()))
            show(event)

        final = _follow(service, client, job_id, take)
    if final["event"] != "completed":
        _complain(f"{final['event']}: {final.get('error') or final.get('reason')}", log)
        return False
    again = f"{Path(sys.executable).name} -m service serve --data-dir {folder} --port {httpx.URL(page).port}"
    weights = newest.get("train_end", {}).get("weights", {})
    score = final.get("metrics", {}).get(MAP50)
    console.out(f"weights  {weights.get('best') or weights.get('last')}")
    console.out(f"page     {page} (again with `{again}`)")
    console.out("mAP50 was not reported" if score is None else f"mAP50 {score:.3f}")
    return True


def _complain(reason: str, log: deque[str]) -> None:
    typer.echo("\n".join(["last lines of the log:", *(f"  {line}" for line in log)] if log else []), err=True)
    typer.echo(f"error: {reason}", err=True)


# The client


def _submit(client: httpx.Client, folder: Path, epochs: int | None) -> str:
    """Draw the dataset, ask for the training; the job's id."""
    from AI.examples import shapes  # imports numpy, which `serve` can do without

    try:
        data = shapes.generate(folder / "demo")
    except OSError as error:
        raise DemoFailed(f"the dataset cannot be drawn: {error}") from None
    hyperparameters = {**shapes.HYPERPARAMETERS, **({"epochs": epochs} if epochs else {})}
    payload = {"model": shapes.MODEL, "hyperparameters": hyperparameters, "fit_params": {"data": str(data)}}
    answer = client.post("/train", json=payload)
    if answer.status_code != httpx.codes.ACCEPTED:
        raise DemoFailed(f"the training was refused: {answer.text}")
    return str(answer.json()["job_id"])


def _follow(service: "_Service", client: httpx.Client, job_id: str, take: Show) -> Event:
    """Hand every event on; the final one. Ctrl-C cancels the job, whose end is then awaited; twice ends the wait."""
    event: Event = {}
    try:
        for event in _events(service, client, job_id):
            take(event)
    except KeyboardInterrupt:
        client.post(f"/jobs/{job_id}/cancel")
        for event in _events(service, client, job_id):
            pass
    return event


def _events(service: "_Service", client: httpx.Client, job_id: str) -> Iterator[Event]:
    """The job's events from the first to the final one, over as many connections as that takes."""
    cursor, retry_seconds = "", RETRY_SECONDS
    while True:
        try:
            for message in _stream(client, job_id, cursor):
                cursor = message.id or cursor  # a tick has no id: it is not in the log
                retry_seconds = retry_seconds if message.retry is None else message.retry / 1000
                if message.data:
                    event = message.json()
                    yield event
                    if event["event"] in FINAL_TYPES:
                        return
        except httpx.TransportError:
            pass  # the end of a stream, however it comes, says nothing about the job
        service.wait(retry_seconds)


def _stream(client: httpx.Client, job_id: str, cursor: str) -> Iterator[ServerSentEvent]:
    """What one connection brings that continues after the event `cursor`."""
    headers = {"Last-Event-ID": cursor} if cursor else {}
    with connect_sse(client, "GET", f"/jobs/{job_id}/events", headers=headers, timeout=STREAM_TIMEOUT) as source:
        if source.response.status_code != httpx.codes.OK:
            raise DemoFailed(f"no events of job {job_id}: status {source.response.status_code}")
        yield from source.iter_sse()


# The display


def _view(console: Console, newest: dict[str, Event]) -> AbstractContextManager[Show]:
    """Bars on a terminal, one line per epoch elsewhere; `newest` holds the newest event of each type."""
    if sys.stdout.isatty() and not console.is_dumb_terminal:
        return _bars(console)

    def show(event: Event) -> None:
        if event["event"] == "epoch_end":
            remaining = _remaining(newest.get("tick", {}))
            parts = (_map50(event), _losses(event["train_losses"]), _rate(event), remaining)
            console.out("  ".join(filter(None, (f"epoch {event['epoch']}/{event['total_epochs']}", *parts))))

    return nullcontext(show)


@contextmanager
def _bars(console: Console) -> Iterator[Show]:
    """One bar for the epochs, one for the batches of the running epoch."""
    columns = (TextColumn("{task.description:8}"), BarColumn(24), MofNCompleteColumn(), TextColumn("{task.fields[text]}"))
    with Progress(*columns, console=console, refresh_per_second=4) as progress:
        epochs = progress.add_task("starting", total=None, text="")
        batches = progress.add_task("", total=None, text="", visible=False)

        def show(event: Event) -> None:
            if event["event"] == "tick":
                done, text = max(event["epoch"] - 1, 0), "  ".join(filter(None, (_map50(event), _remaining(event))))
                total = event["total_epochs"] if event["epoch"] else None  # 0: still being set up
                progress.update(epochs, completed=done, total=total, text=text)
                text = "  ".join(filter(None, (_losses(event["losses"]), _rate(event))))
                is_set_up = event["batches"] is not None
                progress.update(
                    batches, completed=event["batch"], total=event["batches"], text=text, visible=is_set_up
                )
            elif event["event"] == "epoch_end":
                progress.update(epochs, completed=event["epoch"], total=event["total_epochs"], text=_map50(event))
            ...

        yield show


def _map50(event: Event) -> str:
    value = event["metrics"].get(MAP50)
    return "" if value is None else f"mAP50 {value:.3f}"


def _losses(losses: dict[str, float | None]) -> str:
    return "  ".join(f"{name} {value:.3f}" for name, value in losses.items() if value is not None)


def _rate(event: Event) -> str:
    rate = event["images_per_second"]
    return "" if rate is None else f"{rate:.0f} images/s"


def _remaining(tick: Event) -> str:
    seconds = tick.get("remaining_seconds")
    return "" if seconds is None else f"{seconds // 60:.0f}:{seconds % 60:02.0f} left"
