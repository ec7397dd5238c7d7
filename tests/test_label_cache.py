import pickle
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from AI.model_trainer import build_model, train_model
from AI.model_trainer.ultralytics import label_cache
from tests.tiny import TINY, make_dataset, tiny_model

pytestmark = pytest.mark.timeout(60)  # it trains


@pytest.fixture
def dataset(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The module that `redirect` changes; all is as before afterwards."""
    from ultralytics.data import base, dataset

    for name in ("load_dataset_cache_file", "save_dataset_cache_file"):
        monkeypatch.setattr(dataset, name, getattr(dataset, name))
    yield dataset
    if "npy_files" in base.BaseDataset.__dict__:
        del base.BaseDataset.npy_files


@pytest.fixture
def cache(tmp_path: Path, dataset: Any) -> Path:
    folder = tmp_path / "cache"
    label_cache.redirect(folder)
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return make_dataset(tmp_path / "data")


@pytest.fixture
def fit(tmp_path: Path, data: Path) -> Callable[..., Any]:
    def fit(**fit_params: Any) -> Any:
        model = build_model(tiny_model(tmp_path / "model"), TINY)
        return train_model(model, fit_params={"data": data, "save_dir": tmp_path / "run", **fit_params})

    return fit


def listing(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class Bomb:
    """Unpickled, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


# In a training


def test_planted_cache_is_neither_run_nor_removed(
    cache: Path, fit: Callable[..., Any], data: Path, tmp_path: Path
) -> None:
    proof = tmp_path / "executed"
    for split in ("train", "val"):
        planted = data.parent / "labels" / f"{split}.cache"
        with open(planted, "wb") as file:
            np.save(file, np.array(Bomb(proof), dtype=object), allow_pickle=True)
    before = listing(data.parent)
    fit()
    assert not proof.exists()
    assert listing(data.parent) == before
    assert len(list(cache.iterdir())) == 2


def test_the_planted_cache_would_be_run_otherwise(fit: Callable[..., Any], data: Path, tmp_path: Path) -> None:
    proof = tmp_path / "executed"
    with open(data.parent / "labels" / "train.cache", "wb") as file:
        np.save(file, np.array(Bomb(proof), dtype=object), allow_pickle=True)
    fit()
    assert proof.exists()


def test_second_training_uses_the_cache(
    cache: Path, fit: Callable[..., Any], dataset: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def scan(*_: object) -> None:
        raise AssertionError("scanned again")

    _, first = fit(epochs=2)
    monkeypatch.setattr(dataset.YOLODataset, "cache_labels", scan)
    _, second = fit(epochs=2)
    assert second == first


def test_damaged_cache_is_scanned_again(cache: Path, fit: Callable[..., Any], caplog: pytest.LogCaptureFixture) -> None:
    fit()
    whole = listing(cache)
    for path in whole:
        path.write_bytes(path.read_bytes()[:-1])
    fit()
    assert listing(cache) == whole
    assert "ignored: damaged" in caplog.text


def test_changed_labels_are_scanned_again(cache: Path, fit: Callable[..., Any], data: Path) -> None:
    fit()
    before = listing(cache)
    (data.parent / "labels" / "train" / "0.txt").write_text("1 0.5 0.5 0.25 0.25\n")
    fit()
    assert sum(path.read_bytes() != content for path, content in before.items()) == 1


def test_the_cache_of_another_dataset_is_not_trusted(
    cache: Path, fit: Callable[..., Any], data: Path, tmp_path: Path
) -> None:
    """Put in the place of this one's, as if it were this one's."""
    other = make_dataset(tmp_path / "other")
    for path in (other.parent / "labels").rglob("*.txt"):
        path.write_text("1 0.1 0.1 0.1 0.1\n")
    fit(data=other)
    strange = listing(cache)
    for path in strange:
        path.unlink()
    fit()
    own = listing(cache)
    for path, content in zip(sorted(own), sorted(strange.values()), strict=True):
        path.write_bytes(content)
    fit()
    assert {path: content for path, content in listing(cache).items() if path in own} == own


def test_npy_files_beside_the_images_are_left_alone(cache: Path, fit: Callable[..., Any], data: Path) -> None:
    images = sorted((data.parent / "images" / "train").glob("*.png"))
    images[0].with_suffix(".npy").write_bytes(b"damaged")
    np.save(images[1].with_suffix(".npy"), np.zeros((32, 32), dtype=np.uint16))
    before = listing(data.parent)
    fit()
    assert listing(data.parent) == before


def test_images_cached_on_disk_are_cached_in_the_folder(cache: Path, fit: Callable[..., Any], data: Path) -> None:
    before = listing(data.parent)
    fit(cache="disk")
    assert listing(data.parent) == before
    assert len(list(cache.glob("*.npy"))) == 12
    fit(cache="disk")


def test_folder_that_cannot_be_written_to_does_not_stop_a_training(
    cache: Path, fit: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    shutil.rmtree(cache)
    fit()
    assert "no label cache for" in caplog.text


def test_the_folder_named_last_counts(cache: Path, dataset: Any, tmp_path: Path) -> None:
    label_cache.redirect(tmp_path / "other")
    dataset.save_dataset_cache_file("", tmp_path / "x.cache", {"labels": []}, "1")
    assert not list(cache.iterdir())
    assert dataset.load_dataset_cache_file(tmp_path / "x.cache") == {"labels": [], "version": "1"}


# The other tasks


def test_every_place_that_uses_the_cache_functions_is_redirected() -> None:
    """They are looked up as globals of one module; a new user of them elsewhere would go unnoticed."""
    import ultralytics

    users = [
        path.relative_to(Path(ultralytics.__file__).parent).as_posix()
        for path in Path(ultralytics.__file__).parent.rglob("*.py")
        if "dataset_cache_file" in path.read_text(encoding="utf-8")
    ]
    assert sorted(users) == ["data/dataset.py", "data/utils.py"]


@pytest.mark.parametrize("task", ["segment", "pose", "obb"])
def test_datasets_of_other_tasks_come_back_equal(
    cache: Path, data: Path, dataset: Any, monkeypatch: pytest.MonkeyPatch, task: str
) -> None:
    for path in (data.parent / "labels").rglob("*.txt"):
        kind = path.read_text()[0]
        points = {"pose": "0.5 0.5 0.5 0.5 0.4 0.4 2"}.get(task, "0.25 0.25 0.75 0.25 0.75 0.75 0.25 0.75")
        path.write_text(f"{kind} {points}\n")

    def labels() -> list[Any]:
        described = {"names": {0: "red", 1: "green"}, "kpt_shape": (1, 3), "channels": 3}
        return dataset.YOLODataset(data.parent / "images" / "train", data=described, task=task, imgsz=32).labels

    scanned = labels()
    monkeypatch.setattr(dataset.YOLODataset, "cache_labels", None)
    assert equal(labels(), scanned)


def test_classification_comes_back_equal(
    cache: Path, data: Path, dataset: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ultralytics.cfg import get_cfg

    root = data.parent / "images"  # two classes, called train and val
    scanned = dataset.ClassificationDataset(str(root), get_cfg()).samples
    monkeypatch.setattr(dataset, "verify_image", None)
    assert dataset.ClassificationDataset(str(root), get_cfg()).samples == scanned
    assert not root.with_suffix(".cache").exists()


# The format


def equal(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray):
        return type(other) is np.ndarray and one.dtype == other.dtype and np.array_equal(one, other)
    if isinstance(one, dict):
        return type(other) is dict and list(one) == list(other) and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return type(one) is type(other) and len(one) == len(other) and all(map(equal, one, other))
    return type(one) is type(other) and one == other


@pytest.mark.parametrize(
    "tree",
    [
        {"labels": [], "version": "1.0.12", "results": (1, 0, 0, 0, 1)},
        [None, True, False, 1, -(2**70), 1.5, float("inf"), "ü\n\ud800", [], (), {}],
        {"$tuple": [1], "$array": "no array"},
        {1: "one", (2, 3): {"four": [5]}, None: ()},
        [Path("/data/images/0.png")],
        [np.float32(0.1), np.int64(7), np.bool_(True)],
        [np.zeros((0, 5), "f4"), np.arange(6, dtype="u1").reshape(2, 3)[:, 1:], np.array(3.5), np.ones(3, ">i2")],
        [np.ones(1, "b"), np.ones((2, 2), "f8"), np.ones(1, "?"), np.ones((3, 0, 2), "f2")],
    ],
)
def test_round_trip(tree: Any, tmp_path: Path) -> None:
    path = tmp_path / "tree"
    label_cache._save(path, tree)
    assert equal(label_cache._load(path), tree)
    assert [file.name for file in tmp_path.iterdir()] == ["tree"]


def test_arrays_can_be_written_to_and_are_aligned(tmp_path: Path) -> None:
    label_cache._save(tmp_path / "tree", [np.ones(3, "u1"), np.ones(3, "f8")])
    bytes_, floats = label_cache._load(tmp_path / "tree")
    bytes_ += 1
    floats += 1
    assert (bytes_.tolist(), floats.tolist()) == ([2, 2, 2], [2.0, 2.0, 2.0])
    assert floats.flags.aligned


@pytest.mark.parametrize("value", [object(), {1, 2}, np.array([object()]), np.array(["text"]), np.ones(1, "c8"), b"x"])
def test_what_the_format_does_not_know_is_refused(value: Any, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="cannot hold"):
        label_cache._save(tmp_path / "tree", [value])
    assert not list(tmp_path.iterdir())


def stored(header: Any, arrays: bytes = b"") -> bytes:
    return label_cache._FORMAT + label_cache._digest(header, bytearray(arrays)) + header + arrays


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"label cache 1\n",
        b"label cache 2\n",
        pickle.dumps({"labels": []}),
        b"\x93NUMPY\x01\x00v\x00" + bytes(100),
        stored(b"not json\n"),
        stored(b"[" * 100_000 + b"\n"),
        stored(b'{"$array": ["|O", [1], 0]}\n', bytes(8)),
        stored(b'{"$array": ["<f4", [2], 0]}\n', bytes(4)),
        stored(b'{"$array": ["<f4", [-1], 0]}\n', bytes(4)),
        stored(b'{"$array": ["<f4", [1], -4]}\n', bytes(8)),
        stored(b'{"$array": ["<f4", [4294967296, 4294967296], 0]}\n', bytes(4)),
        stored(b'{"$array": "<f4"}\n'),
    ],
)
def test_foreign_and_damaged_files_are_as_good_as_absent(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "cache"
    path.write_bytes(content)
    with pytest.raises(FileNotFoundError):
        label_cache._load(path)
    assert path.exists()


def test_any_flipped_byte_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "cache"
    label_cache._save(path, {"a": np.arange(4)})
    content = path.read_bytes()
    for position in range(len(content)):
        path.write_bytes(content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :])
        with pytest.raises(FileNotFoundError):
            label_cache._load(path)
