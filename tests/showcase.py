"""A training to look at: what the page shows of a real one, in little time and without torch."""

import math
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

from service.workers.spec import ShouldStop
from tests import said, trainings
from tests.trainings import Outcome, Tell, read_weights, save, wait_for_gate


def steer(spec: Any, emit: Tell, should_stop: ShouldStop) -> Outcome:
    """Does what `hyperparameters.do` names, here or in `trainings`."""
    do = spec.hyperparameters["do"]
    return (globals().get(do) or getattr(trainings, do))(spec, emit, should_stop)


def learn(spec: Any, emit: Tell, should_stop: ShouldStop) -> Outcome:
    """Behaves as a training does towards the page: every kind of event, pictures, curves that bend, in little time.

    `hyperparameters`: `epochs`, `pause` (seconds per epoch), `names` of classes, `say` (lines for the log), `gate` (a
    file that the epoch after `until` waits for), `marks` of what is found ("BP": boxes, keypoints; "C": a class alone),
    `slope` of the curves (0: nothing is learned), `rates` of the three groups beside each other, images `dropped` of
    the dataset (no word of it without).
    """
    options = spec.hyperparameters
    epochs, names = (
        spec.plan.to_epoch or options.get("epochs", 12),
        options.get("names", ["circle", "square", "triangle"]),
    )
    done = read_weights(spec.checkpoint) if spec.checkpoint else 0
    told = _Told(spec, emit, epochs)
    for line in options.get("say", ["Starting training", "Image sizes 96 train, 96 val"]):
        print(line, flush=True)
    told.phase("checking_data", 0)
    if "dropped" in options:
        told.emit({"event": "dataset", **told.where(0), **census(options["dropped"])})
    if spec.checkpoint:
        told.emit(said.resumed(done, epochs, reason=options.get("inexact"), save_dir=str(told.run)))
    told.picture("labels.jpg", "labels", 0)
    for epoch in range(done + 1, epochs + 1):
        if epoch == options.get("until", 0) + 1 and "gate" in options:
            wait_for_gate(spec)
        told.epoch(epoch, options.get("pause", 0.0))
        if epoch <= 3:
            told.picture(f"train_batch{epoch - 1}.jpg", "train_batch", epoch)
        done = epoch
        if should_stop():
            break
    told.end(names, done)
    reason = "finished" if done == epochs else "stopped"
    return {"reason": reason, "score": 0.61, "metrics": told.metrics(done), "save_dir": str(told.run)}


def look(spec: Any, emit: Tell, should_stop: ShouldStop) -> Outcome:
    """Looks through a dataset, or says that it does: as many images are dropped as the name of its folder says."""
    dropped = int(Path(spec.fit_params["data"]).parent.name)
    return {"checked": {"task": spec.task or "detect", **census(dropped)}}


def census(dropped: dict[str, list[str]]) -> dict[str, Any]:
    """What is in a dataset of a hundred images to train with, and ten to validate."""
    bad = [
        {"file": f"/sets/images/{number}.jpg", "reason": "this is not an image: a Git LFS pointer"}
        for number in range(2)
    ]
    train = {"images": 100, "labelled": 90 - dropped, "background": 10, "missing": 0, "dropped": dropped}
    val = {"images": 10, "labelled": 10, "background": 0, "missing": 0, "dropped": 0}
    rest = {"corrupt": 0, "duplicates": 0, "instances": 30, "label_folders": ["/sets/labels"]}
    warning = f"train: {dropped} of 100 images are dropped ({dropped}%): {bad[0]['file']}: {bad[0]['reason']}"
    return {
        "splits": {"train": {**train, **rest, "bad": bad[:dropped]}, "val": {**val, **rest, "bad": []}},
        "classes": [{"name": "circle", "instances": {"train": 21, "val": 17}}],
        "class_count": 1,
        "warnings": [warning] if dropped > 5 else [],
    }


def learn_and_wait(spec: Any, emit: Tell, should_stop: ShouldStop) -> Outcome:
    """As `learn`, but amid the third epoch it waits for the file `gate`, ticking on."""
    told = _Told(spec, emit, spec.hyperparameters["epochs"])
    for epoch in (1, 2):
        told.epoch(epoch, 0.0)
    while not Path(spec.hyperparameters["gate"]).exists():
        told.tick(3, 4)
        time.sleep(0.05)
    for epoch in (3, 4):
        told.epoch(epoch, 0.0)
    return {}


def fail_at_once(spec: Any, emit: Tell, should_stop: ShouldStop) -> None:
    """Ticks, as a training does from its start, and fails before an epoch has ended."""
    _Told(spec, emit, 4).tick(0, 0)
    raise ValueError("no such luck")


class _Told:
    """The events of `learn`, with numbers that look like a training's."""

    def __init__(self, spec: Any, emit: Tell, epochs: int) -> None:
        self.spec, self.emit, self.epochs = spec, emit, epochs
        self.run = spec.folder / "run"
        self.run.mkdir(parents=True, exist_ok=True)
        self.slope = spec.hyperparameters.get("slope", 4)
        self.began = time.monotonic()
        self.best = 0.0

    def where(self, epoch: int) -> dict[str, Any]:
        metrics = self.metrics(epoch) if epoch else {}
        return {"epoch": epoch, "total_epochs": self.epochs, "metrics": metrics, "save_dir": str(self.run)}

    def wave(self, epoch: int, seed: int) -> float:
        return 0.02 * math.sin(epoch * 1.7 + seed * 2.3)

    def rise(self, epoch: int, seed: int = 0) -> float:
        """From 0 towards 1; with `slope` 0 nothing is ever learned."""
        if not self.slope:
            return 0.0
        return max(0.0, min(1.0, 1 - math.exp(-self.slope * epoch / self.epochs) + self.wave(epoch, seed)))

    def metrics(self, epoch: int) -> dict[str, float]:
        marks = self.spec.hyperparameters.get("marks", "B")
        if marks == "C":
            most = {"accuracy_top1": 0.91, "accuracy_top5": 0.99}
            return {
                f"metrics/{name}": value * self.rise(epoch, seed) for seed, (name, value) in enumerate(most.items())
            }
        most = {"precision": 0.9, "recall": 0.85, "mAP50": 0.88, "mAP50-95": 0.66}
        return {
            f"metrics/{name}({mark})": value * self.rise(epoch, seed) / place
            for place, mark in enumerate(marks, start=1)
            for seed, (name, value) in enumerate(most.items(), start=1)
        }

    def losses(self, epoch: int, more: float = 1.0) -> dict[str, float]:
        sizes = {"box_loss": 3.1, "cls_loss": 4.4, "dfl_loss": 1.6}
        return {
            name: more * size * (1.1 - 0.9 * self.rise(epoch, seed)) for seed, (name, size) in enumerate(sizes.items())
        }

    def machine(self, epoch: int) -> dict[str, Any]:
        use = 0.7 + 3 * self.wave(epoch, 5)
        memory = {"memory_used_bytes": 5_200_000_000 + epoch * 10_000_000, "memory_total_bytes": 16_000_000_000}
        gpu = {"use": use, "memory_used_bytes": 2_400_000_000, "memory_total_bytes": 8_000_000_000}
        own = {"process_cpu": 1.7, "process_memory_bytes": 1_900_000_000}
        return {"cpu": 0.55 + self.wave(epoch, 6), **memory, **own, "gpu": gpu}

    def phase(self, phase: str, epoch: int) -> None:
        self.emit({"event": "phase", "phase": phase, **self.where(epoch)})

    def rate(self, epoch: int) -> dict[str, float]:
        rates = self.spec.hyperparameters.get("rates", [1, 2, 3])
        return {f"lr/pg{group}": 0.002 * (1 - 0.95 * epoch / self.epochs) * rate for group, rate in enumerate(rates)}

    def tick(self, epoch: int, batch: int) -> None:
        elapsed = time.monotonic() - self.began
        left = elapsed / max(epoch - 1 + batch / 8, 0.1) * (self.epochs - epoch + 1 - batch / 8)
        times = {"elapsed_seconds": elapsed, "remaining_seconds": left, "images_per_second": 205 + 9 * math.sin(epoch)}
        numbers = {"losses": self.losses(epoch), "lr": self.rate(epoch), "machine": self.machine(epoch)}
        where = {**self.where(epoch - 1), "epoch": epoch, "batch": batch, "batches": 8}
        self.emit({"event": "tick", **where, "val_batch": None, "val_batches": None, **times, **numbers})

    def epoch(self, epoch: int, pause: float) -> None:
        self.phase("training", epoch - 1)
        for batch in (3, 8) if pause else (8,):
            time.sleep(pause / 2)
            self.tick(epoch, batch)
        rate = self.rate(epoch)
        fitness = self.rise(epoch, 4) * 0.66
        best = self.best = max(self.best, fitness)
        results = {"train_losses": self.losses(epoch), "val_losses": self.losses(epoch, 1.12), "lr": rate}
        speed = {
            "epoch_seconds": self.spec.hyperparameters.get("seconds", 1.4),
            "images_per_second": 205.0,
            "machine": self.machine(epoch),
        }
        scores = {"fitness": fitness, "best_fitness": best}
        save(self.spec.folder, epoch, 10, lambda: None)
        files = {"last": str(self.run / "last.pt"), "best": None, "kept": None, "size_bytes": 10, "fitness": fitness}
        self.emit({"event": "checkpoint", **self.where(epoch), **files})
        self.emit({"event": "epoch_end", **self.where(epoch), **results, **scores, **speed})
        if self.spec.fit_params.get("preview"):
            self.picture(f"epoch_{epoch:04}.jpg", "preview", epoch)

    def picture(self, name: str, kind: str, epoch: int) -> None:
        """A picture with its name written into it."""
        from PIL import Image, ImageDraw

        image = Image.new("RGB", (480, 360), (38, 44 + 2 * epoch % 90, 70))
        draw = ImageDraw.Draw(image)
        for side in range(60, 240, 45):
            draw.rectangle((side, side - 20, side + 90, side + 60), outline=(240, 180, 60), width=3)
        draw.text((20, 20), f"{kind} {name}", fill=(255, 255, 255))
        image.save(self.run / name)
        address = f"/jobs/{self.spec.id}/artifacts/{quote(name)}"
        size = {"width": 480, "height": 360, "size_bytes": (self.run / name).stat().st_size}
        path = {"path": str(self.run / name), "url": address, "name": name, "kind": kind}
        self.emit({"event": "image", **self.where(epoch), **path, **size})

    def end(self, names: list[str], epoch: int) -> None:
        self.phase("finishing", epoch)
        for name, kind in (
            ("val_batch0_labels.jpg", "val_labels"),
            ("val_batch0_pred.jpg", "val_predictions"),
            ("BoxPR_curve.png", "curve"),
            ("confusion_matrix.png", "confusion_matrix"),
        ):
            self.picture(name, kind, epoch)
        classes = [
            {"name": name, "images": 20 - i, "instances": 31 + i, "precision": 0.9 - i / 20, "recall": 0.85 - i / 30}
            | {"map50": 0.9 - i / 25, "map50_95": 0.64 - i / 20}
            for i, name in enumerate(names)
        ]
        self.emit({"event": "class_results", **self.where(epoch), "classes": classes})
        end = {"score": 0.61, "reason": "finished", "best_epoch": epoch - 1, "elapsed_seconds": 42.0}
        weights = {name: self.run / "weights" / f"{name}.pt" for name in ("best", "last")}
        for path in weights.values():
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(bytes(5_400))
        written = {name: str(path) for name, path in weights.items()}
        found = {"metrics": self.metrics(epoch - 1), "weights": written}  # the final evaluation is of best.pt
        self.emit({"event": "train_end", **self.where(epoch), **end, **found})
