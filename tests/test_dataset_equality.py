"""What a training of the service sees of a dataset is what `yolo train` sees of it.

Datasets are generated in all shapes that people have; Ultralytics' own data stage reads the original and the copy.
"""

import codecs
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from service.datasets import description
from service.errors import InvalidPayload
from tests.tiny import OFFLINE

pytestmark = pytest.mark.timeout(60)  # it trains

ROWS = {
    "detect": ["0 0.5 0.5 0.4 0.4", "1 0.25 0.25 0.2 0.3"],
    "segment": ["0 0.2 0.2 0.8 0.2 0.8 0.8", "1 0.1 0.1 0.4 0.1 0.4 0.4 0.1 0.4"],
    "obb": ["0 0.2 0.2 0.8 0.2 0.8 0.8 0.2 0.8", "1 0.1 0.2 0.4 0.1 0.4 0.4 0.1 0.4"],
    "pose": ["0 0.5 0.5 0.4 0.4 0.3 0.3 2 0.7 0.7 1", "1 0.25 0.25 0.2 0.3 0.2 0.2 0 0.3 0.3 2"],
}
KEYS = {"kpt_shape", "flip_idx", "kpt_oks_sigmas", "kpt_names", "channels"}
#: How an image is labelled → the text of its label, from the rows of its task; None: it has none.
LABELS: dict[str, Callable[[list[str]], str | None]] = {
    "sound": "\n".join,
    "none": lambda rows: None,
    "empty": lambda rows: "",
    "byte order mark": lambda rows: f"\ufeff{rows[0]}\n",
    "twice": lambda rows: f"{rows[0]}\n{rows[0]}\n{rows[1]}\n",
    "CRLF": lambda rows: f"\r\n{rows[0]}\r\n\r\n{rows[1]}\r\n",
    "class too high": lambda rows: f"7{rows[0][1:]}\n",
    "class of half": lambda rows: f"0.5{rows[0][1:]}\n",
    "pixels": lambda rows: f"{rows[0]} 16\n",
    "beyond the edge": lambda rows: f"{rows[0][:-3]}1.2\n",
    "words": lambda rows: "cat 0.5 0.5 0.1 0.1\n",
    "box": lambda rows: ROWS["detect"][0],
    "keypoints": lambda rows: ROWS["pose"][0],
    "polygon": lambda rows: ROWS["segment"][1],
    "mixed": lambda rows: f"{ROWS['detect'][0]}\n{ROWS['segment'][0]}\n",
    "not a number": lambda rows: "0 nan 0.5 0.2 0.2\n",
}
NAMES: dict[str, dict[str, Any]] = {
    "list": {"names": ["a", "b"]},
    "numbered": {"names": {0: "a", 1: "b"}, "nc": 2.0},
    "in quotes": {"names": {"1": "b", "0": "a"}, "nc": "2"},
    "nested": {"names": [["a", 1], {"b": None}]},
    "several lines": {"names": ["a\nb", "c" * 600]},
    "counted": {"nc": 2},
    "no texts": {"names": [True, None]},
}
#: How the YAML is written.
WRITTEN: dict[str, Callable[[str], bytes]] = {
    "UTF-8": str.encode,
    "byte order mark": lambda text: codecs.BOM_UTF8 + text.encode(),
    "UTF-16": lambda text: text.encode("utf-16"),
    "latin-1": lambda text: f"# caf\xe9\n{text}".encode("latin-1"),
    "control": lambda text: f"# \x08\n{text}".encode(),
    "CRLF": lambda text: text.replace("\n", "\r\n").encode(),
}
#: How the images lie and are named.
LAYOUTS = ("plain", "roboflow", "beside", "listed", "listed with a mark", "link", "two folders", "capitals")


@pytest.fixture(scope="module", autouse=True)
def stock() -> Iterator[None]:
    """Ultralytics, which need not look for a font."""
    os.environ.update(OFFLINE)
    from ultralytics.data import utils

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(utils, "check_font", lambda name: None)
        yield


@dataclass(frozen=True)
class Case:
    task: str
    layout: str
    written: str
    names: str
    labels: tuple[str, ...]
    single_cls: bool
    extra: dict[str, Any]
    by_folder: bool


CASES = st.builds(
    Case,
    task=st.sampled_from(sorted(ROWS)),
    layout=st.sampled_from(LAYOUTS),
    written=st.sampled_from(sorted(WRITTEN)),
    names=st.sampled_from(sorted(NAMES)),
    labels=st.lists(st.sampled_from([*LABELS, "sound", "sound", "none"]), min_size=3, max_size=3).map(tuple),
    single_cls=st.booleans(),
    extra=st.fixed_dictionaries(
        {},
        optional={
            "kpt_shape": st.just([2, 3]),
            "flip_idx": st.sampled_from([[], [1, 0], [1, 1]]),
            "kpt_oks_sigmas": st.just([0.1, 0.2]),
            "kpt_names": st.just({0: ["l", "r"], 1: ["l", "r"]}),
            "channels": st.just(3),
            "test": st.sampled_from(["nothing/there", "", None]),
            "download": st.just("exit(1)"),
            "path": st.sampled_from(["", None, "None"]),
        },
    ),
    by_folder=st.booleans(),
)


def build(home: Path, case: Case) -> str:
    """The dataset of a case; what `data` is to say."""
    content: dict[str, Any] = {**NAMES[case.names], **case.extra}
    if case.task == "pose":
        content.setdefault("kpt_shape", [2, 3])
    for split in ("train", "val"):
        for number, label in enumerate(case.labels if split == "train" else ("sound", case.labels[0])):
            add(home, case, split, number, LABELS[label](ROWS[case.task]))
    content |= splits(home, case)
    data = home / ("data.YAML" if case.names == "list" and not case.by_folder else "data.yaml")
    data.write_bytes(WRITTEN[case.written](yaml.safe_dump(content, sort_keys=False)))
    return str(home if case.by_folder else data)


def add(home: Path, case: Case, split: str, number: int, text: str | None) -> None:
    """One image and its label."""
    images, labels = f"images/{split}", f"labels/{split}"
    if case.layout == "roboflow":
        images, labels = f"{split}/images", f"{split}/labels"
    elif case.layout == "beside":
        images = labels = f"set/{split}"
    elif case.layout == "two folders" and number:
        images, labels = f"more/images/{split}", f"more/labels/{split}"
    image = home / images / f"{split}.{number}{'.PNG' if case.layout == 'capitals' else '.png'}"
    image.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (16, 16 + number)).save(image)
    if text is not None:
        label = home / labels / f"{split}.{number}.txt"
        label.parent.mkdir(parents=True, exist_ok=True)
        label.write_bytes(text.encode())


def splits(home: Path, case: Case) -> dict[str, Any]:
    """How the YAML names the images."""
    if case.layout == "roboflow":
        return {"train": "../train/images", "val": "../val/images"}
    if case.layout == "beside":
        return {"train": "set/train", "val": "./set/val"}
    if case.layout == "link":
        (home / "seen").symlink_to(home / "images" / "train")
        return {"train": "seen", "validation": "images/val"}
    if case.layout == "two folders":
        return {split: [f"images/{split}", f"more/images/{split}"] for split in ("train", "val")}
    if case.layout.startswith("listed"):
        mark = "\ufeff" if case.layout.endswith("mark") else ""
        for split in ("train", "val"):
            lines = [f"./{path.relative_to(home)}" for path in sorted((home / "images" / split).iterdir())]
            (home / f"{split}.txt").write_text(mark + "\n".join([*lines, "./images/gone.png"]))
        return {"train": "train.txt", "val": "val.txt"}
    return {"train": "images/train", "val": str(home / "images/val")}


def seen(data: str, case: Case) -> Any:
    """What Ultralytics' data stage makes of it: names, keys, and the labels of each image of train and val."""
    from ultralytics.cfg import get_cfg
    from ultralytics.data.build import build_yolo_dataset
    from ultralytics.data.utils import check_det_dataset

    described = check_det_dataset(data)
    if case.single_cls:
        described |= {"names": {0: "item"}, "nc": 1}
    cfg = get_cfg(overrides={"task": case.task, "single_cls": case.single_cls, "imgsz": 32})
    found = {}
    for split in ("train", "val"):
        built = build_yolo_dataset(cfg, described[split], 2, described, mode=split)
        found[split] = sorted(map(labelled, built.labels), key=lambda entry: entry[0])
    keys = {key: described.get(key) for key in KEYS if case.task == "pose" or key in ("kpt_shape", "channels")}
    return described["names"], keys, found


def labelled(label: dict[str, Any]) -> Any:
    arrays = [label["cls"], label["bboxes"], label["keypoints"], *label["segments"]]
    return label["im_file"], label["shape"], [None if array is None else array.tolist() for array in arrays]


def without_caches(home: Path) -> None:
    for cache in home.rglob("*.cache"):
        cache.unlink()


def compare(home: Path, case: Case) -> str:
    """Both see the same, or both see nothing; what came of it."""
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir()
    data = build(home, case)
    try:
        wanted = seen(data, case)
    except Exception as error:
        wanted = error
    without_caches(home)
    try:
        clean = description.read(data, case.task, [home], arguments={"single_cls": case.single_cls})
        assert clean is not None
        found = seen(str(description.write(clean, home.parent / "job")), case)
    except InvalidPayload as error:
        assert isinstance(wanted, Exception), f"{error}, but Ultralytics trains on it"
        return "refused"
    except Exception as error:
        assert isinstance(wanted, Exception), f"{error!r}, but Ultralytics trains on it"
        return "failed"
    if isinstance(wanted, Exception):
        raise AssertionError("it is trained on, but Ultralytics fails") from wanted
    assert found == wanted
    return "seen"


LEAN = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)


@given(case=CASES)
@LEAN
def test_the_copy_shows_what_the_original_shows(tmp_path: Path, case: Case) -> None:
    compare(tmp_path / "set", case)


@pytest.mark.slow
@given(case=CASES)
@settings(LEAN, max_examples=500)
def test_the_copy_shows_what_the_original_shows_again_and_again(tmp_path: Path, case: Case) -> None:
    compare(tmp_path / "set", case)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("task", sorted(ROWS))
def test_each_task_is_seen_in_each_layout(tmp_path: Path, task: str, layout: str) -> None:
    """The test above could be right about nothing but failures."""
    case = Case(task, layout, "UTF-16", "in quotes", ("byte order mark", "sound", "none"), False, {}, False)
    assert compare(tmp_path / "set", case) == "seen"


def test_keypoints_are_no_polygon_to_a_model_of_boxes(tmp_path: Path) -> None:
    """Without `kpt_shape` in the copy, the box around the keypoints was trained on."""
    labels, extra = ("keypoints", "keypoints", "sound"), {"kpt_shape": [2, 3]}
    for single_cls in (False, True):
        case = Case("detect", "plain", "UTF-8", "list", labels, single_cls, extra, False)
        assert compare(tmp_path / "set", case) == "seen"


# Classes as folders


@pytest.mark.parametrize("shape", ["split", "validation", "more in val", "unsplit"])
def test_classes_are_seen_as_ultralytics_sees_them(tmp_path: Path, shape: str) -> None:
    from ultralytics.cfg import get_cfg
    from ultralytics.data.dataset import ClassificationDataset
    from ultralytics.data.utils import check_cls_dataset

    home = tmp_path / "set"
    places = {"split": ["train", "val"], "validation": ["train", "validation"], "more in val": ["train", "val"]}
    for place in places.get(shape, [""]):
        for name in ("cat", "dog", "a fox"):
            (home / place / name / "sub").mkdir(parents=True)
            for number in range(7):
                Image.new("RGB", (16, 16), number).save(
                    home / place / name / ("sub" if number % 2 else "") / f"{number}.png"
                )
    if shape == "more in val":
        shutil.copytree(home / "val" / "cat", home / "val" / "bird")
    (home / "empty").mkdir()

    def samples(data: str) -> Any:
        described = check_cls_dataset(data, split="val")
        args = get_cfg(overrides={"task": "classify", "imgsz": 32})
        found = {}
        for split in ("train", "val"):
            built = ClassificationDataset(described[split], args, split == "train", split, described["names"])
            root = Path(described[split])
            found[split] = [(str(Path(path).relative_to(root)), number) for path, number, *_ in built.samples]
        return described["names"], found

    clean = description.read(str(home), "classify")
    own = str(home) if clean is None else str(description.write(clean, tmp_path / "job"))
    seen_here = samples(own)
    assert not (tmp_path / "set_split").exists()
    for cache in tmp_path.rglob("*.cache"):
        cache.unlink()
    assert seen_here == samples(str(home))
    assert sum(map(len, seen_here[1].values())) == (21 if shape == "unsplit" else 42)
