import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tiny import TINY, make_dataset, tiny_model

pytestmark = pytest.mark.timeout(60)  # the first start of a worker imports torch

# Does what a forkserver does: imports, and then forks one worker after the other.
PROGRAM = """
import json, multiprocessing, os, sys, threading
import AI.model_trainer.ultralytics.preload as preload
import torch
with open("/proc/self/status") as status:
    threads = next(int(line.split()[1]) for line in status if line.startswith("Threads:"))
told = {
    "missing": preload.missing,
    "python_threads": threading.active_count(),
    "threads": threads,
    "cuda": torch.cuda.is_initialized(),
    "polars": "polars" in sys.modules,
    "omp": os.environ["OMP_NUM_THREADS"],
    "warm": sorted({"torchvision", "matplotlib.pyplot", "ultralytics.models.yolo.detect.train"} & set(sys.modules)),
    "exitcodes": [],
}
payload = json.loads(sys.argv[1])
from AI.model_trainer import train_from_payload
for number in (1, 2):
    payload["fit_params"]["save_dir"] += str(number)
    worker = multiprocessing.get_context("fork").Process(target=train_from_payload, args=(payload,))
    worker.start()
    worker.join()
    told["exitcodes"].append(worker.exitcode)
print(json.dumps(told))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not fork")
def test_preload_imports_everything_starts_nothing_and_its_forks_train(tmp_path: Path) -> None:
    data, model = make_dataset(tmp_path / "data"), tiny_model(tmp_path)
    fit_params = {"data": str(data), "save_dir": str(tmp_path / "run"), "threads": 2}
    payload = {"model": str(model), "hyperparameters": TINY, "fit_params": fit_params}
    command = [sys.executable, "-c", PROGRAM, json.dumps(payload)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=50)
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout.splitlines()[-1]) == {
        "missing": [],
        "python_threads": 1,
        "threads": 1,
        "cuda": False,
        "polars": False,
        "omp": "1",
        "warm": ["matplotlib.pyplot", "torchvision", "ultralytics.models.yolo.detect.train"],
        "exitcodes": [0, 0],
    }
    assert (tmp_path / "run12" / "weights" / "best.pt").is_file()
