"""Trainings that are to go on exactly: what bears on random numbers, on the optimizer and on the order of the data.

They are of ten images, four in a batch: an epoch has three batches, and gradients wait at its end where steps are two
or four batches apart.
"""

from collections.abc import Mapping
from typing import Any

#: Training arguments by name; `task` is one of `tiny`.
CASES: Mapping[str, Mapping[str, Any]] = {
    "sgd": {"optimizer": "SGD", "close_mosaic": 2},
    "adamw": {"optimizer": "AdamW", "nbs": 16, "close_mosaic": 3, "multi_scale": 0.25, "cos_lr": True},
    "musgd": {"optimizer": "MuSGD", "nbs": 8, "mixup": 0.5, "cutmix": 0.5},
    "patience": {"optimizer": "SGD", "patience": 2},
    "ram": {"optimizer": "SGD", "cache": "ram"},
    "disk": {"optimizer": "AdamW", "cache": "disk", "rect": True},
    "workers": {"optimizer": "SGD", "workers": 2, "close_mosaic": 2},
    "workers, accumulated": {"optimizer": "AdamW", "workers": 2, "nbs": 16, "close_mosaic": 0},
    "segment": {"task": "segment", "optimizer": "SGD", "copy_paste": 0.5, "workers": 2},
    "classify": {"task": "classify", "optimizer": "AdamW", "dropout": 0.3, "workers": 2},
    "pose": {"task": "pose", "optimizer": "MuSGD", "plots": True},
    "obb": {"task": "obb", "optimizer": "SGD", "nbs": 8},
}
