"""Importing this module warms a forkserver: all that a training imports is imported, and nothing is done with it.

Name it in `multiprocessing`'s `set_forkserver_preload`; each fork then begins its first batch in tenths of a
second instead of seconds. What is forked must not have used what it imported: a fork of a process whose torch
or polars has started threads, or that has asked for a GPU, hangs or fails. So: imports only.
"""

import gc
import os
from importlib import import_module

# Before numpy and torch are loaded: OpenBLAS starts a thread per core as it is imported. Trainings set their
# own count.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

_MODULES = (
    "torch",
    "torchvision",
    "ultralytics",
    "ultralytics.models.yolo.detect.train",
    "ultralytics.models.yolo.detect.val",
    "ultralytics.data.build",
    "ultralytics.data.augment",
    "ultralytics.nn.autobackend",
    "ultralytics.utils.plotting",
    "ultralytics.utils.loss",
    "ultralytics.utils.tal",
    "ultralytics.utils.events",
    "ultralytics.utils.callbacks.platform",
    "ultralytics.utils.callbacks.clearml",
    "ultralytics.utils.callbacks.comet",
    "ultralytics.utils.callbacks.dvc",
    "ultralytics.utils.callbacks.mlflow",
    "ultralytics.utils.callbacks.raytune",
    "matplotlib.pyplot",
    "thop",
    "AI.model_trainer",
    "AI.model_trainer.ultralytics.label_cache",
)

#: Modules that cannot be imported. A training does without the warm start for those, or tells of it; a test asks.
missing: list[str] = []

for _name in _MODULES:
    try:
        import_module(_name)
    except Exception:  # it would end the forkserver, or (ImportError) silently all imports after it
        missing.append(_name)

if "ultralytics" not in missing:
    # Ultralytics resolves its classes when they are first asked for.
    import_module("ultralytics").YOLO  # noqa: B018

# A fork's garbage collector then leaves alone what was here before it: each of its runs is 80 ms shorter, and the
# memory stays shared.
gc.collect()
gc.freeze()
