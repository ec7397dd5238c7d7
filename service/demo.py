"""`python -m service demo`: what a user would do, in one command.

It starts the service, trains on generated shapes through HTTP and follows its own event stream. Of the service it knows
the command line, the HTTP answers and the event types only: it is also a small example of a client.
"""

import contextlib
import select
import shlex
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

import httpx
import orjson
from httpx_sse import ServerSentEvent, connect_sse
from pydantic import Field
from rich.console import Console

from service.command_line import Command
from service.demo_view import LOG_LINES, MAP50, Bars, View
from service.events import Completed, Event, FinalEvent
from service.settings import Settings

HOST = "127.0.0.1"
#: Where the packages `service` and `AI` lie.
ROOT = Path(__file__).parent.parent
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
#: Seconds for which the demo, in a terminal, waits for an answer whether it is to stay.
OFFER_SECONDS = 30.0


class DemoFailed(Exception):
    """The demo cannot go on; the message says why."""


class Demo(Command):
    """Start the service, train on generated data, and show the training live."""

    data_dir: Path = Field(
        default_factory=lambda: Settings().data_dir,
        description="Folder of everything the service keeps; default: as for serve.",
    )
    port: int = Field(0, ge=0, le=65535, description="Port of the service; 0 takes a free one.")
    epochs: int | None = Field(None, ge=1, description="Epochs to train; if not given, enough.")

    def cli_cmd(self) -> None:
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.default_int_handler)  # as Ctrl-C: the service must not be left behind
        folder = self.data_dir.expanduser().absolute()
        with _Service(folder, self.port) as service:
            try:
                completed = _demonstrate(service, folder, self.epochs)
                if completed and _is_to_stay():
                    _stay(service)
            except (DemoFailed, httpx.TransportError) as error:
                _complain(str(error) or type(error).__name__, service.log)
                completed = False
        sys.exit(0 if completed else 1)


def _demonstrate(service: "_Service", folder: Path, epochs: int | None) -> bool:
    """Train one model and show it; whether it was completed."""
    console = Console(highlight=False)
    is_terminal = sys.stdout.isatty() and not console.is_dumb_terminal
    with Bars(console) if is_terminal else View(console) as view:
        address = service.address()
        with httpx.Client(base_url=address, timeout=POST_TIMEOUT, trust_env=False) as client:
            job_id = _submit(client, folder, epochs)
            page = f"{address}/#{job_id}"
            console.out(f"page     {page}")
            final = _follow(service, client, job_id, view)
    if final["event"] == "completed":
        console.out(f"weights  {view.weights()}")
        console.out(f"page     {page}, once more with:\n{_serve_command(folder, httpx.URL(address).port)}")
        _print_map50(final)
    elif final["event"] == "cancelled":
        _complain("the training was cancelled")
    else:
        _complain(f"the training failed ({final['reason']}): {final['error']}", view.log)
    return final["event"] == "completed"


def _serve_command(folder: Path, port: int | None) -> str:
    """The line for a shell that serves this folder again, from whatever folder it is typed in."""
    command = shlex.join([sys.executable, "-m", "service", "serve", "--data-dir", str(folder), "--port", str(port)])
    # A checkout need not be installed: Python then finds it in the current folder alone.
    return f"cd {shlex.quote(str(ROOT))} && {command}" if (ROOT / "pyproject.toml").exists() else command


def _is_to_stay() -> bool:
    """Ask whether the page is to stay open; no where nobody can answer, or nobody does."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    _say(f"keep the page open? [y/N] (no after {OFFER_SECONDS:.0f} s) ", end="")
    answered, _, _ = select.select([sys.stdin], [], [], OFFER_SECONDS)
    if not answered:
        _say("")
    return bool(answered) and sys.stdin.readline().strip().lower() in ("y", "yes")


def _stay(service: "_Service") -> None:
    """Leave the service as it is until Ctrl-C. Raises DemoFailed: when it ends by itself."""
    _say("the page stays open; Ctrl-C ends the service")
    with contextlib.suppress(KeyboardInterrupt):
        service.wait(None)


def _print_map50(completed: Completed) -> None:
    """The promised line, for people and scripts: no colours, nothing else in it."""
    value = completed.get("metrics", {}).get(MAP50)
    print("mAP50 was not reported" if value is None else f"mAP50 {value:.3f}", flush=True)  # noqa: T201


def _complain(reason: str, log: Iterable[str] = ()) -> None:
    for line in log:
        _say(f"  {line}")
    _say(f"error: {reason}")


def _say(text: str, end: str = "\n") -> None:
    print(text, end=end, file=sys.stderr, flush=True)  # noqa: T201 (beside the result, which is on stdout)


# The client


def _submit(client: httpx.Client, folder: Path, epochs: int | None) -> str:
    """Draw the dataset and ask for the training; the job's id."""
    from AI.examples import shapes  # imports numpy, which `serve` does without

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


def _follow(service: "_Service", client: httpx.Client, job_id: str, view: View) -> FinalEvent:
    """Show every event; the final one. Ctrl-C cancels the job and waits for its end; a second one does not wait."""
    with _on_interrupt(lambda: _cancel(client, job_id)):
        for event in _events(service, client, job_id):
            view.take(event)
            if event["event"] == "completed" or event["event"] == "failed" or event["event"] == "cancelled":
                return event
    raise DemoFailed("the stream ended before its training did")


def _cancel(client: httpx.Client, job_id: str) -> None:
    _say("cancelling the training")
    with contextlib.suppress(httpx.TransportError):  # the stream says what becomes of the job, or of the service
        client.post(f"/jobs/{job_id}/cancel")


@contextlib.contextmanager
def _on_interrupt(act: Callable[[], None]) -> Iterator[None]:
    """Act on the first Ctrl-C, in a thread: an exception could come up where it is swallowed. The second one raises."""

    def handle(number: int, at: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        threading.Thread(target=act, name="interrupt", daemon=True).start()

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _events(service: "_Service", client: httpx.Client, job_id: str) -> Iterator[Event]:
    """The job's events from the first one on, over as many connections as that takes, until nobody asks for more."""
    cursor, retry_seconds = "", RETRY_SECONDS
    while True:
        try:
            for message in _stream(client, job_id, cursor):
                cursor = message.id or cursor  # a tick has no id: it is not in the log
                retry_seconds = retry_seconds if message.retry is None else message.retry / 1000
                event: Event = orjson.loads(message.data)
                yield event
        except httpx.TransportError:
            pass  # how a stream ends says nothing about the job
        service.wait(retry_seconds)


def _stream(client: httpx.Client, job_id: str, cursor: str) -> Iterator[ServerSentEvent]:
    """What one connection brings, from the event after `cursor`."""
    headers = {"Last-Event-ID": cursor} if cursor else {}
    with connect_sse(client, "GET", f"/jobs/{job_id}/events", headers=headers, timeout=STREAM_TIMEOUT) as source:
        if source.response.status_code != httpx.codes.OK:
            raise DemoFailed(f"there is no stream of job {job_id}: status {source.response.status_code}")
        yield from source.iter_sse()


# The service


class _Service:
    """The service in a process of its own, and its last log lines. The process is gone after the `with` block."""

    def __init__(self, folder: Path, port: int) -> None:
        self.log: deque[str] = deque(maxlen=LOG_LINES)
        self._address: Future[str] = Future()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "service", "serve", "--host", HOST, "--port", str(port), "--data-dir", str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            # A terminal sends Ctrl-C to its whole group: the service is to stay until the job is cancelled.
            process_group=0,
        )
        # It reads to the end: a full pipe would stop the service.
        threading.Thread(target=self._read, name="service-log", daemon=True).start()

    def address(self) -> str:
        """Where the service listens, once it does. Raises DemoFailed: when it does not."""
        try:
            return self._address.result(START_SECONDS)
        except TimeoutError:
            raise DemoFailed(f"the service does not listen after {START_SECONDS:.0f} s") from None

    def wait(self, seconds: float | None) -> None:
        """Let some time pass, or None: all there is. Raises DemoFailed: as soon as the process is gone."""
        try:
            code = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return
        raise DemoFailed(f"the service ended with exit code {code}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            self._process.terminate()
            self._process.wait(LEAVE_SECONDS)
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            self._process.kill()  # its workers see that it is gone and end themselves
            self._process.wait()

    def _read(self) -> None:
        for line in self._process.stdout or ():
            self.log.append(line.rstrip())
            if line.startswith(LISTENING) and not self._address.done():
                self._address.set_result(line.removeprefix(LISTENING).strip())
        if not self._address.done():
            self._address.set_exception(DemoFailed("the service ended before it listened"))
