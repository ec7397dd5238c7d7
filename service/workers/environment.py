"""The environment that workers find."""

import os
from collections.abc import Collection
from pathlib import Path

from service.workers import limits


def worker_environment(folder: Path, passed: Collection[str] = ()) -> dict[str, str | None]:
    """What workers find in their environment: nothing is loaded unsafely, installed, or sent anywhere.

    None is what they do not find: what is none of their business, except for the names in `passed`.

    Ultralytics reads these once, at import (its own names; see `docs/architecture.md`).
    """
    return {
        **limits.withheld(os.environ, passed),
        "ULTRALYTICS_SAFE_LOAD": "1",
        "TORCH_FORCE_WEIGHTS_ONLY_LOAD": "1",
        "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": None,
        "YOLO_OFFLINE": "1",
        "YOLO_AUTOINSTALL": "false",
        "ULTRALYTICS_SKIP_REQUIREMENTS_CHECKS": "1",
        "YOLO_CONFIG_DIR": str(folder / "config"),
        "MPLCONFIGDIR": str(folder / "config"),
        "MPLBACKEND": "Agg",
        # `compile` keeps code here. Its own choice is a name below /tmp that anybody may have made before.
        "TORCHINDUCTOR_CACHE_DIR": str(folder / "cache" / "compiled"),
        # Threads that wait for each other sleep instead of spinning: where another process wants the cores too,
        # spinning makes a training five to ten times slower (docs/decisions/0005).
        "OMP_WAIT_POLICY": "PASSIVE",
        # NVML numbers GPUs by their slots. CUDA would put the fastest first, and another one would train.
        "CUDA_DEVICE_ORDER": os.environ.get("CUDA_DEVICE_ORDER", "PCI_BUS_ID"),
        "ULTRALYTICS_API_KEY": None,
        # Where it is set, Ultralytics takes itself for its own test suite and writes elsewhere.
        "PYTEST_CURRENT_TEST": None,
    }
