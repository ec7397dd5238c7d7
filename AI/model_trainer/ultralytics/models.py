"""Makes models of files: weights, packaged or own model files, checkpoints."""

from pathlib import Path

from AI.model_trainer.ultralytics.objects import YOLO


def build(path: str) -> YOLO:
    """A model of weights (`.pt`) or of a model file (`.yaml`)."""
    import ultralytics

    # YOLO knows RT-DETR by its weights, not by its model files.
    is_rtdetr_file = "rtdetr" in Path(path).stem and not path.endswith(".pt")
    return ultralytics.RTDETR(path) if is_rtdetr_file else ultralytics.YOLO(path)
