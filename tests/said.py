"""Events in full, for programs and tests that care for one or two of their fields."""

MACHINE = {
    "cpu": 0.5,
    "memory_used_bytes": 1,
    "memory_total_bytes": 2,
    "process_cpu": 1.0,
    "process_memory_bytes": 1,
    "gpu": None,
}


def where(epoch=1, total_epochs=1, metrics=None, save_dir=""):
    return {"epoch": epoch, "total_epochs": total_epochs, "metrics": metrics or {}, "save_dir": save_dir}


def tick(epoch=1, total_epochs=1, *, batch=0, metrics=None, save_dir="", losses=None):
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


def epoch_end(epoch=1, total_epochs=1, *, metrics=None, save_dir="", fitness=None, best_fitness=None):
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


def train_end(epoch=1, total_epochs=1, *, metrics=None, save_dir="", score=None, best_epoch=None):
    weights = {"best": None, "last": None}
    told = {"score": score, "reason": "finished", "best_epoch": best_epoch, "elapsed_seconds": 1.0, "weights": weights}
    return {"event": "train_end", **where(epoch, total_epochs, metrics, save_dir), **told}


def phase(phase, epoch=0, total_epochs=1, *, save_dir=""):
    return {"event": "phase", "phase": phase, **where(epoch, total_epochs, None, save_dir)}


def checkpoint(epoch=1, total_epochs=1, *, save_dir=""):
    files = {"last": "last.pt", "best": None, "kept": None, "size_bytes": 1}
    return {"event": "checkpoint", **where(epoch, total_epochs, None, save_dir), **files, "fitness": None}


def resumed(after_epoch=1, total_epochs=1, *, reason=None, save_dir=""):
    told = {"after_epoch": after_epoch, "exact": reason is None, "reason": reason}
    return {"event": "resumed", **where(0, total_epochs, None, save_dir), **told}


def log(*lines, stream="stdout", level="info"):
    return {"event": "log", "stream": stream, "level": level, "lines": list(lines)}


def queued():
    """Of a next attempt."""
    return {"event": "queued", "reason": "resumed", "epochs": None, "resume": None}


def started(pid=0, pid_started=""):
    return {"event": "started", "pid": pid, "pid_started": pid_started}


def interrupted(*, planned=False):
    return {"event": "interrupted", "reason": "interrupted", "planned": planned}


def completed(score=None):
    return {"event": "completed", "reason": "finished", "score": score}


def failed(error="no", reason="error"):
    return {
        "event": "failed",
        "reason": reason,
        "error": error,
        "failure": {"reason": reason, "evidence": error, "hint": ""},
    }


def cancelled():
    return {"event": "cancelled", "reason": "cancelled"}
