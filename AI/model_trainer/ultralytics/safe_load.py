"""Training that runs no code out of a file: weights, model files, a dataset's YAML and what lies beside its images.

Ultralytics can load weights as data and build models without evaluating their file, by a switch that it reads when it
is imported. Here that switch is turned for one training, and what it leaves open is closed with it; what that is, and
why, stands in `patch_register`.
"""

import os
import pickle
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from typing import Any

from AI.model_trainer.errors import ForeignWeights, PatchLost, UnsafeFile
from AI.model_trainer.ultralytics.patch_register import PATCHES
from AI.model_trainer.ultralytics.patches import applied, find, require_tested

_DESCRIPTION = ":check_det_dataset"
_READ_CACHE = "ultralytics.data.dataset:load_dataset_cache_file"
_WRITE_CACHE = "ultralytics.data.dataset:save_dataset_cache_file"


def restricted() -> AbstractContextManager[None]:
    """Have Ultralytics load nothing but data for as long as this lasts.

    It counts for the whole process: a training in another thread is restricted meanwhile as well. Label caches are
    neither read nor written then, except where `label_cache.redirect` keeps them. Raises UntestedVersion, PatchLost.
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
    from ultralytics.nn import tasks

    require_tested()
    if not tasks._SafeLoad.SUPPORTED:  # Ultralytics would then unpickle all the same, without a word
        raise PatchLost("ultralytics.nn.tasks:SAFE_LOAD", "torch is too old to load weights as data")
    values = {
        "ultralytics.nn.tasks:SAFE_LOAD": True,
        "torchvision.models._api:load_state_dict_from_url": _refuse,
        **dict.fromkeys((target for target in PATCHES if target.endswith(":torch_load")), partial(_load, tasks)),
        **{target: partial(find(target), autodownload=False) for target in PATCHES if target.endswith(_DESCRIPTION)},
    }
    if find(_READ_CACHE).__module__.startswith("ultralytics."):  # otherwise `label_cache` keeps them already
        values |= {_READ_CACHE: _no_cache, _WRITE_CACHE: _keep_version}
    for target, value in values.items():
        changes.enter_context(applied(target, value))
    changes.enter_context(_variable("ULTRALYTICS_SAFE_LOAD", "1"))  # for the processes of a multi-GPU training


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
