"""Training that runs no code out of a file: weights, model files, a dataset's YAML and what lies beside its images.

Ultralytics can load weights as data and build models without evaluating their file, by a switch that it reads when it
is imported. Here that switch is turned for one training, and what it leaves open is closed with it.
"""

import os
import pickle
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from typing import Any

from AI.model_trainer.ultralytics.downloads import rebound


class UnsafeFile(ValueError):
    """Raised when a file that should hold data (`path`) names code that would have been run."""

    def __init__(self, path: object) -> None:
        super().__init__(f"{path} holds more than data: it was not loaded")
        self.path = path


class ForeignWeights(ValueError):
    """Raised when a layer of a model file would get weights from the net: from `url`."""

    def __init__(self, url: str) -> None:
        super().__init__(f"a layer asks for the weights at {url}: downloading is disabled; set `weights: null`")
        self.url = url


def restricted() -> AbstractContextManager[None]:
    """Have Ultralytics load nothing but data for as long as this lasts.

    It counts for the whole process: a training in another thread is restricted meanwhile as well. Label caches are
    neither read nor written then, except where `label_cache.redirect` keeps them.
    """
    return _SWITCH.on()


class _Switch:
    """Rebinds while anybody asks for it; `_lock` guards the count."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._changes = ExitStack()

    @contextmanager
    def on(self) -> Iterator[None]:
        with self._lock:
            if not self._users:
                with ExitStack() as changes:
                    _restrict(changes)
                    self._changes = changes.pop_all()
            self._users += 1
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if not self._users:
                    self._changes.close()


_SWITCH = _Switch()


def _restrict(changes: ExitStack) -> None:
    from torchvision.models import _api as torchvision_models
    from ultralytics.data import dataset
    from ultralytics.engine import trainer, validator
    from ultralytics.models.yolo.world import train as world
    from ultralytics.models.yolo.yoloe import train as yoloe
    from ultralytics.nn import tasks
    from ultralytics.utils import torch_utils

    def change(module: Any, name: str, value: object) -> None:
        changes.enter_context(rebound(module, name, value))

    # Weights without pickle's calls, `activation:` without eval, layers that are layers.
    change(tasks, "SAFE_LOAD", True)
    changes.enter_context(_variable("ULTRALYTICS_SAFE_LOAD", "1"))  # for the processes of a multi-GPU training
    # The layer TorchVision gets weights by itself, whatever `offline` says.
    change(torchvision_models, "load_state_dict_from_url", _refuse)
    # Stripping the optimizer at the end, and text embeddings that YOLO-World and YOLOE look for beside the images.
    for module in (torch_utils, world, yoloe):
        change(module, "torch_load", partial(_load, tasks))
    # `download:` of a dataset's YAML is a shell command, or Python.
    for module in (trainer, validator):
        change(module, "check_det_dataset", partial(module.check_det_dataset, autodownload=False))
    # Label caches beside the labels are pickles, and one that is there already is deleted.
    if dataset.load_dataset_cache_file.__module__.startswith("ultralytics."):
        change(dataset, "load_dataset_cache_file", _no_cache)
        change(dataset, "save_dataset_cache_file", _keep_version)


def _load(tasks: Any, file: Any, **options: Any) -> Any:
    """`torch.load` of tensors and of the classes that Ultralytics' own checkpoints are made of. Raises UnsafeFile."""
    import torch

    with tasks._SafeLoad.loading(file):
        try:
            return torch.load(file, **{**options, "weights_only": True})
        except pickle.UnpicklingError as error:
            raise UnsafeFile(file) from error


def _refuse(url: str, *arguments: object, **options: object) -> Any:
    raise ForeignWeights(url)


def _no_cache(path: object) -> Any:
    raise FileNotFoundError(path)


def _keep_version(prefix: str, path: object, x: dict[str, Any], version: str) -> None:
    x["version"] = version  # the caller counts on it, whether or not anything is written


@contextmanager
def _variable(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
