import json
import subprocess
import sys

import pytest

PROGRAM = """
import json, os, sys, threading
import AI.model_trainer.preload as preload
import torch
with open("/proc/self/status") as status:
    threads = next(int(line.split()[1]) for line in status if line.startswith("Threads:"))
print(json.dumps({
    "missing": preload.missing,
    "python_threads": threading.active_count(),
    "threads": threads,
    "cuda": torch.cuda.is_initialized(),
    "polars": "polars" in sys.modules,
    "omp": os.environ["OMP_NUM_THREADS"],
    "warm": sorted({"torchvision", "matplotlib.pyplot", "ultralytics.models.yolo.detect.train"} & set(sys.modules)),
}))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc; other systems do not fork")
def test_preload_imports_everything_and_starts_nothing():
    run = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert json.loads(run.stdout.splitlines()[-1]) == {
        "missing": [],
        "python_threads": 1,
        "threads": 1,
        "cuda": False,
        "polars": False,
        "omp": "1",
        "warm": ["matplotlib.pyplot", "torchvision", "ultralytics.models.yolo.detect.train"],
    }
