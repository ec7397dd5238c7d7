"""Ultralytics under a prepared folder: its settings are taken as they are, and it talks to nobody."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from AI.model_trainer.ultralytics import config_dir

ROOT = Path(__file__).parent.parent


@pytest.mark.timeout(60)  # a Python of its own imports Ultralytics
def test_ultralytics_takes_the_settings_and_asks_for_no_font(tmp_path: Path) -> None:
    config_dir.prepare(tmp_path / "config")
    code = (
        "import socket, json\n"
        "def refuse(*arguments, **named): raise SystemExit(f'asked the net: {arguments}')\n"
        "socket.getaddrinfo = refuse\n"
        "from ultralytics.utils import SETTINGS, USER_CONFIG_DIR\n"
        "from ultralytics.utils.checks import check_font\n"
        "assert check_font('Arial.ttf').is_file() and check_font('Arial.Unicode.ttf').is_file()\n"
        "print(json.dumps(dict(SETTINGS)))\n"
    )
    environment = {"YOLO_CONFIG_DIR": str(tmp_path / "config"), "YOLO_OFFLINE": "1", "PATH": os.environ["PATH"]}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    lines = done.stdout.strip().splitlines()
    assert len(lines) == 1, "it created or migrated settings"
    settings = json.loads(lines[0])
    assert settings["sync"] is False
    assert not any(settings[name] for name in ("clearml", "comet", "dvc", "mlflow", "raytune", "wandb", "api_key"))
    assert settings["weights_dir"] == str(tmp_path / "config" / "weights")


def test_settings_that_exist_are_left_alone(tmp_path: Path) -> None:
    config_dir.prepare(tmp_path)
    settings = tmp_path / "Ultralytics" / "settings.json"
    settings.write_text("{}")
    config_dir.prepare(tmp_path)
    assert settings.read_text() == "{}"
