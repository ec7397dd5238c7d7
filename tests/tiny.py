"""The smallest YOLO trainings there are: a few coloured squares and models of some thousand weights, for each task.

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
    "YOLO_CONFIG_DIR": os.path.join(
        tempfile.gettempdir(), "yolo-trainer-tests", os.environ.get("PYTEST_XDIST_WORKER", "")
    ),
}
for _name, _value in OFFLINE.items():
    os.environ.setdefault(_name, _value)

#: What `make_dataset` and `tiny_model` know.
TASKS = ("detect", "segment", "classify", "pose", "obb")

#: Training arguments for all of them.
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

_NAMES = ("red", "green")

#: The middle square of an image, as each task labels it.
_LABELS = {
    "detect": "0.5 0.5 0.5 0.5",
    "segment": "0.25 0.25 0.75 0.25 0.75 0.75 0.25 0.75",
    "pose": "0.5 0.5 0.5 0.5 0.25 0.25 2 0.75 0.75 2",
    "obb": "0.25 0.25 0.75 0.25 0.75 0.75 0.25 0.75",
}

_BACKBONE = """\
nc: 2
kpt_shape: [2, 3]
depth_multiple: 1.0
width_multiple: 1.0
backbone:
  - [-1, 1, Conv, [8, 3, 2]]
  - [-1, 1, Conv, [16, 3, 2]]
  - [-1, 1, Conv, [16, 3, 2]]
  - [-1, 1, Conv, [16, 3, 2]]
head:
"""

_HEADS = {
    "detect": "[[2, 3], 1, Detect, [nc]]",
    "segment": "[[2, 3], 1, Segment, [nc, 4, 8]]",
    "classify": "[-1, 1, Classify, [nc]]",
    "pose": "[[2, 3], 1, Pose, [nc, kpt_shape]]",
    "obb": "[[2, 3], 1, OBB, [nc, 1]]",
}


def make_dataset(folder: Path, task: str = "detect", train: int = 8, val: int = 4, size: int = 32) -> Path:
    """Write a dataset of `train` and `val` images, `size` pixels wide, and return what `data` is to name.

    That is its data.yaml, or for classification the folder with the folders `train` and `val` in it.
    """
    rng = np.random.default_rng(0)
    for split, count in (("train", train), ("val", val)):
        for number in range(count):
            kind = number % 2
            pixels = rng.integers(0, 50, (size, size, 3), dtype=np.uint8)
            pixels[size // 4 : size * 3 // 4, size // 4 : size * 3 // 4, kind] = 250  # red or green
            image = folder / "images" / split / f"{number}.png"
            if task == "classify":
                image = folder / split / _NAMES[kind] / f"{number}.png"
            else:
                _write(folder / "labels" / split / f"{number}.txt", f"{kind} {_LABELS[task]}\n")
            image.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(image)
    if task == "classify":
        return folder
    points = "kpt_shape: [2, 3]\nflip_idx: [0, 1]\n" if task == "pose" else ""
    names = ", ".join(_NAMES)
    data = f'path: "{folder}"\ntrain: images/train\nval: images/val\nnames: [{names}]\n{points}'
    return _write(folder / "data.yaml", data)


def tiny_model(folder: Path, task: str = "detect") -> Path:
    """Write a model of one or two small heads and return its yaml. Its name says no size, so it is taken as it is."""
    name = "tiny.yaml" if task == "detect" else f"tiny-{task}.yaml"
    return _write(folder / name, f"{_BACKBONE}  - {_HEADS[task]}\n")


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path
