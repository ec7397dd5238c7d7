"""Datasets as real exports have them: what Ultralytics trains on is taken, and what it cannot train on is explained."""

import codecs
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.datasets import class_folders, description
from service.errors import InvalidPayload
from tests.descriptions import good, label, refusal, write

BOX = "0 0.5 0.5 0.2 0.2\n"


def described(data: str, task: str | None = "detect", roots: tuple[Path, ...] = (), **arguments: Any) -> dict[str, Any]:
    clean = description.read(data, task, roots, arguments=arguments)
    assert clean is not None
    assert clean.description is not None
    return clean.description.as_dict()


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """As Roboflow exports it: `../train/images` in a data.yaml that lies beside train/."""
    home = tmp_path / "export"
    for split in ("train", "valid", "test"):
        for kind, name, text in (("images", "a.jpg", ""), ("labels", "a.txt", BOX)):
            (home / split / kind).mkdir(parents=True)
            (home / split / kind / name).write_text(text)
    names = "train: ../train/images\nval: ../valid/images\ntest: ../test/images\n\nnc: 2\nnames: ['a', 'b']\n"
    (home / "data.yaml").write_text(names + "roboflow:\n  workspace: w\n  version: 1\n")
    return home


# Where the images are


def test_a_step_up_that_leads_nowhere_is_stripped_as_ultralytics_strips_it(export: Path, outside: Path) -> None:
    data = str(export / "data.yaml")
    for roots in ((), (export,), (export.parent,)):
        clean = described(data, roots=roots)
        assert [clean[split] for split in ("train", "val", "test")] == [
            [str(export / split / "images")] for split in ("train", "valid", "test")
        ]
    (export.parent / "train" / "images").mkdir(parents=True)
    (export.parent / "train" / "images" / "a.txt").touch()
    (export.parent / "train" / "images" / "b.jpg").touch()
    (export.parent / "train" / "images" / "b.txt").touch()
    assert "has a label" in refusal(data, "detect"), "what is there is what is meant"
    assert described(data, roots=(export,))["train"] == [str(export / "train" / "images")], "unless it is outside"
    write(export, good(train=["../train/images", "../valid/images"], val="valid/images"))
    assert refusal(data, "detect") == f"train: there is no {export.parent}/valid/images", "lists are taken as they are"


@pytest.mark.parametrize("key", ["validation", "valid"])
def test_val_has_other_names(folder: Path, key: str) -> None:
    content = good()
    content[key] = content.pop("val")
    assert described(write(folder, content))["val"] == [str(folder / "images/val")]


def test_a_split_that_is_not_read_need_not_be_there(folder: Path) -> None:
    (folder / "empty").mkdir()
    for test in ("images/nothing", "empty", ["images/test", "C:\\test"], 7):
        assert "test" not in described(write(folder, good(test=test)))
    assert "test" not in described(write(folder, good(test="../elsewhere")), roots=(folder,))
    data = write(folder, good(test="images/nothing"))
    with pytest.raises(InvalidPayload) as caught:
        description.read(data, "detect", arguments={"split": "test"}, split_pointer="/hyperparameters/split")
    assert "test: there is no" in caught.value.faults[0].detail
    data = write(folder, good())
    with pytest.raises(InvalidPayload) as caught:
        description.read(data, "detect", arguments={"split": "test"}, split_pointer="/hyperparameters/split")
    assert caught.value.faults[0].pointer == "/hyperparameters/split"
    assert (
        caught.value.faults[0].detail
        == f"{data} names no test images: add `test:` to it, or leave out the argument split"
    )
    clean = described(write(folder, good(test="images/test", val="images/nothing")), split="test")
    assert clean["val"] == clean["train"], "Ultralytics wants the key, and does not read it"


def test_one_place_of_a_split_may_be_empty(folder: Path) -> None:
    (folder / "empty").mkdir()
    assert len(described(write(folder, good(train=["empty", "images/train"])))["train"]) == 2


def test_a_list_may_begin_with_a_byte_order_mark(folder: Path) -> None:
    (folder / "train.txt").write_bytes(codecs.BOM_UTF8 + b"images/train/a.PNG\n")
    clean = description.read(write(folder, good(train="train.txt")), "detect")
    assert clean is not None
    assert clean.lists["train.0.txt"] == [str(folder / "images/train/a.PNG")]


def test_a_list_may_name_some_images_that_are_gone(folder: Path) -> None:
    (folder / "train.txt").write_text("".join(f"images/train/{n}.jpg\n" for n in range(50)) + "images/train/a.PNG\n")
    described(write(folder, good(train="train.txt")))
    (folder / "train.txt").write_text("/elsewhere/0.jpg\n/elsewhere/1.jpg\n")
    found = refusal(write(folder, good(train="train.txt")), "detect")
    assert found == "train: none of the images that train.txt lists exists; the first is looked for at /elsewhere/0.jpg"


def test_a_folder_is_read_by_the_yaml_in_it(export: Path) -> None:
    assert described(str(export), "detect") == described(str(export / "data.yaml"))
    (export / "other.yaml").write_text("a: 1\n")
    assert "has 2 YAML files (data.yaml, other.yaml)" in refusal(str(export), "detect")
    (export / "data.yaml").rename(export / "export.yaml")
    assert described(str(export), "detect")["names"] == {0: "a", 1: "b"}, "the one with the folder's name"
    (export / "other.yaml").unlink()
    (export / "export.yaml").rename(export / "valid" / "data.yml")
    assert described(str(export), "detect")["path"] == str(export / "valid"), "found below, and it counts from there"
    assert "has no .yaml in it" in refusal(str(export / "train"), "detect")


def test_weights_of_any_kind_take_a_folder_for_what_it_holds(export: Path, classes: Path) -> None:
    """A folder with a YAML is never handed on as it is: Ultralytics would run what the YAML says."""
    assert described(str(export), None)["names"] == {0: "a", 1: "b"}
    assert description.read(str(classes), None) is None


# What is in the YAML


@pytest.mark.parametrize(
    ("content", "names"),
    [
        (codecs.BOM_UTF8 + "names: [é, b]".encode(), ["é", "b"]),
        ("names: [é, b]".encode("utf-16"), ["é", "b"]),
        (codecs.BOM_UTF16_BE + "names: [é, b]".encode("utf-16-be"), ["é", "b"]),
        ("names: [caf\xe9, b]".encode("latin-1"), ["caf", "b"]),
        (b"names: [a\x00\x08, b]", ["a", "b"]),
        (b"names: &n [a, b]\nclasses: *n", ["a", "b"]),
        (b"base: &n {0: a}\nnames: {<<: *n, 1: b}", ["a", "b"]),
        (b"nc: 2.0", ["class_0", "class_1"]),
        (b"nc: '2'", ["class_0", "class_1"]),
        (b"names: {'0': a, '1': b}\nnc: 2.0", ["a", "b"]),
        (b"names: [[a, c], {b: 1}]", ["['a', 'c']", "{'b': 1}"]),
        (b'names: ["a\\nb", "c\\u2028d"]', ["a\nb", "c\u2028d"]),
        (b"names: [" + b"x" * 1_000 + b", b]", ["x" * 1_000, "b"]),
        (b"names: [yes, null]\npath: None", ["True", "None"]),
    ],
)
def test_names_are_read_as_ultralytics_reads_them(folder: Path, content: bytes, names: list[str]) -> None:
    splits = "\ntrain: images/train\nval: images/val\n"
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        big = content.startswith(codecs.BOM_UTF16_BE)
        whole = content + splits.encode("utf-16-be" if big else "utf-16-le")
    else:
        whole = content + splits.encode()
    data = folder / "data.YAML"
    data.write_bytes(whole)
    assert described(str(data))["names"] == dict(enumerate(names))


def test_what_training_reads_of_a_yaml_reaches_the_copy(folder: Path) -> None:
    pose = {"kpt_shape": [2, 3], "flip_idx": [1, 1], "kpt_oks_sigmas": [0.1, 0.2], "kpt_names": {0: ["l", "r"]}}
    for split in ("train", "val"):
        label(folder, "0 0.5 0.5 0.2 0.2 0.5 0.5 2 0.6 0.6 2\n", split)
    data = write(folder, good(**pose, download="id"))
    assert described(data, "pose").items() >= pose.items()
    assert described(data, None).items() >= pose.items()
    assert described(data, "detect")["kpt_shape"] == [2, 3], "else keypoints would be taken for a polygon"
    depth = {"depth_scale": 256.0, "max_depth": 80.0, "hash": "ab12", "complete": True}
    assert described(write(folder, good(**depth)), "depth").items() >= depth.items()
    (folder / "my" / "masks").mkdir(parents=True)
    semantic = {"masks_dir": "my/masks", "label_mapping": {"7": 0, "8": "1", -1: "ignore_label", 9: None}}
    clean = described(write(folder, good(**semantic)), "semantic")
    assert (clean["masks_dir"], clean["label_mapping"]) == ("my/masks", {7: 0, 8: 1, -1: 255, 9: 255})


@pytest.mark.parametrize(
    ("task", "key", "value"),
    [
        ("pose", "kpt_oks_sigmas", [0.1]),
        ("pose", "kpt_oks_sigmas", [0.1, 0]),
        ("pose", "kpt_oks_sigmas", [0.1, float("nan")]),
        ("pose", "kpt_names", "nose"),
        ("pose", "kpt_names", [b"nose"]),
        ("depth", "depth_scale", 0),
        ("depth", "max_depth", "far"),
        ("semantic", "masks_dir", "../elsewhere"),
        ("semantic", "masks_dir", 3),
        ("semantic", "label_mapping", [1, 2]),
        ("semantic", "label_mapping", {1: 256}),
        ("semantic", "label_mapping", {"a": 1}),
    ],
)
def test_a_value_that_training_could_not_use_is_refused(folder: Path, task: str, key: str, value: Any) -> None:
    content = good(kpt_shape=[2, 3]) if task == "pose" else good()
    assert refusal(write(folder, {**content, key: value}), task).startswith(f"{key} must")


def test_masks_of_any_name_are_looked_at(folder: Path, outside: Path) -> None:
    mask = folder / "colours" / "train" / "a.png"
    mask.parent.mkdir(parents=True)
    mask.symlink_to(outside / "secret.png")
    data = write(folder, good(masks_dir="colours"))
    for task in ("semantic", None):
        with pytest.raises(InvalidPayload, match="--data-root"):
            description.read(data, task, [folder])
    mask.unlink()
    os.mkfifo(mask.with_suffix(".jpg"))
    (folder / "train.txt").write_text("images/train/a.PNG\n")
    assert "is not a regular file" in refusal(write(folder, good(masks_dir="colours", train="train.txt")), "semantic")


# What the labels are


@pytest.mark.parametrize(
    ("task", "text", "detail"),
    [
        ("detect", codecs.BOM_UTF8.decode() + BOX, None),
        ("detect", "0 320 240 64 48\n", "line 1 must have its coordinates as fractions of the image, from 0 to 1"),
        ("detect", "0 0.5 0.5 0.2 0.2 0.9\n", "line 1 has 6 numbers, but a box has 5: class, x, y, width, height"),
        ("detect", "0 0.1 0.1 0.9 0.1 0.9 0.9\n" + BOX, "line 2 is a box, but other lines are polygons"),
        ("detect", "0 0.1 0.1 0.9 0.1 0.9 0.9 0.1\n", "line 1 must have pairs of numbers after its class"),
        ("detect", "0.5 0.5 0.5 0.2 0.2\n", "line 1 is of class 0.5, but classes are whole numbers"),
        ("detect", "0 nan 0.5 0.2 0.2\n", "line 1 must have its coordinates as fractions"),
        ("detect", "0 0.5 0.5 -0.005 0.2\n", "line 1 must have its coordinates as fractions"),
        ("detect", "0 1.01 1.01 0.2 0.2\n0 -0.01 0 0 0\n", None),
        ("segment", "0 -0.1 0.1 0.8 0.1 0.9 0.9\n", None),
        ("segment", "0 3 1 9 1 9 9\n", "line 1 must have its coordinates as fractions"),
        ("segment", BOX, "has boxes, but the task segment needs polygons: train a detect model, or label the outlines"),
        ("obb", BOX, "has boxes, but the task obb needs four corners"),
        ("obb", "0 0.1 0.1 0.9 0.1 0.9 0.9 0.1 0.9\n", None),
        ("pose", BOX, "line 1 has 5 numbers, but a pose with kpt_shape [2, 3] has 11"),
        ("pose", "0 1.5 0.5 0.2 0.2 0.5 0.5 2 0.6 0.6 2\n", None),
        ("pose", "0 0.5 0.5 0.2 0.2 5 0.5 2 0.6 0.6 2\n", "line 1 must have its coordinates as fractions"),
    ],
)
def test_labels_of_which_none_can_be_used_are_told_at_once(
    folder: Path,
    task: str,
    text: str,
    detail: str | None,
) -> None:
    label(folder, "", "val")
    label(folder, text)
    data = write(folder, good(kpt_shape=[2, 3]) if task == "pose" else good())
    if detail is None:
        described(data, task)
    else:
        assert detail in refusal(data, task)
        (folder / "images" / "train" / "b.png").touch()
        if "boxes" not in detail:
            described(data, task)  # an image without objects is enough to train on


def test_one_class_may_stand_for_all(folder: Path) -> None:
    label(folder, "7 0.5 0.5 0.2 0.2\n")
    data = write(folder, good())
    described(data, single_cls=True)
    assert "is of class 7" in refusal(data, "detect")


def test_a_verdict_is_on_all_images_or_none(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    label(folder, "7 0.5 0.5 0.2 0.2\n")
    monkeypatch.setattr("service.datasets.splits.LOOKED_AT", 1)
    described(write(folder, good()))
    (folder / "labels" / "train" / "a.txt").unlink()
    described(write(folder, good()))


def test_a_split_without_any_label_is_refused_and_one_to_evaluate_on_is_not(folder: Path) -> None:
    (folder / "labels" / "val" / "a.txt").unlink()
    described(write(folder, good()))
    (folder / "labels" / "train" / "a.txt").unlink()
    data = write(folder, good())
    wanted = f"train: none of its 1 images has a label; the first is looked for at {folder}/labels/train/a.txt"
    assert refusal(data, "detect") == wanted
    described(data, None)
    described(data, "depth")
    (folder / "labels" / "train" / "a.TXT").touch()
    assert refusal(data, "detect") == f"{wanted} (there is {folder}/labels/train/a.TXT: rename it, case matters)"
    (folder / "labels").rename(folder / "Labels")
    assert refusal(data, "detect") == f"{wanted} (there is {folder}/Labels: rename it, case matters)"
    (folder / "Labels").rename(folder / "other")
    (folder / "_annotations.coco.json").touch()
    assert "convert it with ultralytics.data.converter.convert_coco" in refusal(data, "detect")
    (folder / "images" / "train" / "a.xml").touch()
    assert "in Pascal VOC format: convert them" in refusal(data, "detect")
    (folder / "images").rename(folder / "Images")
    assert "rename the folder to `images`, in lower case" in refusal(
        write(folder, good(train="Images/train", val="Images/val")), "detect"
    )


# What to do about it


@pytest.mark.parametrize(
    ("changes", "detail"),
    [
        ({"path": "C:\\Users\\me\\set"}, "path: 'C:\\\\Users\\\\me\\\\set' is a Windows path: write it with /"),
        ({"train": "D:/set/images"}, "train: 'D:/set/images' is a Windows path: write it with /"),
        ({"train": "..\\images\\train"}, "train: '..\\\\images\\\\train' is a Windows path"),
        ({"path": "/content/set"}, "path: there is no folder /content/set: remove `path:`, so that"),
        (
            {"train": "/content/set/images"},
            "train: there is no /content/set/images: give the path on the machine of the service",
        ),
        ({"train": "Images/train"}, "/images: case matters"),
    ],
)
def test_a_path_of_another_machine_is_told_with_a_remedy(folder: Path, changes: Any, detail: str) -> None:
    assert detail in refusal(write(folder, good(**changes)), "detect")


@pytest.mark.parametrize(
    ("name", "detail"),
    [
        ("_annotations.coco.json", "convert it with ultralytics.data.converter.convert_coco"),
        ("a.xml", "in Pascal VOC format: convert"),
        ("obj.data", "Darknet's format: write a data.yaml"),
        ("set.ndjson", "which this service does not download: convert it"),
        ("train.txt", "is a list of images: write a data.yaml"),
        ("set.tar", "unpack it and give its data.yaml, or pack it as .zip"),
    ],
)
def test_a_dataset_of_another_kind_is_named_with_a_remedy(folder: Path, name: str, detail: str) -> None:
    (folder / name).touch()
    found = refusal(str(folder / name), "detect")
    assert found.startswith(f"{name} ")
    assert detail in found


# Classes as folders


def test_classes_without_a_split_are_split_as_ultralytics_splits_them(tmp_path: Path) -> None:
    home = tmp_path / "pets"
    for name in ("cat", "dog", "empty"):
        (home / name / "more").mkdir(parents=True)
    for number in range(10):
        (home / "cat" / f"{number}.jpg").touch()
        (home / "dog" / "more" / f"{number}.PNG").touch()
    clean = description.read(str(home), "classify")
    assert clean is not None
    assert clean.description is None
    linked = description.write(clean, tmp_path / "job")
    assert linked == tmp_path / "job" / "dataset" == description.written(tmp_path / "job")
    assert sorted(path.name for path in home.parent.iterdir()) == ["job", "pets"], "nothing beside the user's files"
    for part, count in (("train", 8), ("val", 2)):
        assert sorted(path.name for path in (linked / part).iterdir()) == ["cat", "dog", "empty"]
        assert (
            len(list((linked / part / "cat").iterdir())) == len(list((linked / part / "dog/more").iterdir())) == count
        )
    assert os.readlink(next((linked / "val" / "cat").iterdir())).startswith(str(home / "cat"))


def test_train_and_val_may_be_written_in_capitals(classes: Path, tmp_path: Path) -> None:
    """Ultralytics would train on two classes called Train and Val."""
    (classes / "train").rename(classes / "Train")
    (classes / "val").rename(classes / "VALID")
    clean = description.read(str(classes), "classify")
    assert clean is not None
    assert clean.links == {"train": str(classes / "Train"), "val": str(classes / "VALID")}
    assert (description.write(clean, tmp_path / "job") / "train" / "cat" / "a.jpg").exists()


def test_classes_that_cannot_be_split_are_refused(tmp_path: Path, folder: Path) -> None:
    assert "or a folder per class" in refusal(str(folder), "classify"), "images/ and labels/ are no classes"
    (tmp_path / "pets" / "cat").mkdir(parents=True)
    (tmp_path / "pets" / "cat" / "a.jpg").touch()
    assert "has too few images to split" in refusal(str(tmp_path / "pets"), "classify")
    (tmp_path / "pets" / ".ndjson.yaml").write_text("names: &a [*a]\n")
    assert "cannot be read as YAML" in refusal(str(tmp_path / "pets"), "classify")


def test_more_images_than_can_be_split_are_neither_listed_nor_sorted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("cat", "dog"):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for number in range(50):
            (tmp_path / "pets" / name / f"{number}.jpg").touch()
    looked_at: list[str] = []
    monkeypatch.setattr(class_folders, "is_image", lambda name: not looked_at.append(name))
    monkeypatch.setattr(class_folders, "MAX_IMAGES", 60)
    assert "has more than 60 images" in refusal(str(tmp_path / "pets"), "classify")
    assert len(looked_at) == 2 + 50 + 11, "one of each class, all of the first, one more than may be of the second"
    monkeypatch.setattr(class_folders, "MAX_IMAGES", 100)
    assert description.read(str(tmp_path / "pets"), "classify") is not None


# Zips


def packed(home: Path, name: str = "set.zip") -> Path:
    path = home.parent / name
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(home.rglob("*")):
            archive.write(file, file.relative_to(home))
    return path


def test_a_zip_is_looked_at_and_left_for_the_worker(export: Path, classes: Path) -> None:
    before = sorted(export.parent.rglob("*"))
    archive = packed(export)
    assert description.read(str(archive), "detect") is None
    assert description.read(str(packed(classes, "classes.ZIP")), "classify") is None
    assert len(sorted(export.parent.rglob("*"))) == len(before) + 2, "nothing was unpacked"
    (export / "data.yaml").unlink()
    assert "set.zip has no .yaml in it" in refusal(str(packed(export)), "detect")
    archive.write_bytes(b"<html>404</html>")
    assert refusal(str(archive), "detect") == "set.zip was not unpacked: File is not a zip file"
    assert "there is no file" in refusal(str(export / "none.zip"), "detect")
    with zipfile.ZipFile(archive, "w") as evil:
        evil.writestr("../data.yaml", "x")
    assert "is not a plain file inside the archive's folder" in refusal(str(archive), "detect")


def test_a_folder_may_be_called_like_a_zip(export: Path) -> None:
    home = export.rename(export.with_suffix(".zip"))
    assert described(str(home), "detect")["path"] == str(home)


def test_a_path_in_a_zip_is_one_of_another_machine(export: Path) -> None:
    content = yaml.safe_load((export / "data.yaml").read_text())
    (export / "data.yaml").write_text(json.dumps({**content, "path": "/content/set"}))
    assert "path: there is no folder" in refusal(str(export), "detect")
    clean = description.read(str(export), "detect", [export], is_unpacked=True)
    assert clean is not None
    assert clean.description is not None
    assert clean.description.root == str(export)
