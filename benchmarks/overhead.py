"""python -m benchmarks.overhead [--subscribers 100] [--epochs 15]

What streaming costs a training: the CPU seconds that the service's own process takes beside it, over the training's
wall time on all cores, while subscribers watch at two ticks a second. The training is a real one; latencies are from
the moment when the worker made an event until a subscriber had it.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

from AI.examples import shapes
from benchmarks.load import Subscribers, compile_c, raise_file_limit
from benchmarks.trainer import Trainer

#: Two ticks a second.
TICK_SECONDS = 0.5


def main() -> None:
    arguments = _arguments()
    raise_file_limit()
    with tempfile.TemporaryDirectory(prefix="overhead-") as name:
        folder = Path(name)
        client = compile_c("fanout_client", folder)
        data = shapes.generate(folder / "service" / "demo")
        with Trainer.running(folder / "service") as trainer:
            print(measure(trainer, client, data, arguments))


def measure(trainer: Trainer, client: Path, data: Path, arguments: argparse.Namespace) -> str:
    """One training with subscribers, which leave when the service ends their streams."""
    settings = {**shapes.HYPERPARAMETERS, "epochs": arguments.epochs, "plots": False}
    fit_params = {"data": str(data), "tick_interval": TICK_SECONDS}
    list(trainer.events(trainer.post(shapes.MODEL, {**settings, "epochs": 1}, fit_params)))  # warms the service
    job, total = trainer.post(shapes.MODEL, settings, fit_params), arguments.subscribers
    before, began = cpu_seconds(trainer), time.monotonic()
    with Subscribers.of(client, trainer.port, f"{job}/events", first=1, total=total) as subscribers:
        subscribers.connect_rest()
        received = subscribers.result()
    wall, used = time.monotonic() - began, cpu_seconds(trainer) - before
    if received.gaps or received.fewest != received.most:
        raise RuntimeError(f"not everybody got the same: {received}")
    return "\n".join(
        [
            f"{total} subscribers got {received.most} events each in {wall:.1f} s, {received.most / wall:.1f} a second",
            f"the service took {used:.2f} CPU seconds: {used / (wall * os.cpu_count()):.2%} of {os.cpu_count()} cores",
            f"from worker to subscriber: p50 {received.p50_ms:.1f} ms, p99 {received.p99_ms:.1f} ms",
        ]
    )


def cpu_seconds(trainer: Trainer) -> float:
    times = trainer.process.cpu_times()
    return times.user + times.system


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overhead")
    parser.add_argument("--subscribers", type=int, default=100)
    parser.add_argument("--epochs", type=int, default=15)
    return parser.parse_args()


if __name__ == "__main__":
    main()
