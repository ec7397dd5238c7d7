"""What `POST /train` takes, against a table of arguments as small as it can be."""

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import InvalidJson, InvalidPayload
from service.trainings.catalog import Catalog
from service.trainings.train_request import parse

CATALOG = Catalog.of(
    {
        "arguments": {
            "epochs": {"types": ["int"], "minimum": 1},
            "imgsz": {"types": ["int", "list"]},
            "lr0": {"types": ["float"], "minimum": 0, "maximum": 1},
            "plots": {"types": ["bool"]},
            "optimizer": {"types": ["str"], "enum": ["SGD", "AdamW", "auto"]},
            "cache": {"types": ["bool", "str"], "enum": [True, False, "ram", "disk"]},
            "classes": {"types": ["list", "null"], "items": {"types": ["int"], "minimum": 0}, "maxItems": 3},
            "fraction": {"types": ["float"], "exclusiveMinimum": 0, "maximum": 1},
            "pretrained": {"types": ["bool", "str"]},
            "distill_model": {"types": ["str"]},
            "auto_augment": {"types": ["str"], "pattern": "^[a-z]+$"},
            "freeze": {"types": ["int", "list", "null"]},
            "data": {"types": ["str", "null"]},
            "project": {"types": ["str", "null"]},
            "resume": {"types": ["bool"]},
            "device": {"types": ["str", "int", "list", "null"]},
        },
        "models": ["yolov8n", "yolo11n", "yolov8s-seg"],
        "model_configs": ["yolov8n.yaml", "yolo11n.yaml"],
        "model_table": [],
        "deprecated": {"label_smoothing": ["float"], "half": ["bool", "null"]},
    }
)
GOOD = {"model": "yolov8n", "fit_params": {"data": "/d.yaml"}}


def check(payload: Any) -> None:
    parse(orjson.dumps(payload), CATALOG)


def faults(payload: Any) -> list[dict[str, str]]:
    with pytest.raises(InvalidPayload) as caught:
        check(payload)
    return [fault.as_dict() for fault in caught.value.faults]


@pytest.mark.parametrize("model", ["yolov8n", "yolov8n.pt", "yolo11n", "yolov8n.yaml", "yolov8s-seg"])
def test_names_that_are_known_are_taken(model: str) -> None:
    assert parse(orjson.dumps(GOOD | {"model": model}), CATALOG).model == model


def test_a_file_of_one_s_own_is_taken_by_its_absolute_path(tmp_path: Any) -> None:
    for name in ("own.pt", "own.yaml"):
        (tmp_path / name).write_text("head: [[-1, 1, Classify, [nc]]]\n")
        check(GOOD | {"model": str(tmp_path / name)})
    assert faults(GOOD | {"model": str(tmp_path / "other.pt")}) == [
        {"pointer": "/model", "detail": f"there is no .pt or .yaml file {tmp_path / 'other.pt'}"}
    ]


@pytest.mark.parametrize(
    ("model", "detail", "suggestion"),
    [
        ("yolo8n", "unknown model", "yolov8n"),
        ("yolov8n.yml", "unknown model file", "yolov8n.yaml"),
        ("own.pt", "unknown model", None),
        ("../yolov8n.pt", "unknown model", "yolov8n"),
        ("http://host/triton", "must be a name or a path, not an address", None),
        ("https://host/a.pt", "must be a name or a path, not an address", None),
        ("ul://a/b", "must be a name or a path, not an address", None),
        ("a.onnx", "must be a known model, a .pt or a .yaml, got '.onnx'", None),
        ("yolov8n\0.pt", "must be a name or a path, not an address", None),
    ],
)
def test_a_model_that_is_not_there_is_a_fault(model: str, detail: str, suggestion: str | None) -> None:
    expected = {"pointer": "/model", "detail": detail} | ({"suggestion": suggestion} if suggestion else {})
    assert faults(GOOD | {"model": model}) == [expected]


@pytest.mark.parametrize(
    "hyperparameters",
    [
        {"epochs": 1},
        {"imgsz": 640},
        {"imgsz": [640, 480]},
        {"lr0": 0},
        {"lr0": 0.5},
        {"plots": True},
        {"optimizer": "SGD"},
        {"cache": "ram"},
        {"cache": False},
        {"classes": [0, 3]},
        {"classes": None},
        {"freeze": None},
    ],
)
def test_values_of_their_type_and_range_are_taken(hyperparameters: dict[str, Any]) -> None:
    taken = parse(orjson.dumps(GOOD | {"hyperparameters": hyperparameters}), CATALOG)
    assert taken.hyperparameters == hyperparameters
    fit_params = GOOD["fit_params"] | hyperparameters  # type: ignore[operator]
    assert parse(orjson.dumps(GOOD | {"fit_params": fit_params}), CATALOG).fit_params == fit_params


def test_a_whole_number_may_be_written_with_a_point() -> None:
    """JSON Schema takes 3.0 for an integer; Ultralytics does not."""
    given = {"epochs": 3.0, "imgsz": [640.0, 480], "lr0": 1.0, "classes": [0.0], "freeze": 1e300}
    with pytest.raises(InvalidPayload) as caught:
        parse(orjson.dumps(GOOD | {"hyperparameters": given}), CATALOG)
    assert [fault.pointer for fault in caught.value.faults] == ["/hyperparameters/freeze"]
    del given["freeze"]
    taken = parse(orjson.dumps(GOOD | {"hyperparameters": given}), CATALOG).hyperparameters
    assert orjson.dumps(taken) == b'{"epochs":3,"imgsz":[640.0,480],"lr0":1.0,"classes":[0]}'


@pytest.mark.parametrize(
    ("name", "value", "detail"),
    [
        ("epochs", "3", 'must be integer, got "3"'),
        ("epochs", True, "must be integer, got true"),
        ("epochs", 2.5, "must be integer, got 2.5"),
        ("epochs", None, "must be integer, got null"),
        ("epochs", 0, "must be at least 1, got 0"),
        ("imgsz", {}, "must be integer or array, got {}"),
        ("lr0", 7, "must be at least 0 and at most 1, got 7"),
        ("lr0", -0.1, "must be at least 0 and at most 1, got -0.1"),
        ("plots", 1, "must be boolean, got 1"),
        ("optimizer", ["SGD"], 'must be one of ["SGD","AdamW","auto"], got ["SGD"]'),
        ("cache", 1, 'must be one of [true,false,"ram","disk"], got 1'),
        ("classes", [1, 2, 3, 4], "must have 0 to 3 items, got 4"),
        ("fraction", 0, "must be above 0 and at most 1, got 0"),
        ("auto_augment", "A1", 'must match ^[a-z]+$, got "A1"'),
        ("auto_augment", "http://host/a", "must not be an address"),
        ("pretrained", "http://host/a.pt", 'must be boolean, got "http://host/a.pt"'),
        ("pretrained", "/own/weights.pt", 'must be boolean, got "/own/weights.pt"'),
        ("classes", [0, 1, "2"], 'item 2: must be integer, got "2"'),
        ("classes", [-1], "item 0: must be at least 0, got -1"),
    ],
)
def test_a_value_of_another_type_or_out_of_range_is_a_fault(name: str, value: Any, detail: str) -> None:
    assert faults(GOOD | {"hyperparameters": {name: value}}) == [
        {"pointer": f"/hyperparameters/{name}", "detail": detail}
    ]


@pytest.mark.parametrize(
    "name", ["project", "name", "save_dir", "exist_ok", "cfg", "resume", "mode", "task", "distill_model"]
)
def test_what_the_service_decides_is_refused(name: str) -> None:
    for section in ("hyperparameters", "fit_params"):
        payload = (
            GOOD | {section: {"data": "/d.yaml", name: "x"}}
            if section == "fit_params"
            else GOOD | {section: {name: "x"}}
        )
        assert faults(payload) == [{"pointer": f"/{section}/{name}", "detail": "is decided by the service"}]


def test_an_unknown_argument_is_a_fault_with_the_nearest_name() -> None:
    assert faults(GOOD | {"hyperparameters": {"epoch": 3, "Lr0": 0.1, "zzz": 1, "a/b~c": 1}}) == [
        {"pointer": "/hyperparameters/epoch", "detail": "unknown argument", "suggestion": "epochs"},
        {"pointer": "/hyperparameters/Lr0", "detail": "unknown argument", "suggestion": "lr0"},
        {"pointer": "/hyperparameters/zzz", "detail": "unknown argument"},
        {"pointer": "/hyperparameters/a~1b~0c", "detail": "unknown argument"},
    ]


def test_a_misspelt_choice_gets_the_nearest_one() -> None:
    (fault,) = faults(GOOD | {"hyperparameters": {"optimizer": "adam"}})
    assert fault["suggestion"] == "AdamW"


def test_capitals_do_not_matter_where_ultralytics_takes_any() -> None:
    given = {"optimizer": "adamw", "cache": "RAM"}
    taken = parse(orjson.dumps(GOOD | {"hyperparameters": given}), CATALOG).hyperparameters
    assert taken == {"optimizer": "AdamW", "cache": "ram"}


def test_names_of_before_are_left_to_ultralytics() -> None:
    """It says in the log what became of them."""
    check(GOOD | {"hyperparameters": {"label_smoothing": 0.1, "half": None}})
    assert faults(GOOD | {"hyperparameters": {"half": "yes"}}) == [
        {"pointer": "/hyperparameters/half", "detail": 'is deprecated, and must be boolean or null, got "yes"'}
    ]


def test_augmentations_may_be_said_to_be_none() -> None:
    check(GOOD | {"hyperparameters": {"augmentations": None}})
    (fault,) = faults(GOOD | {"hyperparameters": {"project": None}})
    assert fault["detail"] == "is decided by the service"


@pytest.mark.parametrize("device", ["0", 1, [0, 1], "-1", "cuda:3"])
def test_devices_are_the_service_s_to_give(device: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.workers.gpus.gpus_to_use", list)
    check(GOOD | {"hyperparameters": {"device": "cpu"}})
    (fault,) = faults(GOOD | {"hyperparameters": {"device": device}})
    assert fault["pointer"] == "/hyperparameters/device"
    assert fault["detail"] == "this machine has no GPU: leave device out, or give cpu"
    monkeypatch.setattr("service.workers.gpus.gpus_to_use", lambda: ["0"])
    (fault,) = faults(GOOD | {"hyperparameters": {"device": device}})
    assert fault["detail"] == "GPUs are assigned by the service: leave device out, or give cpu"


def test_data_belongs_to_fit_params_alone() -> None:
    found = faults({"model": "yolov8n", "hyperparameters": {"data": "/d.yaml"}, "fit_params": {}})
    assert [fault["pointer"] for fault in found] == ["/hyperparameters/data", "/fit_params/data"]


@pytest.mark.parametrize(
    ("payload", "pointer"),
    [
        ([], ""),
        ("text", ""),
        ({}, "/model"),
        ({"model": "yolov8n"}, "/fit_params"),
        (GOOD | {"model": 3}, "/model"),
        (GOOD | {"model": ""}, "/model"),
        (GOOD | {"fit_params": []}, "/fit_params"),
        (GOOD | {"hyperparameters": "x"}, "/hyperparameters"),
        (GOOD | {"hyperparametres": {}}, "/hyperparametres"),
        (GOOD | {"fit_params": {"data": "/d.yaml", "progress_callback": "os.system"}}, "/fit_params/progress_callback"),
        (GOOD | {"fit_params": {"data": "/d.yaml", "tick_interval": 0.01}}, "/fit_params/tick_interval"),
        (GOOD | {"fit_params": {"data": "/d.yaml", "threads": 64}}, "/fit_params/threads"),
    ],
)
def test_a_payload_of_another_shape_is_a_fault_at_its_place(payload: Any, pointer: str) -> None:
    assert pointer in [fault["pointer"] for fault in faults(payload)]


def test_weights_that_are_not_there_are_refused_where_nothing_is_downloaded(tmp_path: Any) -> None:
    body = orjson.dumps(GOOD)
    with pytest.raises(InvalidPayload) as caught:
        parse(body, CATALOG, tmp_path)
    (fault,) = caught.value.faults
    assert fault.as_dict() == {
        "pointer": "/model",
        "detail": f"yolov8n.pt is not in {tmp_path}, and nothing is downloaded (--offline)",
        "suggestion": "yolov8n.yaml",
    }
    (tmp_path / "yolov8n.pt").touch()
    assert parse(body, CATALOG, tmp_path).model == "yolov8n"
    assert parse(orjson.dumps(GOOD | {"model": "yolo11n.yaml"}), CATALOG, tmp_path).model == "yolo11n.yaml"


def test_what_only_this_machine_knows_has_a_code_of_its_own() -> None:
    """Programs tell by it whether the payload is to be mended, or something is to be put where it is looked for."""
    for payload, code in ((GOOD | {"model": "unknown"}, "cannot_train"), (GOOD | {"model": 3}, "invalid_payload")):
        with pytest.raises(InvalidPayload) as caught:
            check(payload)
        assert caught.value.code == code


def test_a_misspelt_field_gets_the_nearest_one() -> None:
    (fault,) = faults(GOOD | {"hyperparametres": {}})
    assert (fault["detail"], fault["suggestion"]) == ("unknown field", "hyperparameters")


def test_what_is_nested_too_deep_is_a_fault_and_not_an_exception() -> None:
    deep = "[" * 300 + "]" * 300
    with pytest.raises(InvalidPayload) as caught:
        parse(f'{{"model": "yolov8n", "fit_params": {{"data": {deep}}}}}'.encode(), CATALOG)
    (fault,) = caught.value.faults
    assert (fault.pointer, fault.detail) == ("", "is nested more than 8 levels deep")


def test_a_payload_of_nothing_but_faults_is_answered_with_the_first_ones() -> None:
    assert len(faults(GOOD | {"hyperparameters": {f"wrong{number}": 1 for number in range(5_000)}})) == 50


def test_a_name_too_long_for_the_file_system_is_a_fault() -> None:
    (fault,) = faults(GOOD | {"model": f"/{'x' * 300}.pt"})
    assert fault["pointer"] == "/model"


@pytest.mark.parametrize("body", [b"", b"nope", b'{"a": NaN}', b'{"a": 1,}', b"\xff", b'{"a": "\xed\xa0\x80"}'])
def test_what_is_not_json_is_told_apart(body: bytes) -> None:
    with pytest.raises(InvalidJson):
        parse(body, CATALOG)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
NAMES = st.sampled_from([*CATALOG.arguments, "tick_interval", "preview", "epoch", ""])


@given(
    st.fixed_dictionaries(
        {"model": st.sampled_from(["yolov8n", "/", "/\x7f.pt", "a" * 300]) | JSON},
        optional={
            "hyperparameters": st.dictionaries(NAMES, JSON, max_size=3) | JSON,
            "fit_params": st.dictionaries(NAMES, JSON, max_size=3) | JSON,
        },
    )
    | JSON
)
def test_whatever_is_sent_is_a_request_or_a_fault(payload: Any) -> None:
    body = json.dumps(payload).encode()
    try:
        request = parse(body, CATALOG)
    except (InvalidJson, InvalidPayload) as error:
        assert len(str(error)) < 20_000
    else:
        assert request.model
