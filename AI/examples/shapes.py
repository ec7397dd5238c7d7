"""A dataset that is drawn in under a second and that a small model learns in minutes on two CPU cores.

Circles, squares and triangles on a noisy background; the colour says nothing, so a model has to learn the
shape. Needs numpy and Pillow only: a service can draw it without loading torch.
"""

import io
import json
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

#: Classes, in the order of their numbers.
NAMES = ("circle", "square", "triangle")

#: What `HYPERPARAMETERS` are for.
MODEL = "yolov8n.yaml"

#: Training arguments with which MODEL reaches mAP50 0.99 on the default dataset within 30 epochs, from random
#: weights. `nbs` equal to `batch` makes every batch an optimizer step; the default 64 would take four times
#: as long. Mosaics would shrink shapes of 19 pixels beyond recognition.
HYPERPARAMETERS: Mapping[str, object] = {
    "epochs": 30,
    "imgsz": 96,
    "batch": 16,
    "nbs": 16,
    "optimizer": "AdamW",
    "lr0": 0.002,
    "lrf": 0.05,
    "warmup_epochs": 2.0,
    "mosaic": 0.0,
    "close_mosaic": 0,
    "hsv_h": 0.0,
    "scale": 0.1,
    "translate": 0.05,
    "cache": "ram",
    "amp": False,
    "workers": 0,
    "seed": 0,
}

_HUES = (0, 120, 240)  # degrees; a shape's is one of these, give or take 30
_SIZES = (19, 33)  # pixels, for images of 96; the upper one excluded

Box = tuple[int, int, int, int]  # x1, y1, x2, y2 in pixels


def generate(folder: str | os.PathLike[str], train: int = 128, val: int = 32, size: int = 96, seed: int = 0) -> Path:
    """Draw the dataset into `folder` and return its data.yaml. The same arguments give the same dataset.

    `train` and `val` are numbers of images, `size` their side in pixels. A whole dataset of these arguments
    is left as it is. data.yaml is written last: where there is one, there is a whole dataset.

    Raises FileExistsError: when the folder holds something that these arguments would not draw over.
    """
    root = Path(folder).absolute()
    data = root / "data.yaml"
    text = _data_yaml(root, f"train={train} val={val} size={size} seed={seed}")
    names = {split: [f"{number:04}" for number in range(n)] for split, n in (("train", train), ("val", val))}
    if _is_whole(root, text, names):
        return data
    _refuse_strangers(root, names)
    data.unlink(missing_ok=True)
    rng = np.random.default_rng(seed)
    for split in names:
        for name in names[split]:
            image, labels = _draw(rng, size)
            _write(root / "images" / split / f"{name}.png", image)
            _write(root / "labels" / split / f"{name}.txt", labels.encode())
    _write(data, text.encode())
    return data


_SIGNATURE = "# Drawn by AI.examples.shapes:"


def _data_yaml(root: Path, arguments: str) -> str:
    lines = [
        f"{_SIGNATURE} {arguments}",
        f"path: {json.dumps(str(root), ensure_ascii=False)}",
        "train: images/train",
        "val: images/val",
    ]
    lines += ["names:", *(f"  {number}: {name}" for number, name in enumerate(NAMES))]
    return "\n".join(lines) + "\n"  # a JSON string is a YAML one: no path can break out of it


def _is_whole(root: Path, text: str, names: Mapping[str, list[str]]) -> bool:
    try:
        return (root / "data.yaml").read_text(encoding="utf-8") == text and all(
            _stems(root / kind / split) == set(names[split]) for kind in ("images", "labels") for split in names
        )
    except FileNotFoundError:
        return False


def _refuse_strangers(root: Path, names: Mapping[str, list[str]]) -> None:
    data = root / "data.yaml"
    strange = data.exists() and not data.read_text(encoding="utf-8").startswith(_SIGNATURE)
    if strange or any(_stems(root / "images" / split) - set(names[split]) for split in names):
        raise FileExistsError(f"{root} holds another dataset")


def _stems(folder: Path) -> set[str]:
    return {path.stem for path in folder.glob("[!.]*")}


def _write(path: Path, content: bytes) -> None:
    """Write a file in one step: after a crash it is there or it is not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(content)
    os.replace(temporary, path)


# Drawing


def _draw(rng: np.random.Generator, size: int) -> tuple[bytes, str]:
    """One image as PNG, and its labels: `class x y width height` per line, the centre and size over the side."""
    noise = rng.integers(-12, 13, (size, size, 3))
    background = np.clip(rng.integers(150, 256) + noise, 0, 255).astype(np.uint8)  # (size, size, 3)
    image = Image.fromarray(background)
    labels = []
    for box in _boxes(rng, size):
        kind = int(rng.integers(len(NAMES)))
        _SHAPES[kind](ImageDraw.Draw(image), box, _colour(rng))
        x1, y1, x2, y2 = (edge / size for edge in box)
        labels.append(f"{kind} {(x1 + x2) / 2:.6f} {(y1 + y2) / 2:.6f} {x2 - x1:.6f} {y2 - y1:.6f}\n")
    png = io.BytesIO()
    image.save(png, "PNG", compress_level=1)
    return png.getvalue(), "".join(labels)


def _boxes(rng: np.random.Generator, size: int) -> list[Box]:
    """One to three squares that do not overlap, 19 to 32 pixels wide if the image's side is 96."""
    boxes: list[Box] = []
    wanted = int(rng.integers(1, 4))
    for _ in range(50):  # tries; three shapes nearly always find room
        side = int(rng.integers(*_SIZES)) * size // 96
        x, y = (int(corner) for corner in rng.integers(0, size - side, 2))
        box = (x, y, x + side, y + side)
        if len(boxes) < wanted and all(_are_apart(box, other) for other in boxes):
            boxes.append(box)
    return boxes


def _are_apart(one: Box, other: Box) -> bool:
    return one[2] < other[0] or other[2] < one[0] or one[3] < other[1] or other[3] < one[1]


def _colour(rng: np.random.Generator) -> str:
    hue = int(rng.choice(_HUES) + rng.integers(-30, 31)) % 360
    return f"hsv({hue}, {int(rng.integers(60, 101))}%, {int(rng.integers(40, 81))}%)"


def _circle(draw: ImageDraw.ImageDraw, box: Box, colour: str) -> None:
    draw.ellipse(box, fill=colour)


def _square(draw: ImageDraw.ImageDraw, box: Box, colour: str) -> None:
    draw.rectangle(box, fill=colour)


def _triangle(draw: ImageDraw.ImageDraw, box: Box, colour: str) -> None:
    x1, y1, x2, y2 = box
    draw.polygon([(x1, y2), ((x1 + x2) / 2, y1), (x2, y2)], fill=colour)


_SHAPES = (_circle, _square, _triangle)  # in the order of NAMES
