"""Datasets as users write them, and as nobody should."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from service import dataset
from service.errors import InvalidPayload


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for split in ("train", "val", "test"):
        images = tmp_path / "images" / split
        images.mkdir(parents=True)
        (images / "a.PNG").touch()
    return tmp_path


def write(folder: Path, content: Any, name: str = "data.yaml") -> str:
    path = folder / name
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return str(path)


def good(**changes: Any) -> dict[str, Any]:
    return {"train": "images/train", "val": "images/val", "names": ["a", "b"], **changes}


def refusal(data: Any, task: str | None = None) -> str:
    with pytest.raises(InvalidPayload) as caught:
        dataset.read(data, task)
    (fault,) = caught.value.faults
    assert fault.pointer == "/fit_params/data"
    return fault.detail


@pytest.fixture
def classes(tmp_path: Path) -> Path:
    for split in ("train", "val"):
        for name in ("cat", "dog"):
            (tmp_path / "classes" / split / name).mkdir(parents=True)
            (tmp_path / "classes" / split / name / "a.jpg").touch()
    return tmp_path / "classes"


def test_a_classification_dataset_is_a_folder(classes: Path) -> None:
    assert dataset.read(str(classes), "classify") is None
    assert dataset.read(str(classes)) is None
    assert "only a classification model trains on one" in refusal(str(classes), "detect")
    (classes / "val").rename(classes / "validation")
    assert dataset.read(str(classes), "classify") is None


def test_a_classification_folder_without_its_parts_is_refused(classes: Path, folder: Path) -> None:
    assert "there is no folder" in refusal(write(folder, good()), "classify")
    (classes / "val" / "bird").mkdir()
    assert "val has the class 'bird', train has not" in refusal(str(classes), "classify")
    (classes / "train" / "bird").mkdir()
    assert dataset.read(str(classes), "classify") is None
    for image in (classes / "val").rglob("*.jpg"):
        image.unlink()
    assert "val: no images" in refusal(str(classes), "classify")
    for image in (classes / "train").rglob("*.jpg"):
        image.unlink()
    assert "train: no images" in refusal(str(classes), "classify")
    (classes / "train").rename(classes / "all")
    assert "needs the folders train and val" in refusal(str(classes), "classify")
    assert sorted(path.name for path in classes.iterdir()) == ["all", "val"], "nothing was split or written"


def test_a_pose_dataset_keeps_its_keypoints(folder: Path) -> None:
    content = good(kpt_shape=[3, 2], flip_idx=[1, 0, 2], download="x")
    clean = dataset.read(write(folder, content), "pose")
    assert clean is not None
    assert (clean["kpt_shape"], clean["flip_idx"]) == ([3, 2], [1, 0, 2])
    assert "kpt_shape" not in (dataset.read(write(folder, content), "detect") or {})


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"kpt_shape": 3},
        {"kpt_shape": [0, 2]},
        {"kpt_shape": [3, 4]},
        {"kpt_shape": [3, 2], "flip_idx": [0, 1]},
        {"kpt_shape": [3, 2], "flip_idx": [0, 1, 3]},
        {"kpt_shape": [3, 2], "flip_idx": "x"},
    ],
)
def test_a_pose_dataset_without_sound_keypoints_is_refused(folder: Path, changes: dict[str, Any]) -> None:
    assert refusal(write(folder, good(**changes)), "pose").startswith(("kpt_shape must", "flip_idx must"))


def test_paths_become_absolute_and_names_numbered(folder: Path) -> None:
    assert dataset.read(write(folder, good())) == {
        "path": str(folder),
        "train": str(folder / "images/train"),
        "val": str(folder / "images/val"),
        "names": {0: "a", 1: "b"},
    }


def test_a_relative_path_counts_from_the_yaml_not_from_the_current_folder(folder: Path) -> None:
    (folder / "sub").mkdir()
    clean = dataset.read(write(folder / "sub", good(path="..", test="images/test")))
    assert clean["path"] == str(folder)
    assert clean["test"] == str(folder / "images/test")


def test_splits_may_be_lists_and_files_of_images(folder: Path) -> None:
    (folder / "val.txt").write_text("images/val/a.PNG\n")
    clean = dataset.read(write(folder, good(train=["images/train", "images/test"], val="val.txt")))
    assert clean["train"] == [str(folder / "images/train"), str(folder / "images/test")]
    assert clean["val"] == str(folder / "val.txt")


def test_a_number_of_classes_is_enough(folder: Path) -> None:
    content = good(nc=2)
    del content["names"]
    assert dataset.read(write(folder, content))["names"] == {0: "class_0", 1: "class_1"}
    assert dataset.read(write(folder, good(names={0: "x", 1: 7})))["names"] == {0: "x", 1: "7"}


def test_only_known_keys_reach_the_copy(folder: Path) -> None:
    hostile = good(download="bash -c id", channels=3, yaml_file="/etc/passwd", shell="x", flip_idx=[0])
    copy = dataset.write(dataset.read(write(folder, hostile)), folder / "jobs" / "1")
    assert set(yaml.safe_load(copy.read_text())) == {"path", "train", "val", "names", "channels"}


def test_a_yaml_tag_that_would_run_code_is_refused(folder: Path) -> None:
    marker = folder / "ran"
    data = write(folder, f"names: !!python/object/apply:os.system ['touch {marker}']\n")
    assert "is not YAML" in refusal(data)
    assert not marker.exists()


@pytest.mark.parametrize(
    ("changes", "detail"),
    [
        ({"train": None}, "names no train images"),
        ({"val": None}, "names no val images"),
        ({"val": "images/nothing"}, "val: there is no"),
        ({"val": []}, "val: the list is empty"),
        ({"train": "images"}, None),
        ({"train": "empty"}, "train: no images in"),
        ({"train": 7}, "train must be a path, got 7"),
        ({"train": "https://host/a.zip"}, "train must be a path"),
        ({"path": {"a": 1}}, "path must be a path"),
        ({"names": None}, "names must list the classes"),
        ({"names": []}, "names must list the classes"),
        ({"names": "abc"}, "names must list the classes"),
        ({"names": {1: "a", 2: "b"}}, "names must be numbered 0 to 1"),
        ({"names": {0: ["a"]}}, "names must be texts"),
        ({"nc": 3}, "nc is 3, but names lists 2 classes"),
        ({"channels": 0}, "channels must be"),
        ({"channels": "3"}, "channels must be"),
    ],
)
def test_a_dataset_that_cannot_work_is_refused_with_the_reason(
    folder: Path, changes: dict[str, Any], detail: str | None
) -> None:
    (folder / "empty").mkdir()
    data = write(folder, good(**changes))
    if detail is None:
        dataset.read(data)
    else:
        assert detail in refusal(data)


@pytest.mark.parametrize("data", [None, 3, "", [], {"a": 1}, "relative.yaml", "https://host/d.yaml", "/a\0.yaml"])
def test_data_that_is_no_absolute_path_is_refused(data: Any) -> None:
    assert refusal(data).startswith("must be")


def test_files_that_are_no_datasets_are_refused(folder: Path) -> None:
    assert "there is no file" in refusal(str(folder / "nothing.yaml"))
    assert "must be a .yaml file" in refusal(str(folder / "data.zip"))
    assert "has no keys" in refusal(write(folder, "- a\n- b\n"))
    assert "is not YAML" in refusal(write(folder, "a: [\n"))
    assert "at most" in refusal(write(folder, "#" * (dataset.MAX_YAML_BYTES + 1)))
