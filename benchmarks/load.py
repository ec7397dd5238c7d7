"""The load client and what it takes to run it: many subscribers of one stream, in one C process.

`fanout_client.c` says what it checks. Python would need more CPU to read the events than the servers to send them.
"""

import json
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

HERE = Path(__file__).parent
#: Seconds that a process gets to leave when it is told to.
LEAVE_SECONDS = 20


@dataclass(frozen=True)
class Received:
    """What the subscribers got, together."""

    #: Events that were made after all had subscribed.
    received: int
    #: Ids that were not the last one plus one, history included.
    gaps: int
    #: Streams that the server ended.
    closed: int
    #: Events of the subscriber that got fewest, and of the one that got most.
    fewest: int
    most: int
    body_bytes: int
    p50_ms: float
    p99_ms: float


def compile_c(name: str, folder: Path) -> Path:
    """Compile `benchmarks/<name>.c` into the folder; returns the program."""
    program = folder / name
    subprocess.run(["cc", "-O2", "-o", program, HERE / f"{name}.c"], check=True)
    return program


def raise_file_limit() -> None:
    """Let this process open as many files as it may; a subscriber is one."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@contextmanager
def process(command: list[Any], **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command beside us and end it with the block. Its stdin and stdout are pipes."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, **options) as started:
        try:
            yield started
        finally:
            started.terminate()
            try:
                started.wait(LEAVE_SECONDS)
            except subprocess.TimeoutExpired:
                started.kill()


def tell(started: subprocess.Popen[bytes]) -> None:
    """Send the line that the process waits for."""
    assert started.stdin is not None
    started.stdin.write(b"\n")
    started.stdin.flush()


def expect(source: IO[bytes] | None, word: str) -> str:
    """The rest of the next line that begins with `word`. Raises EOFError: when the source ends before."""
    assert source is not None
    for line in source:
        if line.decode(errors="replace").startswith(word):
            return line.decode(errors="replace").removeprefix(word).strip()
    raise EOFError(f"the process ended before it said {word!r}")


class Subscribers:
    """The client process: `first` subscribers at once, `total` after `connect_rest`.

    With `events` they receive until each has so many, without until the server ends their streams.
    """

    def __init__(self, started: subprocess.Popen[bytes]) -> None:
        self._process = started

    @classmethod
    @contextmanager
    def of(
        cls, program: Path, port: int, path: str, *, first: int, total: int, events: int = 0
    ) -> "Iterator[Subscribers]":
        """Connect the first ones; all leave with the block."""
        with process([program, str(port), path, str(first), str(total), str(events)]) as started:
            expect(started.stdout, "connected")
            yield cls(started)

    def connect_rest(self) -> None:
        """Return when all are subscribed."""
        tell(self._process)
        expect(self._process.stdout, "connected")

    def result(self) -> Received:
        """Wait until they have received all they came for."""
        return Received(**json.loads("{" + expect(self._process.stdout, "{")))
