import inspect
import json
import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema_rs import Draft202012Validator
from ultralytics import YOLO

from AI.model_trainer.ultralytics import arguments
from AI.model_trainer.ultralytics.argument_bounds import RULES
from AI.model_trainer.ultralytics.known_models import config_for
from service.trainings.catalog import Catalog
from service.trainings.schema import train_schema
from tests.tiny import TINY, make_dataset, tiny_model

PYTHON_TYPES = {"int": int, "float": int | float, "bool": bool, "str": str, "list": list, "null": None}


@pytest.fixture(scope="module")
def described() -> dict[str, Any]:
    return arguments.describe()


def test_description_is_json(described: Any) -> None:
    assert json.loads(json.dumps(described, allow_nan=False)) == described


def test_every_argument_is_understood(described: Any) -> None:
    from ultralytics.cfg import DEFAULT_CFG_DICT

    assert described["arguments"].keys() == DEFAULT_CFG_DICT.keys()
    for name, argument in described["arguments"].items():
        assert argument["description"], name
        # All six types are what a spelling that is new to us gives.
        assert 1 <= len(argument["types"]) < len(PYTHON_TYPES), name


def test_defaults_are_of_their_own_types(described: Any) -> None:
    for name, argument in described["arguments"].items():
        default, types = argument["default"], argument["types"]
        if isinstance(default, bool) or default is None:
            assert {True: "bool", False: "bool", None: "null"}[default] in types, name
        else:
            assert any(isinstance(default, PYTHON_TYPES[kind]) for kind in types if kind != "null"), name


JSON_TYPES = {
    "int": "integer",
    "float": "number",
    "bool": "boolean",
    "str": "string",
    "list": "array",
    "dict": "object",
    "null": "null",
}


def as_schema(rule: Any) -> dict[str, Any]:
    """A rule as JSON Schema has it: their words are the same, but for those of types."""
    schema = {key: value for key, value in rule.items() if key not in ("types", "default", "description")}
    if "items" in rule:
        schema["items"] = as_schema(rule["items"])
    return schema | {"type": [JSON_TYPES[kind] for kind in rule["types"]]}


def fits(value: Any, rule: Any) -> bool:
    return Draft202012Validator(as_schema(rule)).is_valid(value)


def test_every_default_fits_its_own_rule(described: Any) -> None:
    for name, argument in described["arguments"].items():
        assert fits(argument["default"], argument), name


def test_rules_are_in_the_words_of_json_schema(described: Any) -> None:
    words = {"types", "default", "description", "minimum", "maximum", "exclusiveMinimum", "enum", "pattern"}
    words |= {"items", "minItems", "maxItems"}
    for name, argument in described["arguments"].items():
        assert argument.keys() <= words, name
        if "list" in argument["types"]:
            assert argument["items"]["types"], name
        if "enum" in argument:
            assert all(fits(option, argument) for option in argument["enum"]), name


def bounded(rule: Any) -> bool:
    """Whether everything that a rule takes has an end."""
    if "enum" in rule:
        return True
    low = rule.get("minimum", rule.get("exclusiveMinimum"))
    ends = {
        "int": low is not None and "maximum" in rule,
        "float": low is not None and "maximum" in rule,
        "str": "pattern" in rule,
        "list": "maxItems" in rule and bounded(rule.get("items", {"types": ["str"]})),
    }
    return all(ends.get(kind, True) for kind in rule["types"])


def test_every_argument_has_bounds(described: Any) -> None:
    assert len(described["arguments"]) >= 113
    assert [name for name, argument in described["arguments"].items() if not bounded(argument)] == []


def test_own_rules_are_for_arguments_that_exist(described: Any) -> None:
    assert RULES.keys() <= described["arguments"].keys()


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        ("epochs", [1, 300], [0, 1.5, True, "3", None]),
        ("batch", [16, -1, 0.7], [-2, "16", 1e9]),
        ("imgsz", [32, 640, [640, 480]], [0, -3, 9000, "640", [], [640, 480, 3], [0, 640]]),
        ("workers", [0, 8], [-1, 1000]),
        ("optimizer", ["auto", "AdamW", "RMSProp"], ["Foo", None]),
        ("cache", [True, False, "ram", "disk"], ["zzz", 1]),
        ("device", [None, "", "cpu", 0, "0,1", "cuda:0", "npu:0", [0, 1], [-1, -1]], ["gpu", -2, []]),
        ("freeze", [None, 10, [0, 3], ["23.cv2"]], [-1, [-1], "10", 10**6, [10**6]]),
        ("classes", [None, 0, [0, 2]], [-1, [0.5], "0"]),
        ("degrees", [0, 180.0], [-400, 200]),
        ("box", [0, 7.5], [-3]),
        ("seed", [0, 2**31], [-1, 2**40]),
        ("time", [None, 0.5], [-1, 1e308]),
        ("task", ["detect", "obb"], ["foo", None]),
        ("amp", [True, False, "bf16"], ["fp8", 1, None]),
        ("copy_paste_mode", ["flip", "mixup"], ["zz"]),
        ("auto_augment", [None, "augmix"], ["zz"]),
        ("split", ["val", "test"], ["zz"]),
        ("fraction", [1.0, 0.1, 200, [0.5, 0.5], [100, 10, 0]], [0, -1, [0.5], "all"]),
        ("scale", [0.5, [0.5, 2.0]], [1.5, [0.5], -0.1]),
        ("quantize", [None, 8, "int8"], [4, "int4"]),
        ("compile", [True, "reduce-overhead"], ["fast"]),
        ("save_period", [-1, 5], [-2]),
        ("close_mosaic", [0, 10], [-1]),
        ("lr0", [0.0, 1], [2.0, -0.1]),
        ("cos_lr", [True], [1, "yes"]),
    ],
)
def test_what_is_wrong_is_told_from_what_is_right(name: str, right: Any, wrong: Any, described: Any) -> None:
    rule = described["arguments"][name]
    assert [value for value in right if not fits(value, rule)] == []
    assert [value for value in wrong if fits(value, rule)] == []


def test_ranges_that_ultralytics_checks_are_its_own(described: Any) -> None:
    from ultralytics.cfg import CFG_INT_MIN, check_cfg

    checked = {name: a for name, a in described["arguments"].items() if a.get("minimum") is not None}
    checked = {name: a for name, a in checked.items() if name in CFG_INT_MIN or a.get("maximum") == 1.0}
    assert {"epochs", "lr0", "mosaic", "seed", "scale"} <= checked.keys()
    for name, argument in checked.items():
        check_cfg({name: argument["minimum"]})
        with pytest.raises(ValueError, match=name):
            check_cfg({name: argument["minimum"] - 1})
        if argument.get("maximum") == 1.0:
            check_cfg({name: argument["maximum"]})
            with pytest.raises(ValueError, match=name):
                check_cfg({name: argument["maximum"] + 1})


def test_what_fits_is_taken_by_ultralytics(described: Any) -> None:
    from ultralytics.cfg import check_cfg

    for name, argument in described["arguments"].items():
        for value in (argument["default"], *argument.get("enum", ()), argument.get("minimum"), argument.get("maximum")):
            if value is not None and fits(value, argument):
                check_cfg({name: value})


def test_types_are_those_that_ultralytics_checks(described: Any) -> None:
    from ultralytics import cfg

    checked = {"float": cfg.CFG_FLOAT_KEYS | cfg.CFG_FRACTION_KEYS, "int": cfg.CFG_INT_KEYS, "bool": cfg.CFG_BOOL_KEYS}
    for kind, names in {**checked, "str": cfg.CFG_STR_KEYS}.items():
        for name in names:
            assert kind in described["arguments"][name]["types"], name


class Begun(Exception):
    """A training has its arguments: these."""


def arguments_of(model: Any, data: Path, folder: Path, **said: Any) -> dict[str, Any]:
    """All arguments of the training that a model begins when it is told these; it does not train."""

    def end(trainer: Any) -> None:
        raise Begun(vars(trainer.args))

    model.add_callback("on_pretrain_routine_start", end)
    with pytest.raises(Begun) as begun:
        model.train(data=str(data), save_dir=str(folder), **said)
    return begun.value.args[0]


def weights_of(folder: Path, model: Any, data: Path) -> Path:
    """Weights that were trained with other arguments than the usual ones."""
    trained = YOLO(str(model))
    trained.train(data=str(data), save_dir=str(folder), **TINY, single_cls=True)
    return folder / "weights" / "last.pt"


@pytest.mark.timeout(60)  # a training
@pytest.mark.parametrize(("task", "has_weights"), [("classify", False), ("detect", True)])
def test_to_say_a_default_is_as_good_as_to_say_nothing(
    tmp_path: Path, task: str, has_weights: bool, described: dict[str, Any]
) -> None:
    payload = train_schema(Catalog.of(described)).schema["properties"]
    rules = payload["hyperparameters"]["properties"]
    defaults = {name: rule["default"] for name, rule in rules.items() if "default" in rule}
    assert len(defaults) > 90
    data, model = make_dataset(tmp_path / "data", task), tiny_model(tmp_path, task)
    if has_weights:
        model = weights_of(tmp_path / "weights", model, data)
    silent = arguments_of(YOLO(str(model)), data, tmp_path / "run")
    assert arguments_of(YOLO(str(model)), data, tmp_path / "run", **defaults) == silent
    others = {name for name, argument in described["arguments"].items() if silent[name] != argument["default"]}
    others &= rules.keys() - {"device", "workers"}  # which say what there is here
    assert others == ({"imgsz", "single_cls"} if has_weights else {"imgsz"})


def test_spelling_that_is_new_refuses_nothing() -> None:
    assert arguments._types("epochs", 1, "int, complex") == list(PYTHON_TYPES)


def test_models_are_official_names(described: Any) -> None:
    from ultralytics.utils.downloads import GITHUB_ASSETS_STEMS

    models = described["models"]
    assert {"yolov8n", "yolo11s-seg", "yolo26n", "rtdetr-l"} <= set(models) <= GITHUB_ASSETS_STEMS
    assert not [name for name in models if "sam" in name.lower() or "clip" in name]


def test_model_configs_are_found_by_ultralytics(described: Any) -> None:
    from ultralytics.nn.tasks import yaml_model_load

    configs = described["model_configs"]
    assert {"yolov8n.yaml", "yolo11x-seg.yaml", "yolov8m-pose-p6.yaml", "yolov9t.yaml", "rtdetr-l.yaml"} <= set(configs)
    for name in configs:
        model = yaml_model_load(name)
        assert model["backbone"], name
        assert not model["scale"] or not model.get("scales") or model["scale"] in model["scales"], name


def test_table_has_every_name_once(described: Any) -> None:
    table = {row["name"]: row for row in described["model_table"]}
    assert len(table) == len(described["model_table"])
    assert {name for name, row in table.items() if row["weights"]} == set(described["models"])
    assert {f"{name}.yaml" for name, row in table.items() if row["config"]} == set(described["model_configs"])
    assert all(row.keys() == {"name", "family", "size", "task", "weights", "config"} for row in table.values())


@pytest.mark.parametrize(
    ("name", "family", "size", "task", "weights", "config"),
    [
        ("yolov8n", "yolov8", "n", "detect", True, True),
        ("yolo11x-seg", "yolo11", "x", "segment", True, True),
        ("yolo26m-pose", "yolo26", "m", "pose", True, True),
        ("yolo26n-sem-ade20k", "yolo26", "n", "semantic", True, False),
        ("yolo12n-obb", "yolo12", "n", "obb", False, True),
        ("yolov8-cls", "yolov8", None, "classify", False, True),
        ("yolov5n6u", "yolov5", "n", "detect", True, False),
        ("yolov3-tinyu", "yolov3", None, "detect", True, False),
        ("yolov9c-seg", "yolov9", "c", "segment", True, True),
        ("yolov8x-pose-p6", "yolov8", "x", "pose", True, True),
        ("yoloe-11s-seg", "yoloe-11", "s", "segment", True, True),
        ("rtdetr-l", "rtdetr", "l", "detect", True, True),
        ("rtdetr-resnet50", "rtdetr", None, "detect", False, True),
    ],
)
def test_row_of_the_table(
    name: str, family: str, size: int, task: str, weights: Path, config: str, described: Any
) -> None:
    expected = {"name": name, "family": family, "size": size, "task": task, "weights": weights, "config": config}
    assert next(row for row in described["model_table"] if row["name"] == name) == expected


def test_tasks_of_model_files_are_those_of_their_last_layer(described: Any) -> None:
    from ultralytics.nn.tasks import guess_model_task, yaml_model_load

    for row in described["model_table"]:
        if row["config"]:
            guessed = guess_model_task(yaml_model_load(f"{row['name']}.yaml"))
            assert row["task"] == (guessed or "detect"), row["name"]  # of RT-DETR's head it makes nothing


@pytest.mark.parametrize(
    ("weights", "config"),
    [("yolov8n", "yolov8n.yaml"), ("yolov5s6u", "yolov5s-p6.yaml"), ("yolov3-sppu", "yolov3-spp.yaml")],
)
def test_model_file_of_official_weights(weights: Path, config: str) -> None:
    assert config_for(weights) == config


def test_weights_without_a_model_file() -> None:
    assert config_for("yolov8n-oiv7") is None


def test_names_of_before_are_those_that_ultralytics_still_takes(described: Any) -> None:
    """Read in the code: it has no list of them."""
    from ultralytics.cfg import DEFAULT_CFG_DICT, _handle_deprecation

    words = set(re.findall(r'"(\w+)"', inspect.getsource(_handle_deprecation).split('"""')[2]))
    assert words - DEFAULT_CFG_DICT.keys() - {"None", "false", "none", "0"} == described["deprecated"].keys()
    for name, types in described["deprecated"].items():
        value = {"float": 0.5, "bool": True, "int": 3}[types[0]]
        assert name not in arguments.translate({name: value})
