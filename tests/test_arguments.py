import json

import pytest

from AI.model_trainer import arguments
from tests import tiny  # keeps Ultralytics off the network  # noqa: F401

PYTHON_TYPES = {"int": int, "float": int | float, "bool": bool, "str": str, "list": list, "null": None}


@pytest.fixture(scope="module")
def described():
    return arguments.describe()


def test_description_is_json(described):
    assert json.loads(json.dumps(described, allow_nan=False)) == described


def test_every_argument_is_understood(described):
    from ultralytics.cfg import DEFAULT_CFG_DICT

    assert described["arguments"].keys() == DEFAULT_CFG_DICT.keys()
    for name, argument in described["arguments"].items():
        assert argument["description"], name
        # All six types are what a spelling that is new to us gives.
        assert 1 <= len(argument["types"]) < len(PYTHON_TYPES), name


def test_defaults_are_of_their_own_types(described):
    for name, argument in described["arguments"].items():
        default, types = argument["default"], argument["types"]
        if isinstance(default, bool) or default is None:
            assert {True: "bool", False: "bool", None: "null"}[default] in types, name
        else:
            assert any(isinstance(default, PYTHON_TYPES[kind]) for kind in types if kind != "null"), name


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("epochs", {"types": ["int"], "default": 100, "minimum": 1}),
        ("batch", {"types": ["int", "float"], "default": 16}),
        ("lr0", {"types": ["float"], "default": 0.01, "minimum": 0.0, "maximum": 1.0}),
        ("time", {"types": ["float", "null"], "default": None}),
        ("device", {"types": ["int", "str", "list", "null"], "default": None}),
        ("freeze", {"types": ["int", "list", "null"], "default": None}),
        ("scale", {"types": ["float", "list"], "default": 0.5, "minimum": 0.0, "maximum": 1.0}),
        ("fraction", {"types": ["int", "float", "list"], "default": 1.0}),
        ("auto_augment", {"types": ["str", "null"], "default": "randaugment"}),
        ("cos_lr", {"types": ["bool"], "default": False}),
    ],
)
def test_types_and_ranges(described, name, expected):
    argument = dict(described["arguments"][name])
    assert argument.pop("description")
    assert argument == expected


def test_ranges_are_those_that_ultralytics_checks(described):
    from ultralytics.cfg import check_cfg

    bounded = {name: a for name, a in described["arguments"].items() if "minimum" in a}
    assert {"epochs", "lr0", "mosaic", "seed", "scale"} <= bounded.keys()
    for name, argument in bounded.items():
        check_cfg({name: argument["minimum"]})
        with pytest.raises(ValueError, match=name):
            check_cfg({name: argument["minimum"] - 1})
        if "maximum" in argument:
            check_cfg({name: argument["maximum"]})
            with pytest.raises(ValueError, match=name):
                check_cfg({name: argument["maximum"] + 1})


def test_types_are_those_that_ultralytics_checks(described):
    from ultralytics import cfg

    checked = {"float": cfg.CFG_FLOAT_KEYS | cfg.CFG_FRACTION_KEYS, "int": cfg.CFG_INT_KEYS, "bool": cfg.CFG_BOOL_KEYS}
    for kind, names in {**checked, "str": cfg.CFG_STR_KEYS}.items():
        for name in names:
            assert kind in described["arguments"][name]["types"], name


def test_spelling_that_is_new_refuses_nothing():
    assert arguments._types("epochs", 1, "int, complex") == list(PYTHON_TYPES)


def test_models_are_official_names(described):
    from ultralytics.utils.downloads import GITHUB_ASSETS_STEMS

    models = described["models"]
    assert {"yolov8n", "yolo11s-seg", "yolo26n", "rtdetr-l"} <= set(models) <= GITHUB_ASSETS_STEMS
    assert not [name for name in models if "sam" in name.lower() or "clip" in name]


def test_model_configs_are_found_by_ultralytics(described):
    from ultralytics.nn.tasks import yaml_model_load

    configs = described["model_configs"]
    assert {"yolov8n.yaml", "yolo11x-seg.yaml", "yolov8m-pose-p6.yaml", "yolov9t.yaml", "rtdetr-l.yaml"} <= set(configs)
    for name in configs:
        model = yaml_model_load(name)
        assert model["backbone"], name
        assert not model["scale"] or not model.get("scales") or model["scale"] in model["scales"], name
