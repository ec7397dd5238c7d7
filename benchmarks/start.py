"""python -m benchmarks.start [--rounds 5] [--epochs 1] [--threads all]

From the wish to train to the first batch, and to the end of the training: a warm service (`POST /train`, watched
through its event stream) beside a cold `yolo train` with the same arguments. The first batch is seen in what either
shows of itself: the service's ticks, the command's progress bar; both are drawn up to ten times a second.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from AI.examples import shapes
from benchmarks.trainer import Trainer

#: The training: small, so that what comes before the first batch is what counts.
ARGUMENTS = {"imgsz": 64, "batch": 16, "workers": 0, "plots": False}
#: Seconds between ticks, the least that the service takes; Ultralytics redraws its bar as often.
TICK_SECONDS = 0.1
#: The bar's line once a batch is done: epoch of epochs, GPU memory, losses.
FIRST_BATCH = re.compile(rb"\s1/\d+\s+\S+G\s+[\d.]+")
#: For either side: what asks the net would be waited for, where there is none.
ENVIRONMENT = {"YOLO_OFFLINE": "1", "YOLO_AUTOINSTALL": "false", "MPLBACKEND": "Agg"}


@dataclass(frozen=True)
class Run:
    """Seconds from the start to the first batch that is done, and to the end."""

    first_batch: float
    whole: float


def main() -> None:
    arguments = _arguments()
    settings = {**ARGUMENTS, "epochs": arguments.epochs}
    warm, cold = [], []
    with tempfile.TemporaryDirectory(prefix="start-") as name:
        folder = Path(name)
        data = shapes.generate(folder / "service" / "demo")
        with Trainer.running(folder / "service", "--threads", arguments.threads) as trainer:
            through_service(trainer, data, {**settings, "epochs": 1})  # the POST waits until the service is warm
            for number in range(arguments.rounds):
                cold.append(through_command(data, settings, folder / f"cold{number}"))
                warm.append(through_service(trainer, data, settings))
                print(f"round {number + 1}  {warm[-1]}  {cold[-1]}", file=sys.stderr)
    print(table(warm, cold, arguments))


def through_service(trainer: Trainer, data: Path, settings: dict[str, Any]) -> Run:
    began = time.monotonic()
    job = trainer.post(shapes.MODEL, settings, {"data": str(data), "tick_interval": TICK_SECONDS})
    first_batch = 0.0
    for came, event in trainer.events(job):
        if not first_batch and (event.get("batch", 0) >= 1 or event["event"] == "epoch_end"):
            first_batch = came - began
        if event["event"] == "completed":
            return Run(first_batch, came - began)
    raise RuntimeError(f"the training did not complete: {event}")


def through_command(data: Path, settings: dict[str, Any], folder: Path) -> Run:
    values = {**settings, "model": shapes.MODEL, "data": data, "project": folder, "name": "run"}
    command = [Path(sys.executable).with_name("yolo"), "detect", "train", *(f"{k}={v}" for k, v in values.items())]
    environment = {**os.environ, **ENVIRONMENT, "YOLO_CONFIG_DIR": str(folder / "config")}
    environment.pop("GITHUB_ACTIONS", None)  # there Ultralytics draws no bar
    (folder / "config").mkdir(parents=True)
    began = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment) as started:
        assert started.stdout is not None
        output, first_batch = b"", 0.0
        while chunk := os.read(started.stdout.fileno(), 65536):
            output += chunk
            if not first_batch and FIRST_BATCH.search(output):
                first_batch = time.monotonic() - began
    if started.returncode or not first_batch:
        raise RuntimeError(f"yolo train: {output.decode(errors='replace')[-2000:]}")
    return Run(first_batch, time.monotonic() - began)


def table(warm: list[Run], cold: list[Run], arguments: argparse.Namespace) -> str:
    """Markdown: medians of the rounds, and the medians of the rounds' ratios."""
    lines = [
        f"{arguments.epochs} epochs, threads {arguments.threads}, medians of {arguments.rounds} interleaved runs",
        "",
        "| from the start to | warm service, s | cold yolo train, s | ratio | aim |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, attribute, aim in (
        ("the first batch", "first_batch", "0.125"),
        ("the end", "whole", "0.35" if arguments.epochs == 1 else "0.8"),
    ):
        ours, theirs = ([getattr(run, attribute) for run in runs] for runs in (warm, cold))
        ratio = median(a / b for a, b in zip(ours, theirs, strict=True))
        lines.append(f"| {name} | {median(ours):.2f} | {median(theirs):.2f} | {ratio:.3f} | {aim} |")
    return "\n".join(lines)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.start")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--threads", default="all", help="of the service's trainings; the command has stock ones")
    return parser.parse_args()


if __name__ == "__main__":
    main()
