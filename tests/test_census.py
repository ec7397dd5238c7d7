"""What is in a dataset: counted as Ultralytics reads it, told by trainings and by `check_dataset`."""

import pickle
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from AI.model_trainer import InvalidDataset, build_model, check_dataset, train_model
from AI.model_trainer.imposters import unmask
from AI.model_trainer.listener import Listener
from AI.model_trainer.ultralytics import label_cache
from AI.model_trainer.ultralytics.dataset_report import DatasetReport
from tests.tiny import TASKS, TINY, make_dataset, tiny_model

pytestmark = pytest.mark.timeout(60)  # it trains

COUNTS = ("images", "labelled", "background", "missing", "dropped", "corrupt", "duplicates", "instances")


@pytest.fixture
def ultralytics() -> Iterator[Any]:
    """Ultralytics' datasets, put back as they were afterwards."""
    from ultralytics.data import base, dataset

    saved = dataset.load_dataset_cache_file, dataset.save_dataset_cache_file
    yield dataset
    dataset.load_dataset_cache_file, dataset.save_dataset_cache_file = saved
    if "npy_files" in vars(base.BaseDataset):
        del base.BaseDataset.npy_files


def counts(split: str) -> tuple[int, ...]:
    return tuple(split[name] for name in COUNTS)


def labels(data: Path, split: str, number: int, text: str) -> None:
    (data.parent / "labels" / split / f"{number}.txt").write_text(text)


def messy(folder: Path) -> Path:
    """Of ten images: five sound ones, one of them with a row twice, two backgrounds, three that are dropped."""
    data = make_dataset(folder, train=10, val=4)
    labels(data, "train", 1, "1 0.5 0.5 0.5 0.5\n0 0.5 0.5 0.5 0.5\n1 0.5 0.5 0.5 0.5\n")
    labels(data, "train", 2, "")
    (folder / "labels" / "train" / "3.txt").unlink()
    labels(data, "train", 4, "2 0.5 0.5 0.5 0.5\n")
    (folder / "images" / "train" / "5.png").write_bytes(b"<!DOCTYPE html>\n<title>404</title>")
    labels(data, "train", 6, "0 1.5 0.5 0.5 0.5\n")
    return data


MESSY = (10, 5, 2, 1, 3, 3, 1, 6)


def train(data: Path, folder: Path, model: Any = None, **fit_params: Any) -> list[Any]:
    """All events of one epoch."""
    events = []
    own = {"data": data, "save_dir": folder / "run", "progress_callback": events.append, "events": "all"}
    train_model(build_model(model or tiny_model(folder), TINY), fit_params=own | fit_params)
    return events


def of(events: list[Any], kind: str) -> list[Any]:
    return [event for event in events if event["event"] == kind]


# Counting


@pytest.mark.parametrize("task", TASKS)
def test_sound_data_of_each_task_is_counted_by_class(task: str, tmp_path: Path) -> None:
    checked = check_dataset(make_dataset(tmp_path, task, train=6, val=3), task)
    assert checked["task"] == task
    assert counts(checked["splits"]["train"]) == (6, 6, 0, 0, 0, 0, 0, 6)
    assert counts(checked["splits"]["val"]) == (3, 3, 0, 0, 0, 0, 0, 3)
    red, green = sorted(checked["classes"], key=lambda each: each["name"] == "green")
    assert (red["instances"], green["instances"]) == ({"train": 3, "val": 2}, {"train": 3, "val": 1})
    assert (checked["class_count"], checked["warnings"]) == (2, [])
    assert checked["splits"]["train"]["bad"] == []


def test_what_is_dropped_is_counted_and_named_with_its_reason(tmp_path: Path) -> None:
    checked = check_dataset(messy(tmp_path))
    split = checked["splits"]["train"]
    assert counts(split) == MESSY
    assert [each["instances"]["train"] for each in checked["classes"]] == [3, 3]
    (outside, page, far) = split["bad"]
    assert [Path(each["file"]).stem for each in split["bad"]] == ["4", "5", "6"]
    assert outside["reason"] == "Label class 2 exceeds dataset class count 2. Possible class labels are 0-1"
    assert page["reason"] == "this is not an image: an HTML page (the download was answered with one)"
    assert far["reason"].startswith("non-normalized or out of bounds coordinates")
    (warning,) = checked["warnings"]
    assert warning.startswith(f"train: 3 of 10 images are dropped (30%): {outside['file']}: Label class 2")
    assert warning.endswith("; and 2 more")


def test_a_label_cache_keeps_the_counts_and_the_reasons(
    tmp_path: Path, ultralytics: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    label_cache.redirect(tmp_path / "cache")
    data = messy(tmp_path / "data")
    classes = make_dataset(tmp_path / "classes", "classify")
    (classes / "train" / "red" / "0.png").write_bytes(b"")
    first = [check_dataset(data), check_dataset(classes)]

    def scan(*_: object) -> None:
        raise AssertionError("scanned again")

    monkeypatch.setattr(ultralytics.YOLODataset, "verify_args", scan)
    monkeypatch.setattr(ultralytics, "ThreadPool", scan)
    assert [check_dataset(data), check_dataset(classes)] == first
    assert counts(first[0]["splits"]["train"]) == MESSY
    assert counts(first[1]["splits"]["train"]) == (8, 7, 0, 0, 1, 1, 0, 7)
    assert first[1]["splits"]["train"]["bad"][0]["reason"] == "this is not an image: an empty file"


def test_only_the_classes_that_are_trained_count(tmp_path: Path) -> None:
    data = make_dataset(tmp_path)
    one = check_dataset(data, classes=[1])
    assert counts(one["splits"]["train"]) == (8, 4, 4, 0, 0, 0, 0, 4)
    assert [each["instances"]["train"] for each in one["classes"]] == [0, 4]
    labels(data, "train", 0, "7 0.5 0.5 0.5 0.5\n")
    single = check_dataset(data, single_cls=True)
    assert counts(single["splits"]["train"]) == (8, 8, 0, 0, 0, 0, 0, 8)
    assert single["classes"] == [{"name": "item", "instances": {"train": 8, "val": 4}}]


def test_the_share_that_is_loud_is_above_a_twentieth(tmp_path: Path) -> None:
    data = make_dataset(tmp_path, train=20)
    labels(data, "train", 0, "9 0.5 0.5 0.5 0.5\n")
    assert check_dataset(data)["warnings"] == []
    labels(data, "train", 1, "9 0.5 0.5 0.5 0.5\n")
    assert check_dataset(data)["warnings"][0].startswith("train: 2 of 20 images are dropped (10%)")


def test_a_hundred_thousand_classes_are_not_all_listed(tmp_path: Path) -> None:
    data = make_dataset(tmp_path)
    names = "\n".join(f"  {number}: {'long' * 30}{number}" for number in range(1_200))
    data.write_text(f"path: {tmp_path}\ntrain: images/train\nval: images/val\nnames:\n{names}\n")
    checked = check_dataset(data)
    assert (len(checked["classes"]), checked["class_count"]) == (1_000, 1_200)
    assert len(checked["classes"][0]["name"]) == 100


# What is odd


def test_labels_that_are_all_empty_are_loud(tmp_path: Path) -> None:
    data = make_dataset(tmp_path)
    for file in (tmp_path / "labels").rglob("*.txt"):
        file.write_text("")
    assert check_dataset(data)["warnings"] == [
        "train: no image has a label: the label files are empty",
        "val: no image has a label: the label files are empty",
    ]


def test_where_labels_were_looked_for_is_told_and_what_was_found_there(tmp_path: Path) -> None:
    data = make_dataset(tmp_path)
    for number in range(1, 8):
        (tmp_path / "labels" / "train" / f"{number}.txt").rename(tmp_path / "labels" / "train" / f"{number}.TXT")
    (warning,) = check_dataset(data)["warnings"]
    folder = tmp_path / "labels" / "train"
    assert warning == f"train: 7 of 8 images have no label file: looked in {folder}, found .TXT files"
    (tmp_path / "labels").rename(tmp_path / "Labels")
    with pytest.raises(InvalidDataset) as refused:
        check_dataset(data)
    found = f"looked in {folder}, found {tmp_path / 'Labels'}"
    assert str(refused.value) == f"train: none of the 8 images has a label file: {found}"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "an empty file"),
        (b"<!DOCTYPE html><html>", "an HTML page (the download was answered with one)"),
        (b"\n <HTML><body>", "an HTML page (the download was answered with one)"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n",
            "a Git LFS pointer (run `git lfs pull` in its repository)",
        ),
        (b"<?xml version='1.0'?><annotation/>", "an XML file"),
        (b'{"images": []}', "a JSON file"),
        (b"PK\x03\x04\x14\x00", "a zip archive"),
        (bytes(600), "a file of zeros (a copy that broke off)"),
        (b"\x00\x00\x00\x18ftypheic\x00\x00", "a HEIC picture (make a JPEG of it)"),
        (b"\x00\x00\x00\x18ftypisom\x00\x00", "a video"),
        (b"not found\n", "a text file"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", None),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF", None),
        (b"\x93\x01\x02\x03", None),
    ],
)
def test_what_was_taken_for_an_image_is_called_by_its_name(content: bytes, words: str, tmp_path: Path) -> None:
    file = tmp_path / "0.jpg"
    file.write_bytes(content)
    assert unmask(str(file)) == words
    assert unmask(str(tmp_path / "1.jpg")) is None


@pytest.fixture
def spoken(caplog: pytest.LogCaptureFixture) -> Iterator[Any]:
    """Ultralytics' own log, which does not always get as far as the root's handlers."""
    from ultralytics.utils import LOGGER

    LOGGER.addHandler(caplog.handler)
    yield caplog
    LOGGER.removeHandler(caplog.handler)


def test_no_image_that_can_be_used_is_refused_with_the_reasons(tmp_path: Path, spoken: Any) -> None:
    data = make_dataset(tmp_path)
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
    for file in (tmp_path / "images").rglob("*.png"):
        file.write_bytes(pointer)
    with pytest.raises(InvalidDataset) as refused:
        check_dataset(data)
    first = tmp_path / "images" / "train" / "0.png"
    assert str(refused.value).startswith(
        f"train: none of the 8 images can be used: {first}: this is not an image: a Git LFS pointer (run `git lfs pull`"
    )
    assert str(refused.value).endswith("; and 5 more")
    assert "pi_heif" not in str(refused.value) + spoken.text
    assert f"{first}: ignoring corrupt image/label: this is not an image: a Git LFS pointer" in spoken.text


def test_an_image_that_a_list_names_and_that_is_not_there_is_dropped(tmp_path: Path) -> None:
    data = make_dataset(tmp_path)
    images = sorted(map(str, (tmp_path / "images" / "train").iterdir()))
    lost = str(tmp_path / "images" / "train" / "lost.png")
    (tmp_path / "train.txt").write_text("\n".join([*images, lost]))
    data.write_text(data.read_text().replace("train: images/train", "train: train.txt"))
    split = check_dataset(data)["splits"]["train"]
    assert (split["images"], split["dropped"]) == (9, 1)
    assert split["bad"] == [{"file": lost, "reason": "there is no such file"}]


def test_bytes_of_no_known_format_are_called_just_that(tmp_path: Path) -> None:
    data = make_dataset(tmp_path)
    (tmp_path / "images" / "train" / "0.png").write_bytes(b"\x93\x01\x02\x03" * 200)
    (bad,) = check_dataset(data)["splits"]["train"]["bad"]
    assert bad["reason"] == "this is not an image: a file of no format that is known"


def test_labels_of_another_task_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidDataset, match="requires equal numbers of boxes and segments"):
        check_dataset(make_dataset(tmp_path), "segment")


# Checking leaves no trace


def test_a_check_leaves_images_and_random_numbers_alone(tmp_path: Path) -> None:
    data = make_dataset(tmp_path)
    cut = tmp_path / "images" / "train" / "0.jpg"
    Image.open(tmp_path / "images" / "train" / "0.png").save(cut)
    (tmp_path / "images" / "train" / "0.png").unlink()
    cut.write_bytes(cut.read_bytes()[:-2])
    before, state = cut.read_bytes(), random.getstate()
    checked = check_dataset(data)
    assert counts(checked["splits"]["train"]) == (8, 8, 0, 0, 0, 0, 0, 8)
    assert checked["warnings"] == [f"1 JPEGs are cut off, {cut} is the first: a training rewrites them in place"]
    assert cut.read_bytes() == before
    assert random.getstate() == state
    assert not list(tmp_path.rglob("*.cache")), "a training is to find no cache that calls the image mended"


def test_a_check_neither_downloads_nor_splits(tmp_path: Path) -> None:
    with pytest.raises(InvalidDataset, match=r"there is no .*coco8\.yaml"):
        check_dataset("coco8.yaml")
    folder = tmp_path / "set" / "red"
    folder.mkdir(parents=True)
    Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(folder / "0.png")
    with pytest.raises(InvalidDataset, match="there is no folder"):
        check_dataset(folder.parent)
    assert list(tmp_path.iterdir()) == [folder.parent]
    with pytest.raises(ValueError, match="task must be one of"):
        check_dataset(tmp_path, "paint")


def test_a_third_split_is_counted_and_no_reason_to_refuse(tmp_path: Path) -> None:
    data = make_dataset(tmp_path)
    data.write_text(data.read_text() + "test: images/val\n")
    assert counts(check_dataset(data)["splits"]["test"]) == (4, 4, 0, 0, 0, 0, 0, 4)
    data.write_text(data.read_text().replace("test: images/val", "test: images/none"))
    checked = check_dataset(data)
    assert set(checked["splits"]) == {"train", "val"}
    assert checked["warnings"][0].startswith("test: ")


# In a training


def test_a_training_tells_once_before_its_first_epoch_and_says_it_aloud(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = messy(tmp_path / "data")
    events = train(data, tmp_path)
    (told,) = of(events, "dataset")
    kinds = [event["event"] for event in events if event["event"] != "tick"]
    assert kinds.index("dataset") < kinds.index("epoch_end")
    assert counts(told["splits"]["train"]) == MESSY
    assert (told["epoch"], told["total_epochs"], told["metrics"]) == (0, 1, {})
    assert told["save_dir"] == str(tmp_path / "run")
    checked = check_dataset(data)
    assert {name: told[name] for name in ("splits", "classes", "class_count", "warnings")} == {
        name: checked[name] for name in ("splits", "classes", "class_count", "warnings")
    }
    spoken = [record for record in caplog.records if record.name == "AI.model_trainer.ultralytics.dataset_report"]
    assert [(record.levelname, record.getMessage()) for record in spoken] == [("WARNING", told["warnings"][0])]


def test_a_training_that_the_data_ends_tells_before_that(tmp_path: Path) -> None:
    data = messy(tmp_path / "data")
    for file in (tmp_path / "data" / "images" / "val").iterdir():
        file.write_bytes(b"")
    events = []
    fit_params = {"progress_callback": events.append, "events": "all", "save_dir": tmp_path / "run"}
    with pytest.raises(InvalidDataset, match=r"val: none of the 4 images can be used: .*an empty file"):
        train_model(build_model(tiny_model(tmp_path), TINY), fit_params={"data": data, **fit_params})
    (told,) = of(events, "dataset")
    assert counts(told["splits"]["train"]) == MESSY
    assert counts(told["splits"]["val"]) == (4, 0, 0, 0, 4, 4, 0, 0)


def test_strict_data_fails_for_one_image_and_trains_on_sound_data(tmp_path: Path) -> None:
    data = make_dataset(tmp_path / "data", train=24)
    assert of(train(data, tmp_path, strict_data=True), "train_end")
    labels(data, "train", 0, "2 0.5 0.5 0.5 0.5\n")
    with pytest.raises(InvalidDataset, match=r"train: 1 of 24 images are dropped: .*0\.png: Label class 2 exceeds"):
        train(data, tmp_path, strict_data=True)
    with pytest.raises(ValueError, match="strict_data must be True or False"):
        train(data, tmp_path, strict_data="yes")


def test_counting_changes_no_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from AI.model_trainer import trainer as trainings

    data = messy(tmp_path / "data")
    model = tiny_model(tmp_path)
    train(data, tmp_path / "with", model)
    monkeypatch.setattr(trainings, "DatasetReport", lambda *_: trainings.Previews(0))
    train(data, tmp_path / "without", model)

    def weights(folder: Path) -> dict[str, Any]:
        saved = torch.load(tmp_path / folder / "run" / "weights" / "last.pt", weights_only=False)
        return (saved["ema"] or saved["model"]).state_dict()

    one, other = weights("with"), weights("without")
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_what_reports_the_dataset_can_be_sent_to_another_process() -> None:
    hooks = DatasetReport(Listener(print), strict=True).hooks()
    assert [event for event, _ in pickle.loads(pickle.dumps(hooks))] == [event for event, _ in hooks]
