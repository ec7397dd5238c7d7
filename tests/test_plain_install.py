"""A service without the extra `train`: it answers, keeps its log, and says what to install before it can train."""

import signal
from pathlib import Path

import pytest

from tests.process import run

pytestmark = pytest.mark.timeout(120)

#: Run by every Python of the service at its start: these packages are not to be found.
WITHOUT = """
import sys
from importlib.machinery import PathFinder

GONE = {"torch", "torchvision", "ultralytics", "ultralytics_platform", "thop", "cv2", "matplotlib", "polars"}


class Finder(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in GONE else super().find_spec(name, path, target)


sys.meta_path[:] = [Finder if finder is PathFinder else finder for finder in sys.meta_path]
"""


async def test_a_service_without_what_trains_answers_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(WITHOUT)
    environment = {"PYTHONPATH": str(tmp_path / "site")}
    async with run(tmp_path / "data", whole=True, environment=environment) as service:
        refused = await service.http.post("/train", json={"model": "yolov8n.yaml", "fit_params": {"data": "/d.yaml"}})
        assert refused.status_code == 503
        reason = "workers cannot start: ultralytics is not installed; install yolo-trainer[train]"
        assert refused.json()["detail"].startswith(reason)
        assert reason in (await service.http.get("/readyz")).text
        assert (await service.http.get("/jobs")).status_code == 200
        payload = (await service.http.get("/openapi.json")).json()["components"]["schemas"]["TrainRequest"]
        assert payload["properties"]["hyperparameters"].get("additionalProperties", True) is True
        assert "POST /train" in (await service.http.get("/docs")).text
        service.process.send_signal(signal.SIGTERM)
