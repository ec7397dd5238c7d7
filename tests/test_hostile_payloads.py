"""Payloads that nobody should send, through the real service with the installed Ultralytics' arguments.

Each has its answer, and none of them starts a process or writes a file.
"""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from service.workers.launcher import Launcher
from tests.conftest import Running, serve
from tests.tiny import make_dataset

pytestmark = pytest.mark.timeout(60)  # the first start of a worker imports torch

OPTIMIZERS = '["auto","SGD","MuSGD","Adam","Adamax","AdamW","NAdam","RAdam","RMSProp"]'
COMPILE = '[true,false,"default","reduce-overhead","max-autotune","max-autotune-no-cudagraphs"]'
PRECISIONS = '[null,8,16,32,"8","16","32","int8","fp16","fp32","w8a8","w16a16","w32a32","w8a16","w8a32"]'

#: An argument, a value for it, what is wrong with it, and what is suggested.
ARGUMENTS: list[tuple[Any, ...]] = [
    ("epochs", 0, "must be at least 1 and at most 1000000, got 0"),
    ("epochs", -1, "must be at least 1 and at most 1000000, got -1"),
    ("epochs", 1.5, "must be integer, got 1.5"),
    ("epochs", "3", 'must be integer, got "3"'),
    ("epochs", True, "must be integer, got true"),
    ("epochs", None, "must be integer, got null"),
    ("epochs", [3], "must be integer, got [3]"),
    ("epochs", {}, "must be integer, got {}"),
    ("epochs", 10000000, "must be at least 1 and at most 1000000, got 10000000"),
    ("epochs", 1e308, "must be at least 1 and at most 1000000, got 1e+308"),
    ("epochs", 1000000000000000000000000000000, "must be at least 1 and at most 1000000, got 1e+30"),
    ("imgsz", 0, "must be at least 32 and at most 8192, got 0"),
    ("imgsz", 31, "must be at least 32 and at most 8192, got 31"),
    ("imgsz", 8193, "must be at least 32 and at most 8192, got 8193"),
    ("imgsz", "640", 'must be integer or array, got "640"'),
    ("imgsz", [640, 480, 3], "must have 1 to 2 items, got 3"),
    ("imgsz", [640, "480"], 'item 1: must be integer, got "480"'),
    ("imgsz", None, "must be integer or array, got null"),
    ("imgsz", 64.5, "must be integer or array, got 64.5"),
    ("batch", -2, "must be at least -1 and at most 65536, got -2"),
    ("batch", 70000, "must be at least -1 and at most 65536, got 70000"),
    ("batch", "16", 'must be integer or number, got "16"'),
    ("batch", None, "must be integer or number, got null"),
    ("batch", True, "must be integer or number, got true"),
    ("workers", -1, "must be at least 0 and at most 256, got -1"),
    ("workers", 257, "must be at least 0 and at most 256, got 257"),
    ("workers", 2.5, "must be integer, got 2.5"),
    ("workers", "8", 'must be integer, got "8"'),
    ("optimizer", "Foo", f'must be one of {OPTIMIZERS}, got "Foo"'),
    ("optimizer", "nadamm", f'must be one of {OPTIMIZERS}, got "nadamm"', "NAdam"),
    ("optimizer", None, f"must be one of {OPTIMIZERS}, got null"),
    ("optimizer", 3, f"must be one of {OPTIMIZERS}, got 3"),
    ("optimizer", ["SGD"], f'must be one of {OPTIMIZERS}, got ["SGD"]'),
    ("cache", "zzz", 'must be one of [true,false,"ram","disk"], got "zzz"'),
    ("cache", 1, 'must be one of [true,false,"ram","disk"], got 1'),
    ("cache", "DISC", 'must be one of [true,false,"ram","disk"], got "DISC"', "disk"),
    ("cache", "/etc", 'must be one of [true,false,"ram","disk"], got "/etc"'),
    ("device", "0", "this machine has no GPU: leave device out, or give cpu"),
    ("device", -1, "this machine has no GPU: leave device out, or give cpu"),
    ("device", "cuda:0", "this machine has no GPU: leave device out, or give cpu"),
    ("device", [0, 1], "this machine has no GPU: leave device out, or give cpu"),
    ("device", "mps", "this machine has no GPU: leave device out, or give cpu"),
    ("device", True, 'must be one of [null,"","cpu"], got true'),
    ("device", {}, 'must be one of [null,"","cpu"], got {}'),
    ("freeze", -1, "must be at least 0 and at most 10000, got -1"),
    ("freeze", "10", 'must be integer or array or null, got "10"'),
    ("freeze", [-1], "item 0: must be at least 0 and at most 10000, got -1"),
    ("freeze", ["a b"], 'item 0: must match ^[\\w.]{1,200}$, got "a b"'),
    ("freeze", [0] * 1_001, "must have 0 to 1000 items, got 1001"),
    ("freeze", {}, "must be integer or array or null, got {}"),
    ("classes", -1, "must be at least 0 and at most 1000000, got -1"),
    ("classes", "0", 'must be integer or array or null, got "0"'),
    ("classes", [0.5], "item 0: must be integer, got 0.5"),
    ("classes", [10000000], "item 0: must be at least 0 and at most 1000000, got 10000000"),
    ("classes", [[0]], "item 0: must be integer, got [0]"),
    ("project", "/etc", "is decided by the service"),
    ("name", "../x", "is decided by the service"),
    ("save_dir", "/tmp", "is decided by the service"),
    ("exist_ok", True, "is decided by the service"),
    ("cfg", "x.yaml", "is decided by the service"),
    ("resume", True, "is decided by the service"),
    ("mode", "export", "is decided by the service"),
    ("task", "pose", "is decided by the service"),
    ("model", "x.pt", "is decided by the service"),
    ("distill_model", "/x.pt", "is decided by the service"),
    ("augmentations", ["x"], "is decided by the service"),
    ("source", "http://x", "is decided by the service"),
    ("tracker", "x.yaml", "is decided by the service"),
    ("pretrained", "/x.pt", 'must be boolean, got "/x.pt"'),
    ("pretrained", "https://host/x.pt", 'must be boolean, got "https://host/x.pt"'),
    ("progress_callback", "os.system", "unknown argument"),
    ("should_stop", "x", "unknown argument"),
    ("threads", 99, "unknown argument"),
    ("weights_dir", "/", "unknown argument", "weight_decay"),
    ("safe", False, "unknown argument", "save"),
    ("offline", False, "unknown argument"),
    ("data", "/d.yaml", "belongs to fit_params"),
    ("__class__", "x", "unknown argument", "classes"),
    ("lr0 ", 0.1, "unknown argument", "lr0"),
    ("", 1, "unknown argument"),
    ("a/b~c", 1, "unknown argument"),
    ("Epochs", 1, "unknown argument", "epochs"),
    ("lr", 0.1, "unknown argument", "lrf"),
    ("lr0", 2, "must be at least 0.0 and at most 1.0, got 2"),
    ("lr0", -1e-09, "must be at least 0.0 and at most 1.0, got -1e-9"),
    ("momentum", 1.5, "must be at least 0.0 and at most 1.0, got 1.5"),
    ("box", -1, "must be at least 0 and at most 1000000, got -1"),
    ("degrees", 181, "must be at least 0 and at most 180, got 181"),
    ("seed", 1099511627776, "must be at least 0 and at most 4294901760, got 1099511627776"),
    ("seed", -1, "must be at least 0 and at most 4294901760, got -1"),
    ("time", -1, "must be at least 0 and at most 1000000, got -1"),
    ("fraction", 0, "must be above 0 and at most 1000000000, got 0"),
    ("scale", [0.5], "must have 2 to 2 items, got 1"),
    ("auto_augment", "zz", 'must be one of [null,"randaugment","autoaugment","augmix"], got "zz"'),
    ("amp", "fp8", 'must be one of [true,false,"fp16","bf16","fp32"], got "fp8"'),
    (
        "compile",
        "fast",
        f'must be one of {COMPILE}, got "fast"',
    ),
    ("split", "dev", 'must be one of ["train","val","test"], got "dev"'),
    ("copy_paste_mode", "x", 'must be one of ["flip","mixup"], got "x"'),
    (
        "quantize",
        "int4",
        f'must be one of {PRECISIONS}, got "int4"',
        "int8",
    ),
    ("format", "../x", 'must match ^[a-z0-9_-]{0,40}$, got "../x"'),
    ("format", "torchscript\n", 'must match ^[a-z0-9_-]{0,40}$, got "torchscript\\n"'),
    ("plots", 1, "must be boolean, got 1"),
    ("val", "yes", 'must be boolean, got "yes"'),
    ("close_mosaic", -1, "must be at least 0 and at most 1000000, got -1"),
    ("save_period", -2, "must be at least -1 and at most 1000000, got -2"),
    ("mosaic", 2, "must be at least 0.0 and at most 1.0, got 2"),
    ("shear", -181, "must be at least -180 and at most 180, got -181"),
    ("format", "http://x/", "must not be an address"),
    ("max_det", 0, "must be at least 1 and at most 100000, got 0"),
    ("nbs", 0, "must be at least 1 and at most 65536, got 0"),
]


#: What is told of the dataset in the same answer.
NO_DATA = ("/fit_params/data", "there is no file /d.yaml")

#: A whole body, its status, and its detail, or where it has errors and which.
BODIES: list[tuple[Any, int, Any]] = [
    *[
        (body, 400, "the body is not JSON: ")
        for body in (
            b"",
            b"{",
            b"NaN",
            b"{'model': 'yolov8n'}",
            b'{"hyperparameters": {"lr0": NaN}}',
            b'{"hyperparameters": {"lr0": Infinity}}',
            b'{"hyperparameters": {"lr0": 1e400}}',
            b'{"hyperparameters": {"epochs": 1' + b"0" * 5_000 + b"}}",
            b'{"model": "\\ud800"}',
            b'{"model": "a\0b"}',
            b"\xff\xfe{\x00}\x00",
            b"\xef\xbb\xbf{}",
            b"[" * 100_000,
            b'{"a":' * 100_000,
        )
    ],
    (b"[" * 500 + b"]" * 500, 422, [("", "is nested more than 8 levels deep")]),
    (b'{"a":' * 500 + b"0" + b"}" * 500, 422, [("", "is nested more than 8 levels deep")]),
    (b" " * 1_000_001, 413, "the body is longer than 1000000 bytes, the most that is read"),
    (b'{"model": "' + b"x" * 1_000_000 + b'"}', 413, "the body is longer than 1000000 bytes, the most that is read"),
    (None, 422, [("", "must be object, got null")]),
    ([], 422, [("", "must be object, got []")]),
    ("text", 422, [("", 'must be object, got "text"')]),
    ({}, 422, [("/model", "is required"), ("/fit_params", "is required")]),
    (
        {"model": 3, "fit_params": {}},
        422,
        [("/model", "must be string, got 3"), ("/fit_params/data", "is required: the absolute path of a dataset")],
    ),
    (
        {"model": "", "fit_params": {}},
        422,
        [("/model", "must not be empty"), ("/fit_params/data", "is required: the absolute path of a dataset")],
    ),
    (
        {"model": "x" * 5_000, "fit_params": {}},
        422,
        [
            ("/model", "must have at most 4096 characters, got 5000"),
            ("/fit_params/data", "is required: the absolute path of a dataset"),
        ],
    ),
    ({"model": "yolov8n.yaml", "fit_params": []}, 422, [("/fit_params", "must be object, got []")]),
    (
        {"model": "yolov8n.yaml", "fit_params": {}, "callbacks": {}},
        422,
        [("/fit_params/data", "is required: the absolute path of a dataset"), ("/callbacks", "unknown field")],
    ),
    (
        {"model": "yolov8n.yaml", "fit_params": {}, "__proto__": {}},
        422,
        [("/fit_params/data", "is required: the absolute path of a dataset"), ("/__proto__", "unknown field")],
    ),
    (
        {"model": "yolov8n.yaml", "fit_params": {}},
        422,
        [("/fit_params/data", "is required: the absolute path of a dataset")],
    ),
    (
        {"model": "yolov8n.yaml", "fit_params": {"data": "/d.yaml", "tick_interval": 0}},
        422,
        [("/fit_params/tick_interval", "must be at least 0.1 and at most 3600, got 0"), NO_DATA],
    ),
    (
        {"model": "yolov8n.yaml", "fit_params": {"data": "/d.yaml", "preview": 33}},
        422,
        [("/fit_params/preview", "must be at least 0 and at most 32, got 33"), NO_DATA],
    ),
    (
        {"model": "yolov8n.yaml", "fit_params": {"data": "/d.yaml", "progress_callback": "os.system"}},
        422,
        [("/fit_params/progress_callback", "unknown argument"), NO_DATA],
    ),
    (
        {"model": "yolov8n.yaml", "fit_params": {"data": "/d.yaml", "/" * 100_000: 1}},
        422,
        [("/fit_params/" + "~1" * 100 + "…", "unknown argument"), NO_DATA],
    ),
    (
        {"model": "yolov8n.yaml", "fit_params": {"data": "/d.yaml"}, "x" * 100_000: 1},
        422,
        [("/" + "x" * 100 + "…", "unknown field"), NO_DATA],
    ),
]

TOO_LARGE = "it has more than 250000 values, each alias (*name) counted in full"

#: A model, what is wrong with it, and what is suggested.
MODELS: list[tuple[str, ...]] = [
    ("http://host/a.pt", "must be a name or a path, not an address"),
    ("https://host/yolov8n.pt", "must be a name or a path, not an address"),
    ("file:///etc/passwd", "must be a name or a path, not an address"),
    ("ul://user/project/model", "must be a name or a path, not an address"),
    ("yolov8n.pt\0.yaml", "must be a name or a path, not an address"),
    ("model.onnx", "must be a known model, a .pt or a .yaml, got '.onnx'"),
    ("/etc/passwd", "there is no .pt or .yaml file /etc/passwd"),
    ("/dev/zero", "there is no .pt or .yaml file /dev/zero"),
    ("/nowhere/a.pt", "there is no .pt or .yaml file /nowhere/a.pt"),
    ("../yolov8n.pt", "unknown model", "yolov8n"),
    ("sub/yolov8n.pt", "unknown model", "yolov8n"),
    ("yolov8n.yml", "unknown model file", "yolov8n.yaml"),
    ("yolo8n", "unknown model", "yolov8n"),
    ("-rf", "unknown model"),
    ("$(id)", "unknown model"),
    (" ", "unknown model"),
    ("{here}/pipe.pt", "there is no .pt or .yaml file {here}/pipe.pt"),
    ("{here}/pipe.yaml", "there is no .pt or .yaml file {here}/pipe.yaml"),
    ("{here}/loop.pt", "there is no .pt or .yaml file {here}/loop.pt"),
    ("{here}/empty.yaml", "{here}/empty.yaml describes a model of 0 layers, expected 1 to 10000"),
    ("{here}/huge.yaml", "{here}/huge.yaml describes a model of 100000001 layers, expected 1 to 10000"),
    ("{here}/bomb.yaml", "{here}/bomb.yaml cannot be read as YAML: {too_large}"),
    (
        "{here}/yolov8n6.yaml",
        "{here}/yolov8n6.yaml would not be read: Ultralytics looks for yolov8n-p6.yaml, give it that name",
    ),
]

COCO = (
    "coco.json is JSON, perhaps in COCO format: convert it with ultralytics.data.converter.convert_coco,"
    " then give a data.yaml"
)
WINDOWS = "'C:\\\\Users\\\\a\\\\data.yaml' is a Windows path: give the path on the machine of the service"
TAR = "data.tar.gz is an archive that this service cannot read: unpack it and give its data.yaml, or pack it as .zip"

SCRIPT = (
    "coco.yaml is downloaded by a script, which this service does not run: download it yourself and give its data.yaml"
)
ABSENT = (
    "coco8.yaml is not in the data folder: start the service with --allow-downloads, or put coco8.zip into {datasets}"
)

#: A dataset's path, what is wrong with it, and what is suggested.
DATA: list[tuple[Any, ...]] = [
    (3, "must be string, got 3"),
    (None, "must be string, got null"),
    (["/a.yaml", "/b.yaml"], 'must be string, got ["/a.yaml","/b.yaml"]'),
    ("", "must be the path of a dataset, got ''"),
    ("relative.yaml", "must be an absolute path, or a name that Ultralytics knows, got 'relative.yaml'"),
    ("../../etc/passwd", "must be an absolute path, or a name that Ultralytics knows, got '../../etc/passwd'"),
    ("coco.yaml", SCRIPT),
    ("coco8.yaml", ABSENT),
    ("https://host/data.zip", "must not be an address"),
    ("ul://user/datasets/x", "must not be an address"),
    ("/etc/passwd", "must be a .yaml file, got 'passwd'"),
    ("/nowhere.yaml", "there is no file /nowhere.yaml"),
    ("/proc", "/proc has no .yaml in it: only a classification model trains on a folder without one"),
    ("coco8", "'coco8' is not a dataset that Ultralytics knows", "coco8.yaml"),
    ("/a/coco.json", COCO),
    ("C:\\Users\\a\\data.yaml", WINDOWS),
    ("/a/data.tar.gz", TAR),
    ("/a\0.yaml", "must be a path without control characters, got '/a\\x00.yaml'"),
    ("/a\r\nX-Evil: 1.yaml", "must be a path without control characters, got '/a\\r\\nX-Evil: 1.yaml'"),
    ("{here}/pipe.yaml", "{here}/pipe.yaml cannot be read: not a regular file"),
    ("{here}/loop.yaml", "there is no file {here}/loop.yaml"),
    ("{here}/empty.yaml", "{here}/empty.yaml is not a mapping: expected the keys path, train, val and names"),
    ("{here}/bomb.yaml", "{here}/bomb.yaml cannot be read as YAML: {too_large}"),
    ("{here}/" + "x" * 300 + ".yaml", None),
]


@pytest.fixture
async def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Running]:
    monkeypatch.setattr("service.workers.gpus.gpus_to_use", list)
    async with serve(tmp_path / "data", program="tests.trainings:count") as running:
        await asyncio.wait_for(asyncio.shield(running.state["readiness"].catalog), 40)
        yield running


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A folder of files that are none."""
    folder = tmp_path / "here"
    make_dataset(folder / "set")
    for name in ("pipe.pt", "pipe.yaml"):
        os.mkfifo(folder / name)
    for name in ("loop.pt", "loop.yaml"):
        (folder / name).symlink_to(folder / name)
    (folder / "empty.yaml").touch()
    (folder / "yolov8n6.yaml").write_text("backbone: [[-1, 1, Conv, [8]]]\n")
    (folder / "huge.yaml").write_text("backbone: [[-1, 100000000, Conv, [8, 3, 2]]]\nhead: [[-1, 1, Classify, [nc]]]\n")
    levels = "".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]\n" for n in range(1, 10))
    (folder / "bomb.yaml").write_text(f"l0: &l0 [x]\n{levels}head: [[1, 1, *l9]]\nnames: *l9\n")
    return folder


def table(here: Path) -> list[tuple[Any, int, Any]]:
    """All of the above: body, status, and detail or errors."""
    data = str(here / "set" / "data.yaml")
    rows = list(BODIES)
    for name, value, detail, *suggestion in ARGUMENTS:
        for section in ("hyperparameters", "fit_params"):
            if detail == "belongs to fit_params" and section == "fit_params":
                continue
            arguments = {section: {name: value}}
            body = {
                "model": "yolov8n.yaml",
                **arguments,
                "fit_params": {"data": data, **arguments.get("fit_params", {})},
            }
            pointer = f"/{section}/{name.replace('~', '~0').replace('/', '~1')}"
            rows.append((body, 422, [(pointer, detail, *suggestion)]))
    for model, detail, *suggestion in MODELS:
        body = {"model": model.replace("{here}", str(here)), "fit_params": {"data": data}}
        rows.append(
            (
                body,
                422,
                [("/model", detail.replace("{here}", str(here)).replace("{too_large}", TOO_LARGE), *suggestion)],
            )
        )
    for place, detail, *suggestion in DATA:
        place = place.replace("{here}", str(here)) if isinstance(place, str) else place
        detail = (
            detail.replace("{here}", str(here))
            .replace("{datasets}", str(here.parent / "data" / "datasets"))
            .replace("{too_large}", TOO_LARGE)
            if detail
            else f"{place} cannot be read: File name too long"
        )
        rows.append(
            ({"model": "yolov8n.yaml", "fit_params": {"data": place}}, 422, [("/fit_params/data", detail, *suggestion)])
        )
    return rows


def listing(folder: Path) -> dict[str, Any]:
    """Every file, and what it holds (the log's shared memory apart, which changes when it is read)."""
    files = [path for path in folder.rglob("*") if path.name != "log.db-shm"]
    return {str(path): path.read_bytes() if path.is_file() else path.lstat().st_mode for path in files}


async def test_each_gets_its_answer_and_none_starts_or_writes_anything(
    service: Running, here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(*_: Any) -> Any:
        raise AssertionError("a process was started")

    monkeypatch.setattr(Launcher, "start", start)
    rows = table(here)
    before = listing(tmp_path)
    wrong = []
    for body, status, expected in rows:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        response = await service.http.post("/train", content=content, headers={"Content-Type": "application/json"})
        answer = response.json()
        if isinstance(expected, str):
            fits = answer["detail"].startswith(expected)
        else:
            assert "errors" in answer, (content, answer)
            errors = [dict(zip(("pointer", "detail", "suggestion"), error, strict=False)) for error in expected]
            fits = answer["errors"] == errors
        if (response.status_code, response.headers["content-type"]) != (status, "application/problem+json") or not fits:
            wrong.append((content[:200], status, expected, answer))
    assert not wrong, "\n".join(map(repr, wrong))
    assert len(rows) >= 60
    assert listing(tmp_path) == before
    assert (await service.http.get("/jobs")).json()["jobs"] == []
    assert (await service.http.get("/readyz")).status_code == 200


async def test_models_outside_of_the_named_folders_are_refused(tmp_path: Path) -> None:
    from tests.tiny import tiny_model

    data, inside, outside = make_dataset(tmp_path / "set"), tmp_path / "in", tmp_path / "out"
    model = tiny_model(inside)
    (inside / "linked.yaml").symlink_to(tiny_model(outside))
    options = {"program": "tests.trainings:count", "model_root": (inside,)}
    async with serve(tmp_path / "data", **options) as service:

        async def post(path: Path | str) -> tuple[int, Any]:
            response = await service.http.post("/train", json={"model": str(path), "fit_params": {"data": str(data)}})
            return response.status_code, response.json().get("errors")

        own = tiny_model(service.data / "jobs" / "x" / "run" / "weights")
        for path in (model, own, "yolov8n.yaml"):
            assert (await post(path))[0] == 202
        for path in (outside / "tiny.yaml", inside / "linked.yaml", f"{inside}/../out/tiny.yaml", "/nowhere.pt"):
            status, errors = await post(path)
            assert status == 422
            assert errors == [
                {"pointer": "/model", "detail": f"{path} is outside of the folders that --model-root names"}
            ]
