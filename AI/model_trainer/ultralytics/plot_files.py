"""Pictures that a training leaves behind: what they show, and whether a file is all there."""

import os
import re
import threading
from dataclasses import dataclass
from pathlib import Path

from AI.model_trainer.events import PictureKind

#: Ultralytics' file names and what they show; the first that matches counts.
_KINDS: tuple[tuple[str, PictureKind], ...] = (
    (r"labels\.jpg", "labels"),
    (r"train_batch\d+\.jpg", "train_batch"),
    (r"val_batch\d+_labels\.jpg", "val_labels"),
    (r"val_batch\d+_pred\.jpg", "val_predictions"),
    (r"confusion_matrix.*\.png", "confusion_matrix"),
    (r".*_curve\.png", "curve"),
    (r"results\.png", "results"),
    (r"epoch_\d+\.jpg", "preview"),
)

#: How a whole file ends: a JPEG with its end-of-image marker, a PNG with an empty IEND chunk.
_ENDS = {".jpg": b"\xff\xd9", ".png": b"\x00\x00\x00\x00IEND\xae\x42\x60\x82"}


@dataclass(frozen=True)
class Size:
    """Width and height in pixels, and the file's length."""

    width: int
    height: int
    size_bytes: int


def kind_of(name: str) -> PictureKind:
    """What a file of this name shows; "other" when it is none that this version knows."""
    return next((kind for pattern, kind in _KINDS if re.fullmatch(pattern, name)), "other")


def measure(path: Path) -> Size | None:
    """The size of a JPEG or PNG file; None when it is missing, not a picture, or not all there.

    Files are written from front to back, so one that ends as its format says is whole. The pixels are not decoded.
    """
    # Not Image.open: Ultralytics' version of it installs packages for what it cannot read.
    from PIL.JpegImagePlugin import JpegImageFile
    from PIL.PngImagePlugin import PngImageFile

    reader = PngImageFile if path.suffix.lower() == ".png" else JpegImageFile
    try:
        with open(path, "rb") as file:
            length = os.fstat(file.fileno()).st_size
            end = _ENDS.get(path.suffix.lower(), b"")
            file.seek(max(0, length - len(end)))
            if not end or file.read() != end:
                return None
            file.seek(0)
            image = reader(file)
            return Size(image.width, image.height, length)
    except (OSError, SyntaxError, ValueError):  # SyntaxError: Pillow's word for the wrong format
        return None


def wait_for_writers() -> None:
    """Return when every mosaic that is being drawn is on the disk.

    Ultralytics draws them in threads of its own that nothing else gives a handle to; Python names a thread
    after its function. They take tenths of a second each.
    """
    for thread in threading.enumerate():
        if thread.name.endswith("(plot_images)"):
            thread.join()
