"""Keeps the weights of Ultralytics' AMP check where all weights are.

Before it trains on a CUDA GPU with mixed precision, Ultralytics compares predictions of yolo26n with and without it.
For that it downloads yolo26n.pt, into a folder `weights` below the current directory unless its settings say otherwise.
"""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

from AI.model_trainer.ultralytics import patches
from AI.model_trainer.ultralytics.downloads import WeightsFolder
from AI.model_trainer.ultralytics.hooks import Hooks
from AI.model_trainer.ultralytics.objects import Trainer

_WEIGHTS = "yolo26n.pt"


class AmpCheck:
    """Has the check use, and fill, the weights folder; with `offline` it asks nobody.

    Where there are no weights the check is skipped, as Ultralytics itself does without a net: mixed precision stays on
    except on the GPUs that are known to fail. It holds plain data, as hooks of a multi-GPU run must.
    """

    def __init__(self, folder: Path, offline: bool) -> None:
        self._folder = folder
        self._offline = offline

    def hooks(self) -> Hooks:
        """Ultralytics callbacks."""
        return [("on_pretrain_routine_start", self._setup_start)]

    def _setup_start(self, trainer: Trainer) -> None:
        if trainer.device.type == "cuda":
            patches.apply_for_good("ultralytics.engine.trainer:check_amp", self._check)

    def _check(self, model: Any) -> bool:
        from ultralytics.utils import checks

        found = WeightsFolder(self._folder).find(_WEIGHTS)
        with patches.ONE_AT_A_TIME, ExitStack() as changes:
            folder = found.parent if found else self._folder
            changes.enter_context(patches.applied("ultralytics.utils:WEIGHTS_DIR", folder))
            if self._offline:
                changes.enter_context(patches.applied("ultralytics.utils.downloads:safe_download", _refuse))
            return bool(checks.check_amp(model))


def _refuse(*_: object, **__: object) -> None:
    raise ConnectionError("downloads are off")
