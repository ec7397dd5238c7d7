"""Events in full, for programs and tests that care for one or two of their fields."""

from typing import Literal, TypeAlias

from AI.model_trainer.events import Numbers, Phase, Resumed, TrainEnd, Where
from service.new_events import (
    Machine,
    NewCancelled,
    NewCheckpoint,
    NewCompleted,
    NewEpochEnd,
    NewFailed,
    NewInterrupted,
    NewLog,
    NewQueued,
    NewStarted,
    NewTick,
)

PhaseName: TypeAlias = Literal["checking_data", "training", "validating", "finishing"]

MACHINE: Machine = {
    "cpu": 0.5,
    "memory_used_bytes": 1,
    "memory_total_bytes": 2,
    "process_cpu": 1.0,
    "process_memory_bytes": 1,
    "gpu": None,
}


def where(epoch: int = 1, total_epochs: int = 1, metrics: Numbers | None = None, save_dir: str = "") -> Where:
    return {"epoch": epoch, "total_epochs": total_epochs, "metrics": metrics or {}, "save_dir": save_dir}


def tick(
    epoch: int = 1,
    total_epochs: int = 1,
    *,
    batch: int = 0,
    metrics: Numbers | None = None,
    save_dir: str = "",
    losses: Numbers | None = None,
) -> NewTick:
    return {
        "event": "tick",
        **where(epoch, total_epochs, metrics, save_dir),
        "batch": batch,
        "batches": None,
        "val_batch": None,
        "val_batches": None,
        "losses": losses or {},
        "lr": {},
        "machine": MACHINE,
        "elapsed_seconds": 1.0,
        "remaining_seconds": None,
        "images_per_second": None,
    }


def epoch_end(
    epoch: int = 1,
    total_epochs: int = 1,
    *,
    metrics: Numbers | None = None,
    save_dir: str = "",
    fitness: float | None = None,
    best_fitness: float | None = None,
) -> NewEpochEnd:
    return {
        "event": "epoch_end",
        **where(epoch, total_epochs, metrics, save_dir),
        "train_losses": {},
        "val_losses": {},
        "lr": {},
        "machine": MACHINE,
        "fitness": fitness,
        "best_fitness": best_fitness,
        "epoch_seconds": 1.0,
        "images_per_second": None,
    }


def train_end(
    epoch: int = 1,
    total_epochs: int = 1,
    *,
    metrics: Numbers | None = None,
    save_dir: str = "",
    score: float | None = None,
    best_epoch: int | None = None,
) -> TrainEnd:
    return {
        "event": "train_end",
        **where(epoch, total_epochs, metrics, save_dir),
        "score": score,
        "reason": "finished",
        "best_epoch": best_epoch,
        "elapsed_seconds": 1.0,
        "weights": {"best": None, "last": None},
    }


def phase(phase: PhaseName, epoch: int = 0, total_epochs: int = 1, *, save_dir: str = "") -> Phase:
    return {"event": "phase", "phase": phase, **where(epoch, total_epochs, None, save_dir)}


def checkpoint(epoch: int = 1, total_epochs: int = 1, *, save_dir: str = "") -> NewCheckpoint:
    return {
        "event": "checkpoint",
        **where(epoch, total_epochs, None, save_dir),
        "last": "last.pt",
        "best": None,
        "kept": None,
        "size_bytes": 1,
        "fitness": None,
    }


def resumed(after_epoch: int = 1, total_epochs: int = 1, *, reason: str | None = None, save_dir: str = "") -> Resumed:
    return {
        "event": "resumed",
        **where(0, total_epochs, None, save_dir),
        "after_epoch": after_epoch,
        "exact": reason is None,
        "reason": reason,
    }


def log(*lines: str, stream: str = "stdout", level: str = "info") -> NewLog:
    return {"event": "log", "stream": stream, "level": level, "lines": list(lines)}


def queued() -> NewQueued:
    """Of a next attempt."""
    return {"event": "queued", "reason": "resumed", "epochs": None, "resume": None}


def started(pid: int = 0, pid_started: str = "") -> NewStarted:
    return {"event": "started", "pid": pid, "pid_started": pid_started}


def interrupted(*, planned: bool = False) -> NewInterrupted:
    return {"event": "interrupted", "reason": "interrupted", "planned": planned}


def completed(score: float | None = None) -> NewCompleted:
    return {"event": "completed", "reason": "finished", "score": score}


def failed(error: str = "no", reason: str = "error") -> NewFailed:
    return {
        "event": "failed",
        "reason": reason,
        "error": error,
        "failure": {"reason": reason, "evidence": error, "hint": ""},
    }


def cancelled() -> NewCancelled:
    return {"event": "cancelled", "reason": "cancelled"}
