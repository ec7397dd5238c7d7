"""A configuration folder for Ultralytics under which a training says nothing to anybody.

Ultralytics reads its settings when it is imported and looks for a font when it first draws; where they are missing it
writes defaults (analytics on) and asks the net. So the folder is filled before, without importing Ultralytics.
"""

import importlib.util
import json
import os
import shutil
from pathlib import Path

#: Version of the settings schema in ultralytics 8.4 (`SettingsManager`); another one takes over what it knows of it.
SETTINGS_VERSION = "0.0.8"
#: Everything that reports to somebody or prints advertisements.
_OFF = ("sync", "clearml", "comet", "dvc", "mlflow", "raytune", "tensorboard", "wandb", "vscode_msg", "openvino_msg")
#: The fonts that Ultralytics draws labels with; any TrueType font will do under their names.
_FONTS = ("Arial.ttf", "Arial.Unicode.ttf")


def prepare(folder: str | os.PathLike[str]) -> Path:
    """Fill `folder`, to be named by the environment variable YOLO_CONFIG_DIR, unless it is filled already.

    Datasets, weights and runs without a place of their own go below it. Repeatable; the settings are left as they are
    once they exist.
    """
    root = Path(folder).absolute()
    home = root / "Ultralytics"
    home.mkdir(parents=True, exist_ok=True)
    settings = home / "settings.json"
    if not settings.exists():
        part = settings.with_suffix(".part")
        part.write_text(json.dumps(_settings(root), indent=2))
        os.replace(part, settings)
    _place_fonts(home)
    return root


def _settings(root: Path) -> dict[str, object]:
    return {
        "settings_version": SETTINGS_VERSION,
        "datasets_dir": str(root / "datasets"),
        "weights_dir": str(root / "weights"),
        "runs_dir": str(root / "runs"),
        "uuid": "",
        "api_key": "",
        "openai_api_key": "",
        **dict.fromkeys(_OFF, False),
    }


def _place_fonts(home: Path) -> None:
    found = importlib.util.find_spec("matplotlib")
    if found is None or not found.submodule_search_locations:
        return
    source = Path(found.submodule_search_locations[0]) / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf"
    for name in _FONTS:
        if source.is_file() and not (home / name).exists():
            shutil.copyfile(source, home / name)
