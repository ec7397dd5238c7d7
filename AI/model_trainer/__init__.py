"""Trains YOLO models and tells how it goes through a callback.

    from AI.model_trainer import build_model, train_model

    model = build_model("yolov8n", {"epochs": 30, "imgsz": 640})
    model, score = train_model(model, fit_params={"data": "data.yaml", "progress_callback": print})

Importing this package is cheap; torch and Ultralytics are imported when a model is built. It knows nothing of
the service. `label_cache`, `arguments` and `preload` are for programs that run many trainings.
"""

from AI.model_trainer.errors import (
    BadArchive,
    DatasetUnavailable,
    ForeignVersion,
    ForeignWeights,
    InvalidArgument,
    InvalidDataset,
    NothingToResume,
    PatchLost,
    TrainerError,
    Unavailable,
    UnknownArgument,
    Unsafe,
    UnsafeFile,
    UntestedVersion,
    WeightsUnavailable,
)
from AI.model_trainer.trainer import build_model, resume_training, train_from_payload, train_model
from AI.model_trainer.ultralytics.dataset_check import check_dataset

__all__ = [
    "BadArchive",
    "DatasetUnavailable",
    "ForeignVersion",
    "ForeignWeights",
    "InvalidArgument",
    "InvalidDataset",
    "NothingToResume",
    "PatchLost",
    "TrainerError",
    "Unavailable",
    "UnknownArgument",
    "Unsafe",
    "UnsafeFile",
    "UntestedVersion",
    "WeightsUnavailable",
    "build_model",
    "check_dataset",
    "resume_training",
    "train_from_payload",
    "train_model",
]
