"""What the model sees, epoch by epoch: a few validation images with their labels and its predictions.

After each epoch the averaged weights, which are those that are validated and saved, predict the same images again; the
picture goes to `<save_dir>/previews/epoch_0001.jpg` and so on. The training does not notice: it draws the same random
numbers, sees the same batches and ends with the same weights as without. Drawing is Ultralytics' own.
"""

import logging
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from pathlib import Path
from typing import Any

from AI.model_trainer.complaint import Complaint
from AI.model_trainer.ultralytics.hooks import Hooks, epoch_ended
from AI.model_trainer.ultralytics.known_models import TASKS
from AI.model_trainer.ultralytics.objects import Trainer, Validator

logger = logging.getLogger(__name__)

_CONFIDENCE = 0.25  # what is less certain is not drawn: Ultralytics' own default for predictions
_HALF = 960  # pixels: the labels' half of a picture is at most so wide and so high, the predictions' likewise
_TILE = 256  # pixels: smaller images are enlarged by a whole number up to this, or their boxes' names would hide them
_GAP = 8  # pixels between the halves


class Previews:
    """Draws `count` validation images after each epoch of one training. The training's thread owns it.

    What goes wrong is logged once; the training goes on. Of a multi-GPU run's processes only rank 0 draws.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._images: _Images | None = None
        self._complaint = Complaint(logger, "drawing a preview failed; the training goes on", "preview")

    def hooks(self) -> Hooks:
        """Ultralytics callbacks; none when no previews are wanted."""
        return [("on_pretrain_routine_start", self._setup_start)] if self._count else []

    def _setup_start(self, trainer: Trainer) -> None:
        if trainer.args.task not in TASKS:
            logger.warning("no previews for %s", trainer.args.task, extra={"action": "preview"})
            return
        for event, hook in epoch_ended(self._epoch_end):
            trainer.add_callback(event, hook)

    def _epoch_end(self, trainer: Trainer) -> None:
        try:
            with _undisturbed(trainer.device):
                path = self._draw(trainer)
        except Exception:
            self._complaint.make()
        else:
            trainer.on_plot(path)  # as Ultralytics does it: whoever collects plots finds this one too

    def _draw(self, trainer: Trainer) -> Path:
        import numpy as np
        from PIL import Image

        if self._images is None:
            self._images = _Images(trainer, self._count)
        labels, predictions = self._images.labels, self._images.predictions(trainer.ema.ema)
        gap = np.full((labels.shape[0], _GAP, 3), 255, np.uint8)
        path = Path(trainer.save_dir) / "previews" / f"epoch_{trainer.epoch + 1:04}.jpg"
        path.parent.mkdir(exist_ok=True)
        part = path.with_name(f".{path.name}.part")
        Image.fromarray(np.concatenate((labels, gap, predictions), axis=1)).save(part, "JPEG", quality=90)
        os.replace(part, path)
        return path


class _Images:
    """The chosen images of one training: loaded, and drawn with their labels (`labels`, (H, W, 3) uint8), once.

    They are spread evenly over the validation set. A validator of our own prepares them and reads the predictions, so
    that of the training's one nothing changes.
    """

    def __init__(self, trainer: Trainer, count: int) -> None:
        loader = trainer.test_loader
        dataset = copy(loader.dataset)
        dataset.rect = False  # all of one size; the copy's own
        count = min(count, len(dataset))
        samples = [dataset[i * len(dataset) // count] for i in range(count)]
        self._batch = (loader.collate_fn or _collate)(samples)
        self._validator = _validator(trainer)
        self._names = trainer.data["names"]
        images = self._batch["img"]  # (N, channels, H, W)
        self._zoom = max(1, _TILE // max(images.shape[2:]))
        self._canvas = images.repeat_interleave(self._zoom, -1).repeat_interleave(self._zoom, -2)
        self.labels = self._drawn({key: self._batch[key] for key in _DRAWN if key in self._batch})

    def predictions(self, model: Any) -> Any:
        """The images with what `model` makes of them, as `labels`. The model is left as it was."""
        validator = self._validator
        batch = validator.preprocess(dict(self._batch))
        with _evaluating(model, validator.args.nms is False), _precision(validator):
            validator.init_metrics(model)  # tells it the classes and the kind of head
            # One by one: a preview never needs more memory than a validation does.
            parts = [validator.postprocess(model(image[None])) for image in batch["img"]]
        return self._drawn(_to_draw(parts, validator.args.max_det, self._zoom))

    def _drawn(self, what: dict[str, Any]) -> Any:
        from ultralytics.utils.plotting import plot_images

        what.setdefault("batch_idx", _numbered(self._canvas))
        what = {key: value.detach().cpu().clone() for key, value in what.items()}  # they are scaled in place
        return plot_images(
            what,
            self._canvas.clone(),
            names=self._names,
            max_size=_HALF,
            max_subplots=len(self._canvas),
            save=False,
            conf_thres=_CONFIDENCE,
            threaded=False,
        )


#: What `plot_images` draws of a batch.
_DRAWN = ("cls", "bboxes", "masks", "keypoints", "batch_idx")


def _to_draw(parts: list[Any], max_det: int, zoom: int) -> dict[str, Any]:
    """Predictions of single images as one batch for `plot_images`.

    Detectors give a list with one dict, in pixels; classifiers a (1, classes) tensor of probabilities.
    """
    import torch
    from ultralytics.utils.ops import xyxy2xywh

    if isinstance(parts[0], torch.Tensor):
        conf, cls = torch.cat(parts).max(1)
        return {"cls": cls, "conf": conf}
    found = [part[0] for part in parts]
    batch = {key: torch.cat([each[key][:max_det] for each in found]) for key in found[0]}
    batch["batch_idx"] = torch.cat([torch.full_like(each["conf"][:max_det], i) for i, each in enumerate(found)])
    if batch["bboxes"].shape[1] == 4:  # an oriented box is (x, y, width, height, angle) already
        batch["bboxes"] = xyxy2xywh(batch["bboxes"])
    batch["bboxes"][:, :4] *= zoom
    if "keypoints" in batch:
        batch["keypoints"][..., :2] *= zoom
    return batch


def _validator(trainer: Trainer) -> Any:
    validator = trainer.get_validator()
    validator.device, validator.data = trainer.device, trainer.data
    args = validator.args
    args.conf = _CONFIDENCE
    args.plots = args.visualize = args.save_json = args.save_txt = False
    args.quantize = 16 if trainer.device.type != "cpu" and trainer.amp else None  # as validation does
    return validator


@contextmanager
def _undisturbed(device: Any) -> Iterator[None]:
    """Leave all random number generators as they are."""
    import numpy as np
    import torch

    python, numpy = random.getstate(), np.random.get_state()
    cuda = device.type == "cuda"
    with torch.random.fork_rng([device] if cuda else [], device_type="cuda"):
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)


@contextmanager
def _evaluating(model: Any, end2end: bool) -> Iterator[None]:
    """Run `model` as a validation does: no gradients, evaluation mode, with or without its NMS-free head."""
    import torch

    training, before = model.training, getattr(model, "end2end", None)
    model.eval()
    if before is not None:
        model.end2end = end2end
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(training)
        if before is not None:
            model.end2end = before


def _precision(validator: Validator) -> Any:
    from ultralytics.utils.torch_utils import autocast

    return autocast(validator.args.quantize == 16, device=validator.device.type)


def _numbered(images: Any) -> Any:
    import torch

    return torch.arange(len(images))


def _collate(samples: Any) -> Any:
    from torch.utils.data import default_collate

    return default_collate(samples)
