"""What Ultralytics takes as training arguments: names, types, ranges, models; read from the installed version.

Where the installed version leaves a range open, `argument_bounds` has one.
"""

import difflib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from AI.model_trainer.errors import InvalidArgument, UnknownArgument
from AI.model_trainer.ultralytics import known_datasets, known_models
from AI.model_trainer.ultralytics.argument_bounds import RULES

#: One line of Ultralytics' cfg/default.yaml: `epochs: 100 # (int) number of epochs to train for`.
_LINE = re.compile(r"^(?P<name>\w+):.*? # \((?P<types>[^)]*)\) (?P<description>.*)$", re.MULTILINE)

#: How that file spells types, and what JSON (and this module) calls them.
_TYPES = {
    "int": "int",
    "float": "float",
    "bool": "bool",
    "str": "str",
    "list": "list",
    "list[int]": "list",
    "tuple": "list",
    "optional": "null",
}

#: Accepted by Ultralytics beside what is in its default.yaml (`check_dict_alignment` in ultralytics/cfg/__init__.py).
_UNLISTED = ("augmentations", "save_dir")

#: Names of before, which Ultralytics translates or drops, with a warning (`_handle_deprecation`), and their types.
DEPRECATED: Mapping[str, list[str]] = {
    "label_smoothing": ["float"],
    "save_hybrid": ["bool"],
    "crop_fraction": ["float"],
    "keras": ["bool"],
    "boxes": ["bool"],
    "hide_labels": ["bool"],
    "hide_conf": ["bool"],
    "line_thickness": ["int", "null"],
    "end2end": ["bool", "null"],
    "int8": ["bool", "null"],
    "half": ["bool", "null"],
}

#: Chosen by `build_model` and by the fact that this library trains.
_CHOSEN = ("model", "mode")


def translate(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments under today's names, with paths as strings.

    Ultralytics itself answers an unknown name with a SyntaxError and the help text of its command line.

    Raises UnknownArgument: when a name is not known. Raises InvalidArgument: when it is for `build_model` to say.
    """
    from ultralytics.cfg import DEFAULT_CFG_DICT, _handle_deprecation

    if chosen := sorted(set(arguments) & set(_CHOSEN)):
        raise InvalidArgument(f"{chosen[0]} is not a training argument here: give the model to build_model instead")
    # Paths: they are stored in checkpoints, and Ultralytics' safe loading refuses Path objects.
    translated = {name: os.fspath(v) if isinstance(v, os.PathLike) else v for name, v in arguments.items()}
    translated = _handle_deprecation(translated)
    for name in sorted(set(translated) - set(DEFAULT_CFG_DICT) - set(_UNLISTED)):
        raise UnknownArgument(name, next(iter(difflib.get_close_matches(name, DEFAULT_CFG_DICT)), None))
    return dict(translated)


def describe() -> dict[str, Any]:
    """All that the installed Ultralytics takes, as a JSON object. Imports Ultralytics (seconds, when it is cold).

    `arguments` maps each name to `types` (of int, float, bool, str, list, null; a float may be written as an
    int), `default`, `description` and, where there are any, bounds and choices by JSON Schema's names (see
    `argument_bounds`): `minimum` and `maximum` are for a value that is a number, `enum` has all values that are
    allowed, `items` is the rule for a list's items, with `types` of its own.

    `models` are the official names whose weights can be downloaded, `model_configs` the packaged model files; both
    without those that YOLO cannot train. `model_table` has one row for each name of either: `name`, `family`, `size`,
    `task`, `weights` and `config` (whether it is among the first, the second). `datasets` maps names of datasets to
    the addresses of their archives, or null (see `known_datasets`). `deprecated` maps names of before to their types.
    """
    from ultralytics import __version__

    return {
        "ultralytics": __version__,
        "arguments": _arguments(),
        "models": known_models.official(),
        "model_configs": list(known_models.packaged()),
        "model_table": known_models.table(),
        "datasets": known_datasets.packaged(),
        "deprecated": dict(DEPRECATED),
    }


def _arguments() -> dict[str, dict[str, Any]]:
    from ultralytics.cfg import DEFAULT_CFG_DICT, DEFAULT_CFG_PATH

    lines = {line["name"]: line for line in _LINE.finditer(Path(DEFAULT_CFG_PATH).read_text(encoding="utf-8"))}
    described = {}
    for name, default in DEFAULT_CFG_DICT.items():
        line = lines.get(name)
        described[name] = {
            "types": _types(name, default, line["types"] if line else ""),
            "default": default,
            **RULES.get(name, {}),
            **_bounds(name),
            "description": line["description"] if line else "",
        }
    return described


def _types(name: str, default: object, spelled: str) -> list[str]:
    words = [word.strip() for word in re.split(r"[,|]", spelled)]
    # A spelling that is new here says nothing, so nothing is refused because of it.
    types = {_TYPES[word] for word in words} if all(word in _TYPES for word in words) else set(_TYPES.values())
    # Ultralytics lets auto_augment be None although its default is a name.
    if default is None or name == "auto_augment":
        types.add("null")
    return [kind for kind in dict.fromkeys(_TYPES.values()) if kind in types]


def _bounds(name: str) -> dict[str, float]:
    from ultralytics.cfg import CFG_FRACTION_KEYS, CFG_INT_MIN

    if name in CFG_INT_MIN:
        return {"minimum": CFG_INT_MIN[name]}
    # `fraction` may also be a number of images; `scale` is checked apart from the other fractions.
    if (name in CFG_FRACTION_KEYS and name != "fraction") or name == "scale":
        return {"minimum": 0.0, "maximum": 1.0}
    return {}
