"""python -m benchmarks.fanout [--subscribers 1000] [--rounds 3]

What one delivered event costs the server: CPU microseconds (user and system time of the whole server process) per
event and subscriber, for the service, for what it falls back to, for sse-starlette as one uses it, and for a C program
that only writes. Every subscriber must get every event once and in order, or the run fails. Needs a C compiler.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from benchmarks.fanout_servers import PATH
from benchmarks.load import Received, Subscribers, compile_c, expect, process, raise_file_limit, tell

#: Server → how the table calls it.
NAMES = {
    "floor": "C floor: write() only",
    "service": "service",
    "hub": "service, its hub alone (no log)",
    "fallback": "service, fallback: stock class",
    "lean": "sse-starlette, queue each, leanest",
    "plain": "sse-starlette, queue each, README's way",
}
COLUMNS = (
    "µs per delivery",
    "user + system",
    "× C floor",
    "× leanest",
    "× README's",
    "KiB per idle subscriber",
    "µs per subscription",
    "p50 ms",
    "p99 ms",
    "received / due",
)
#: User seconds, system seconds and resident bytes of a process.
Usage = tuple[float, float, int]
#: Length of a frame, as the service's own ones.
FRAME_BYTES = 300


@dataclass(frozen=True)
class Run:
    """One server, once."""

    user_us: float
    system_us: float
    subscribe_us: float
    #: Resident memory of an idle subscriber.
    subscriber_kib: float
    received: Received

    @property
    def delivery_us(self) -> float:
        return self.user_us + self.system_us


def main() -> None:
    arguments = _arguments()
    raise_file_limit()
    runs: dict[str, list[Run]] = {kind: [] for kind in arguments.only}
    with tempfile.TemporaryDirectory(prefix="fanout-") as name:
        folder = Path(name)
        for program in ("fanout_floor", "fanout_client"):
            compile_c(program, folder)
        for number in range(arguments.rounds):
            for kind in arguments.only:
                runs[kind].append(measure(kind, folder, arguments))
                print(f"round {number + 1}  {NAMES[kind]:39}{runs[kind][-1].delivery_us:7.1f} µs", file=sys.stderr)
    print(table(runs, arguments))


def measure(kind: str, folder: Path, arguments: argparse.Namespace) -> Run:
    """Start a server, subscribe, publish; raises RuntimeError when an event is lost, doubled or out of order."""
    total = arguments.subscribers
    first = max(1, total // 10)  # what these cost is start-up, not a subscriber's price
    with (
        serving(kind, folder, arguments) as (server, port),
        Subscribers.of(
            folder / "fanout_client", port, PATH, first=first, total=total, events=arguments.events
        ) as subscribers,
    ):
        watched = psutil.Process(server.pid)
        few = settled(watched)
        subscribers.connect_rest()
        all_of_them = settled(watched)
        tell(server)
        received = subscribers.result()
        user, system, _ = (a - b for a, b in zip(usage(watched), all_of_them, strict=True))
    check(kind, received, total, arguments.events)
    _, _, grown = (a - b for a, b in zip(all_of_them, few, strict=True))
    cpu = sum(all_of_them[:2]) - sum(few[:2])
    per_delivery, per_subscriber = 1e6 / received.received, 1 / max(1, total - first)
    return Run(
        user * per_delivery, system * per_delivery, cpu * 1e6 * per_subscriber, grown / 1024 * per_subscriber, received
    )


@contextmanager
def serving(kind: str, folder: Path, arguments: argparse.Namespace) -> Iterator[tuple[Any, int]]:
    """The server's process and its port, once it is warm."""
    pace = [str(arguments.events), str(arguments.rate)]
    with tempfile.TemporaryDirectory(dir=folder) as data:
        command: list[Any] = [sys.executable, "-m", "benchmarks.fanout_servers", kind, *pace, data]
        if kind == "floor":
            command = [folder / "fanout_floor", *pace, str(FRAME_BYTES)]
        with process(command) as server:
            yield server, int(expect(server.stdout, "listening"))


def settled(watched: psutil.Process) -> Usage:
    """Its usage once it is idle: what is to be done for new subscribers is done."""
    before, now = None, usage(watched)
    while before is None or before[:2] != now[:2]:
        time.sleep(0.2)  # another process's idleness can only be looked at
        before, now = now, usage(watched)
    return now


def usage(watched: psutil.Process) -> Usage:
    times = watched.cpu_times()
    return times.user, times.system, watched.memory_info().rss


def check(kind: str, received: Received, subscribers: int, events: int) -> None:
    whole = received.received == subscribers * events and received.fewest == received.most == events
    if not whole or received.gaps or received.closed:
        raise RuntimeError(f"{NAMES[kind]}: {subscribers * events} deliveries were due: {received}")


# The table


def table(runs: dict[str, list[Run]], arguments: argparse.Namespace) -> str:
    """Markdown: medians of the rounds."""
    title = f"{arguments.subscribers} subscribers, {arguments.events} events at {arguments.rate:g} a second"
    lines = [f"{title}, medians of {arguments.rounds} interleaved runs", "", _line("server", COLUMNS)]
    lines.append(_line("---", ["---"] * len(COLUMNS)))
    return "\n".join(lines + [row(kind, runs, arguments.subscribers * arguments.events) for kind in runs])


def row(kind: str, runs: dict[str, list[Run]], due: int) -> str:
    def middle(name: str) -> float:
        return median(getattr(run, name) for run in runs[kind])

    latency = [median(getattr(run.received, name) for run in runs[kind]) for name in ("p50_ms", "p99_ms")]
    cells = [
        f"{middle('delivery_us'):.1f}",
        f"{middle('user_us'):.1f} + {middle('system_us'):.1f}",
        ratio(runs, kind, "floor"),
        ratio(runs, kind, "lean"),
        ratio(runs, kind, "plain"),
        f"{middle('subscriber_kib'):.1f}",
        f"{middle('subscribe_us'):.0f}",
        f"{latency[0]:.1f}",
        f"{latency[1]:.1f}",
        f"{min(run.received.received for run in runs[kind])} / {due}",
    ]
    return _line(NAMES[kind], cells)


def _line(first: str, cells: Sequence[str]) -> str:
    return "| " + " | ".join([first, *cells]) + " |"


def ratio(runs: dict[str, list[Run]], kind: str, to: str) -> str:
    """The median of the rounds' ratios: neighbours in time share whatever else the machine did."""
    if to not in runs:
        return "–"
    return f"{median(a.delivery_us / b.delivery_us for a, b in zip(runs[kind], runs[to], strict=True)):.2f}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fanout")
    parser.add_argument("--subscribers", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rate", type=float, default=20.0, help="events per second")
    parser.add_argument("--seconds", type=float, default=8.0, help="of publishing")
    parser.add_argument("--only", nargs="+", choices=NAMES, default=list(NAMES), help="some of the servers")
    arguments = parser.parse_args()
    arguments.events = round(arguments.rate * arguments.seconds)
    return arguments


if __name__ == "__main__":
    main()
