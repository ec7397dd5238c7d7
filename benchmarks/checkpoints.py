"""python -m benchmarks.checkpoints [--models n m x] [--epochs 4]

What it costs to keep checkpoints from which a training goes on exactly: seconds of the training's own thread at each
epoch's end, room on the disk, and memory, for models of several sizes. Each training has a process of its own; those
that keep checkpoints and those that do not take turns. Images are few and small: an epoch of theirs is short, the
weights are whole.
"""

import argparse
import json
import multiprocessing
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from AI.examples import shapes

Figures = dict[str, float]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.checkpoints")
    parser.add_argument("--models", nargs="+", default=["n", "m", "x"])
    parser.add_argument("--epochs", type=int, default=4)
    options = parser.parse_args()
    print(
        "| model | million parameters | copy, s | state, s | on the disk, MB | epoch without, s | with, s | peak, MB |"
    )
    print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="checkpoints-") as name:
        data = shapes.generate(Path(name) / "shapes")
        for model in options.models:
            pairs = [(measure(Path(name), data, model, options.epochs, keeps)) for keeps in (False, True) * 2]
            print(row(model, pairs[0::2], pairs[1::2]), flush=True)


def row(model: str, without: list[Figures], with_them: list[Figures]) -> str:
    def median(runs: list[Figures], name: str) -> float:
        return statistics.median(run[name] for run in runs)

    peaks = " to ".join(f"{median(runs, 'peak') / 1e6:.0f}" for runs in (without, with_them))
    cells = [
        f"yolov8{model}",
        f"{median(with_them, 'parameters') / 1e6:.1f}",
        f"{median(with_them, 'keep') - median(with_them, 'state'):.2f}",
        f"{median(with_them, 'state'):.2f}",
        f"{median(with_them, 'bytes') / 1e6:.0f}",
        f"{median(without, 'epoch'):.2f}",
        f"{median(with_them, 'epoch'):.2f}",
        peaks,
    ]
    return f"| {' | '.join(cells)} |"


def measure(folder: Path, data: Path, model: str, epochs: int, keeps: bool) -> Figures:
    """One training in a new process."""
    context = multiprocessing.get_context("spawn")
    reader, writer = context.Pipe(duplex=False)
    process = context.Process(target=train, args=(writer, folder, data, model, epochs, keeps))
    process.start()
    writer.close()
    try:
        figures: Figures = json.loads(reader.recv_bytes())
    except EOFError:
        sys.exit(f"the training of yolov8{model} ended without figures")
    process.join()
    return figures


def train(writer: Connection, folder: Path, data: Path, model: str, epochs: int, keeps: bool) -> None:
    from AI.model_trainer import build_model, train_model
    from AI.model_trainer.checkpoints import generations
    from AI.model_trainer.ultralytics import checkpoint_keeper, exact_resume

    kept = folder / f"kept-{model}-{time.monotonic_ns()}"
    seconds: dict[str, list[float]] = {"keep": [], "state": [], "epoch": []}

    def timed(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def measured(*arguments: Any) -> Any:
            began = time.perf_counter()
            found = call(*arguments)
            seconds[name].append(time.perf_counter() - began)
            return found

        return measured

    def hear(event: Any) -> None:
        if event["event"] == "epoch_end":
            seconds["epoch"].append(event["epoch_seconds"])

    checkpoint_keeper.keep = timed("keep", checkpoint_keeper.keep)
    exact_resume.ExactResume.write = timed("state", exact_resume.ExactResume.write)  # type: ignore[method-assign]
    own = {"checkpoints_dir": kept} if keeps else {}
    settings = {"epochs": epochs, "imgsz": 64, "batch": 8, "fraction": 0.25, "plots": False, "optimizer": "AdamW"}
    built = build_model(f"yolov8{model}.yaml")
    train_model(
        built,
        fit_params={
            **settings,
            **own,
            "data": data,
            "save_dir": folder / f"run-{time.monotonic_ns()}",
            "progress_callback": hear,
        },
    )
    found = {name: statistics.median(values[1:]) for name, values in seconds.items() if values}
    newest = next(iter(generations(kept)), None)
    found["bytes"] = sum(file.stat().st_size for file in newest.folder.iterdir()) if newest else 0
    found["parameters"] = sum(each.numel() for each in built.model.parameters())
    found["peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    writer.send_bytes(json.dumps(found).encode())


if __name__ == "__main__":
    main()
