"""Bounds and choices of training arguments that Ultralytics leaves open, or finds out about when it is too late.

Ultralytics' own checks are read from it (`arguments`); this table adds what its documentation and its code say beside
them. The keys are JSON Schema's: `minimum` and `maximum` (included), `exclusiveMinimum`, `enum` (every value that is
allowed, whatever its type), `pattern` for texts, and for lists `items` (a rule of its own, with `types`), `minItems`
and `maxItems`. Sources: https://docs.ultralytics.com/usage/cfg and the code of 8.4.190.
"""

from collections.abc import Mapping
from typing import Any

Rule = Mapping[str, Any]

#: A generous upper bound. It turns a typing error into an answer instead of an overflow.
_MANY = 1_000_000

_POSITIVE: Rule = {"minimum": 0, "maximum": _MANY}
_INDICES: Rule = {"types": ["int"], "minimum": 0, "maximum": _MANY}
#: A path or an address: one line.
_PLACE: Rule = {"pattern": r"^[^\x00-\x1f\x7f]{0,4096}$"}

#: numpy's generator takes 32 bits, and each process of a multi-GPU run adds its rank.
_MAX_SEED = 2**32 - 2**16

_PRECISIONS = ("8", "16", "32", "int8", "fp16", "fp32", "w8a8", "w16a16", "w32a32", "w8a16", "w8a32")

RULES: Mapping[str, Rule] = {
    # What is trained, and how long
    "task": {"enum": ["detect", "segment", "semantic", "depth", "classify", "pose", "obb"]},
    "mode": {"enum": ["train", "val", "predict", "export", "track", "benchmark"]},
    "epochs": {"maximum": _MANY},
    "time": _POSITIVE,  # hours; 0 is no limit
    "patience": {"maximum": _MANY},
    "seed": {"maximum": _MAX_SEED},
    "save_period": {"minimum": -1, "maximum": _MANY},
    "close_mosaic": _POSITIVE,
    # Where files are
    **dict.fromkeys(
        ("model", "data", "project", "name", "pretrained", "resume", "source", "distill_model", "cfg", "tracker"),
        _PLACE,
    ),
    # Memory and devices
    "nbs": {"maximum": 65_536},
    "batch": {"minimum": -1, "maximum": 65_536},  # -1: as many as fit; below 1: that part of the GPU's memory
    "imgsz": {
        "minimum": 32,
        "maximum": 8192,
        "items": {"types": ["int"], "minimum": 32, "maximum": 8192},
        "minItems": 1,
        "maxItems": 2,
    },
    "workers": {"minimum": 0, "maximum": 256},
    "cache": {"enum": [True, False, "ram", "disk"]},
    "device": {
        "minimum": -1,
        "maximum": 1_024,
        "pattern": r"^(|cpu|mps|cuda|(cuda:)?-?\d+(,(cuda:)?-?\d+)*|(npu|xpu)(:\d+(,\d+)*)?)$",
        "items": {"types": ["int", "str"], "minimum": -1, "maximum": 1_024, "pattern": r"^(cuda:)?-?\d{1,4}$"},
        "minItems": 1,
        "maxItems": 1_024,
    },
    "amp": {"enum": [True, False, "fp16", "bf16", "fp32"]},
    "compile": {"enum": [True, False, "default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs"]},
    "quantize": {"enum": [None, 8, 16, 32, *_PRECISIONS]},
    # What of the data
    "split": {"enum": ["train", "val", "test"]},
    "fraction": {
        "minimum": 0,
        "exclusiveMinimum": 0,
        "maximum": 1_000_000_000,  # a number of images, too
        "items": {"types": ["int", "float"], "minimum": 0, "maximum": 1_000_000_000},
        "minItems": 2,
        "maxItems": 3,
    },
    "classes": {"minimum": 0, "maximum": _MANY, "items": _INDICES, "maxItems": 10_000},
    # Ultralytics makes a list of as many names: a large number takes all memory there is.
    "freeze": {
        "minimum": 0,
        "maximum": 10_000,
        "items": {"types": ["int", "str"], "minimum": 0, "maximum": 10_000, "pattern": r"^[\w.]{1,200}$"},
        "maxItems": 1_000,
    },
    "embed": {"items": _INDICES, "maxItems": 1_000},
    "max_det": {"maximum": 100_000},
    "mask_ratio": {"maximum": 1_024},
    "vid_stride": {"maximum": _MANY},
    # The optimizer
    "optimizer": {
        "enum": ["auto", "SGD", "MuSGD", "Adam", "Adamax", "AdamW", "NAdam", "RAdam", "RMSProp"],
    },
    "warmup_epochs": _POSITIVE,
    # Weights of the losses
    **dict.fromkeys(("box", "cls", "dfl", "pose", "kobj", "rle", "angle", "dlog", "dgrad", "dis"), _POSITIVE),
    # Augmentation
    "degrees": {"minimum": 0, "maximum": 180},
    "shear": {"minimum": -180, "maximum": 180},
    "scale": {"items": {"types": ["float"], "minimum": 0, "maximum": 100}, "minItems": 2, "maxItems": 2},
    "copy_paste_mode": {"enum": ["flip", "mixup"]},
    "auto_augment": {"enum": [None, "randaugment", "autoaugment", "augmix"]},
    # Drawing and exporting: of no use in a training, but they are arguments
    "format": {"pattern": r"^[a-z0-9_-]{0,40}$"},
    "line_width": {"minimum": 1, "maximum": 1_000},
    "opset": {"minimum": 1, "maximum": 100},
    "workspace": _POSITIVE,
}
