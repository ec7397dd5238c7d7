"""The smallest YOLO training there is: a few coloured squares and a model of some thousand weights.

`make_dataset` and `tiny_model` make the files; `TINY` are training arguments with which an epoch takes a fraction of a
second. Importing this keeps Ultralytics off the network, in this process and in those it starts.
"""

import os
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

#: Read by Ultralytics at its import, so they have to be there before it.
OFFLINE = {
    "YOLO_OFFLINE": "1",
    "YOLO_AUTOINSTALL": "false",
    "ULTRALYTICS_SKIP_REQUIREMENTS_CHECKS": "1",
    "YOLO_CONFIG_DIR": os.path.join(tempfile.gettempdir(), "yolo-trainer-tests"),
}
for _name, _value in OFFLINE.items():
    os.environ.setdefault(_name, _value)

#: Training arguments for it.
TINY = {
    "epochs": 1,
    "imgsz": 32,
    "batch": 4,
    "device": "cpu",
    "workers": 0,
    "plots": False,
    "amp": False,
    "verbose": False,
}

_MODEL = """\
nc: 2
depth_multiple: 1.0
width_multiple: 1.0
backbone:
  - [-1, 1, Conv, [8, 3, 2]]
  - [-1, 1, Conv, [16, 3, 2]]
  - [-1, 1, Conv, [16, 3, 2]]
  - [-1, 1, Conv, [16, 3, 2]]
head:
  - [[2, 3], 1, Detect, [nc]]
"""


def make_dataset(folder: Path, train: int = 8, val: int = 4, size: int = 32) -> Path:
    """Write a detection dataset of `train` and `val` images, `size` pixels wide, and return its data.yaml."""
    rng = np.random.default_rng(0)
    for split, count in (("train", train), ("val", val)):
        images, labels = folder / "images" / split, folder / "labels" / split
        images.mkdir(parents=True)
        labels.mkdir(parents=True)
        for number in range(count):
            kind = number % 2
            pixels = rng.integers(0, 50, (size, size, 3), dtype=np.uint8)
            pixels[size // 4 : size * 3 // 4, size // 4 : size * 3 // 4, kind] = 250  # red or green
            Image.fromarray(pixels).save(images / f"{number}.png")
            (labels / f"{number}.txt").write_text(f"{kind} 0.5 0.5 0.5 0.5\n")
    data = folder / "data.yaml"
    data.write_text(f'path: "{folder}"\ntrain: images/train\nval: images/val\nnames: [red, green]\n')
    return data


def tiny_model(folder: Path) -> Path:
    """Write a model of two small heads and return its yaml. Its name says no size, so Ultralytics takes it as it is."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "tiny.yaml"
    path.write_text(_MODEL)
    return path
