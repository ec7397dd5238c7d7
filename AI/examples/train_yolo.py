"""Train a YOLO model on drawn shapes and watch it learn.

    python -m AI.examples.train_yolo
    python -m AI.examples.train_yolo --epochs 5 --out /tmp/shapes

The dataset is drawn, the weights start at random, nothing is downloaded. Thirty epochs take about a minute on
two CPU cores; the last lines are such as `mAP50 0.993` and the path of the best weights.
"""

import argparse
import math
import os
from pathlib import Path

from AI.examples import shapes
from AI.model_trainer import build_model, train_model
from AI.model_trainer.events import Event, Where


def main() -> None:
    """Draw, train, report."""
    arguments = _parser().parse_args()
    os.environ.setdefault("YOLO_VERBOSE", "False")  # read at import: Ultralytics' own bars would cut across our lines
    data = shapes.generate(arguments.out / "dataset")
    model = build_model(arguments.model, shapes.HYPERPARAMETERS)
    fit_params = {
        "data": data,
        "epochs": arguments.epochs,
        "threads": arguments.threads,
        "plots": arguments.plots,
        "save_dir": arguments.out / "run",
        "verbose": False,
        "progress_callback": show,
    }
    model, score = train_model(model, fit_params=fit_params)
    print(f"score {score:.3f}")
    print(f"mAP50 {model.final_metrics['metrics/mAP50(B)']:.3f}")
    print(f"weights {model.save_dir / 'weights' / 'best.pt'}")


def show(event: Event) -> None:
    """Print one line for each event."""
    match event["event"]:
        case "tick":
            left = event["remaining_seconds"]
            print(
                f"{_position(event)}  batch {event['batch']}/{event['batches'] or '?'}  {_listed(event['losses'])}"
                f"  {'?' if left is None else math.ceil(left)} s left"
            )
        case "epoch_end":
            print(f"{_position(event)}  done in {event['epoch_seconds']:.1f} s  {_listed(event['metrics'])}")
        case "train_end":
            print(f"{event['reason']} after {event['elapsed_seconds']:.0f} s, best epoch {event['best_epoch']}")


def _position(at: Where) -> str:
    return f"epoch {at['epoch']}/{at['total_epochs']}"


def _listed(values: dict[str, float | None]) -> str:
    return "  ".join(
        f"{name.removeprefix('metrics/')} {value:.3f}" for name, value in values.items() if value is not None
    )


def _threads(text: str) -> str | int:
    return int(text) if text.isdigit() else text


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m AI.examples.train_yolo", description="Train YOLO on drawn shapes.")
    parser.add_argument("--model", default=shapes.MODEL, help="name or path (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=shapes.HYPERPARAMETERS["epochs"], help="default: %(default)s")
    parser.add_argument("--out", type=Path, default=Path("runs/shapes"), help="folder (default: %(default)s)")
    parser.add_argument("--threads", type=_threads, default="all", help="all, stock or a number (default: all)")
    parser.add_argument("--plots", action=argparse.BooleanOptionalAction, default=True, help="draw curves at the end")
    return parser


if __name__ == "__main__":
    main()
