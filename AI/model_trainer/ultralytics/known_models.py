"""The models that the installed Ultralytics knows by name: official weights and packaged model files."""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

#: What the library trains, looks through and draws; Ultralytics has more.
TASKS = ("detect", "segment", "classify", "pose", "obb")

_SCALES = "nsmlx"

#: `yolov8n-seg` is family `yolov8`, size `n`, and what is left of the name.
_NAME = re.compile(
    r"(?P<family>yoloe-v?\d+|yolov?\d+|rtdetr)-?(?P<size>(?<=-)[lx]$|(?<=\d)[bcelmnstx](?=$|\d|u|-))?(?P<rest>.*)"
)

#: Parts of a name that say the task; without one it is detection.
_WORDS = {
    "seg": "segment",
    "cls": "classify",
    "pose": "pose",
    "obb": "obb",
    "sem": "semantic",
    "depth": "depth",
}


def official() -> list[str]:
    """Names, without `.pt`, of the official weights that YOLO can train."""
    from ultralytics.utils.downloads import GITHUB_ASSETS_NAMES

    names = (name.removesuffix(".pt") for name in GITHUB_ASSETS_NAMES if name.endswith(".pt"))
    return sorted(name for name in names if name.startswith(("yolo", "rtdetr")) and not name.startswith("yolo_nas"))


@cache
def packaged() -> tuple[str, ...]:
    """Names, with `.yaml`, of the packaged model files."""
    return tuple(sorted(_packaged()))


def _packaged() -> Iterator[str]:
    # Where a file has several sizes (`scales`), the letter goes after the version number.
    import yaml
    from ultralytics.utils import ROOT

    for path in (Path(ROOT) / "cfg" / "models").rglob("*.yaml"):
        yield path.name
        scales = yaml.safe_load(path.read_text(encoding="utf-8")).get("scales") or {}
        version = re.match(r"yolo(e-)?v?\d+", path.stem)
        if version and len(scales) > 1:
            yield from (f"{version[0]}{letter}{path.name[version.end() :]}" for letter in _SCALES if letter in scales)


def table() -> list[dict[str, Any]]:
    """One row for each name: `name`, `family`, `size` (a letter or None), `task`, and whether there are weights and a
    model file (`config`) under it."""
    weights, configs = set(official()), {name.removesuffix(".yaml") for name in packaged()}
    return [
        {"name": name, **_parts(name), "weights": name in weights, "config": name in configs}
        for name in sorted(weights | configs)
    ]


def _parts(name: str) -> dict[str, str | None]:
    match = _NAME.fullmatch(name)
    if match is None:  # a family that is new here
        return {"family": name.partition("-")[0], "size": None, "task": task_in(name)}
    return {"family": match["family"], "size": match["size"], "task": task_in(match["rest"])}


def task_in(rest: str) -> str:
    """The task that what follows a model's family and size says, such as `-seg`."""
    return next((_WORDS[word] for word in rest.split("-") if word in _WORDS), "detect")


def config_for(name: str) -> str | None:
    """The model file that has the architecture of these official weights; None when there is none of that name."""
    # The weights of the oldest families end in "u"; those for large images in "6", their files in "-p6".
    plain = re.sub(r"(\d[nsmlx])6u$", r"\1-p6", name)
    for stem in (name, plain, name.removesuffix("u")):
        if f"{stem}.yaml" in packaged():
            return f"{stem}.yaml"
    return None
