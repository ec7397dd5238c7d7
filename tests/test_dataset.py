"""Datasets as users write them, and as nobody should."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.datasets import description, labels, splits
from service.errors import InvalidPayload
from tests.descriptions import good, label, refusal, write


def read(data: str) -> description.Dataset:
    clean = description.read(data)
    assert clean is not None
    return clean


def described(data: str, task: str | None = None) -> dict[str, Any]:
    """What the clean copy of a dataset's YAML would say."""
    clean = description.read(data, task)
    assert clean is not None
    assert clean.description is not None
    return clean.description.as_dict()


def test_a_classification_dataset_is_a_folder(classes: Path) -> None:
    assert description.read(str(classes), "classify") is None
    assert description.read(str(classes)) is None
    assert "only a classification model trains on a folder without one" in refusal(str(classes), "detect")
    (classes / "val").rename(classes / "validation")
    assert description.read(str(classes), "classify") is None


def test_a_classification_folder_without_its_parts_is_refused(classes: Path, folder: Path) -> None:
    assert "is a file: a classification model trains on a folder" in refusal(write(folder, good()), "classify")
    assert "does not exist: a classification model trains on a folder" in refusal(f"{classes}/none", "classify")
    (classes / "val" / "bird").mkdir()
    assert description.read(str(classes), "classify") is None, "Ultralytics leaves out what train does not have"
    for image in (classes / "val").rglob("*.jpg"):
        image.unlink()
    assert "val: no images" in refusal(str(classes), "classify")
    for image in (classes / "train").rglob("*.jpg"):
        image.unlink()
    assert "train: no images" in refusal(str(classes), "classify")
    (classes / "train").rename(classes / "all")
    assert "needs the folders train and val" in refusal(str(classes), "classify")
    assert sorted(path.name for path in classes.iterdir()) == ["all", "val"], "nothing was split or written"
    (classes / "val").rename(classes / "train")
    assert "has no folder val" in refusal(str(classes), "classify")


def test_a_pose_dataset_keeps_its_keypoints(folder: Path) -> None:
    content = good(kpt_shape=[3, 2], flip_idx=[1, 0, 2], download="x")
    for split in ("train", "val"):
        label(folder, f"0 0.5 0.5 0.2 0.2{' 0.5 0.5' * 3}\n", split)
    clean = described(write(folder, content), "pose")
    assert (clean["kpt_shape"], clean["flip_idx"]) == ([3, 2], [1, 0, 2])
    clean = described(write(folder, content), "detect")
    assert clean["kpt_shape"] == [3, 2], "by it, keypoints are told from polygons"
    assert "flip_idx" not in clean


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
        {"kpt_shape": [3, 2], "flip_idx": [0, 1, True]},
        {"kpt_shape": [3, 2], "flip_idx": [0, 1, -4]},
    ],
)
def test_a_pose_dataset_without_sound_keypoints_is_refused(folder: Path, changes: dict[str, Any]) -> None:
    assert refusal(write(folder, good(**changes)), "pose").startswith(("kpt_shape must", "flip_idx must"))


def test_paths_become_absolute_and_names_numbered(folder: Path) -> None:
    copy = description.write(read(write(folder, good())), folder / "jobs" / "1")
    assert yaml.safe_load(copy.read_text()) == {
        "path": str(folder),
        "train": str(folder / "images/train"),
        "val": str(folder / "images/val"),
        "names": {0: "a", 1: "b"},
    }


def test_a_relative_path_counts_from_the_yaml_not_from_the_current_folder(folder: Path) -> None:
    (folder / "sub").mkdir()
    clean = described(write(folder / "sub", good(path="..", test="images/test")))
    assert clean["path"] == str(folder)
    assert clean["test"] == [str(folder / "images/test")]


def test_the_labels_of_a_folder_that_is_a_link_are_where_it_leads(folder: Path, outside: Path) -> None:
    """As Ultralytics has it, and so that no others are looked at than the training reads."""
    (folder / "images" / "train").rename(folder / "raw")
    (folder / "images" / "train").symlink_to(folder / "raw")
    (folder / "raw" / "a.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    assert described(write(folder, good()), "detect")["train"] == [str(folder / "raw")]
    (folder / "raw" / "a.txt").unlink()
    assert f"looked for at {folder}/raw/a.txt" in refusal(write(folder, good()), "detect")
    (folder / "raw" / "a.txt").symlink_to(outside / "secret.txt")
    assert "--data-root" in rooted(write(folder, good()), folder)


def test_splits_may_be_lists_and_files_of_images(folder: Path) -> None:
    """Ultralytics would look for the second line in its current folder."""
    (folder / "lists").mkdir()
    (folder / "images" / "val" / "b.jpg").touch()
    (folder / "lists" / "val.txt").write_text("./../images/val/a.PNG\n\nimages/val/b.jpg\r\n")
    (folder / "more.txt").write_text(f"{folder}/images/test/a.PNG\n")
    clean = read(write(folder, good(train=["images/train", "images/test"], val=["lists/val.txt", "more.txt"])))
    job = folder / "jobs" / "1"
    copy = yaml.safe_load(description.write(clean, job).read_text())
    assert copy["train"] == [str(folder / "images/train"), str(folder / "images/test")]
    assert copy["val"] == [str(job / "val.0.txt"), str(job / "val.1.txt")]
    assert (job / "val.0.txt").read_text() == f"{folder}/images/val/a.PNG\n{folder}/images/val/b.jpg\n"
    assert (job / "val.1.txt").read_text() == f"{folder}/images/test/a.PNG\n"


def test_a_number_of_classes_is_enough(folder: Path) -> None:
    content = good(nc=2)
    del content["names"]
    assert described(write(folder, content))["names"] == {0: "class_0", 1: "class_1"}
    assert described(write(folder, good(names={0: "x", 1: 7})))["names"] == {0: "x", 1: "7"}


def test_only_known_keys_reach_the_copy(folder: Path) -> None:
    hostile = good(download="bash -c id", channels=3, yaml_file="/etc/passwd", shell="x", flip_idx=[0])
    copy = description.write(read(write(folder, hostile)), folder / "jobs" / "1")
    assert set(yaml.safe_load(copy.read_text())) == {"path", "train", "val", "names", "channels"}


def test_a_yaml_tag_that_would_run_code_is_refused(folder: Path) -> None:
    marker = folder / "ran"
    data = write(folder, f"names: !!python/object/apply:os.system ['touch {marker}']\n")
    assert "cannot be read as YAML" in refusal(data)
    assert not marker.exists()


@pytest.mark.parametrize(
    ("changes", "detail"),
    [
        ({"train": None}, "names no train images"),
        ({"val": None}, "names no val images"),
        ({"val": ""}, "names no val images"),
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
        ({"names": {0: "a", 2: "b"}}, "names must be numbered 0 to 1"),
        ({"nc": 1.5}, "nc must be the number of classes, got 1.5"),
        ({"nc": "many"}, "nc must be the number of classes, got 'many'"),
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
        description.read(data)
    else:
        assert detail in refusal(data)


@pytest.mark.parametrize("data", [None, 3, "", [], {"a": 1}, "relative.yaml", "https://host/d.yaml", "/a\0.yaml"])
def test_data_that_is_no_absolute_path_is_refused(data: Any) -> None:
    assert refusal(data).startswith("must be")


def test_files_that_are_no_datasets_are_refused(folder: Path) -> None:
    assert "there is no file" in refusal(str(folder / "nothing.yaml"))
    assert "must be a .yaml file" in refusal(str(folder / "data.doc"))
    assert "there is no file" in refusal(str(folder / "data.zip"))
    assert "is not a mapping" in refusal(write(folder, "- a\n- b\n"))
    assert "cannot be read as YAML" in refusal(write(folder, "a: [\n"))
    assert "more than 1000000 bytes" in refusal(write(folder, "#" * 1_000_001))


# Files that nobody should look at


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        ("0 0.5 0.5 0.2 0.2\n1 0.5 0.5 0.2 0.2\n", None),
        ("0 0.1 0.1 0.9 0.1 0.9 0.9\n", None),
        ("", None),
        ("\n 1.0 0.5 0.5 0.2 0.2 \n", None),
        ("2 0.5 0.5 0.2 0.2\n", "line 1 is of class 2, but the dataset has 2 classes, numbered from 0"),
        ("-1 0.5 0.5 0.2 0.2\n", "line 1 is of class -1"),
        ("nan 0.5 0.5 0.2 0.2\n", "line 1 is of class nan"),
        ("0 0.5 0.5 0.2 0.2\n0 0.5\n", "line 2 must have four numbers or more"),
        ("root:x:0:0:root:/root:/bin/sh\n", "line 1 must be a class number and coordinates"),
        ("\ud800", "it cannot be read as UTF-8 text"),
    ],
)
def test_a_sample_of_the_labels_is_read(folder: Path, text: str, detail: str | None) -> None:
    label(folder, "").write_bytes(text.encode("utf-8", "surrogatepass"))
    if detail is None:
        described(write(folder, good()))
    else:
        found = refusal(write(folder, good()))
        assert detail in found
        assert "root" not in found.replace(str(folder), "")


def test_one_sound_label_is_enough(folder: Path) -> None:
    (folder / "images" / "train" / "b.png").touch()
    label(folder, "7 0.5 0.5 0.2 0.2\n")
    (folder / "labels" / "train" / "b.txt").write_text("1 0.5 0.5 0.2 0.2\n")
    described(write(folder, good()))


@pytest.mark.parametrize("what", ["pipe", "device", "large", "endless"])
@pytest.mark.parametrize("where", ["images/train/b.png", "labels/train/a.txt", "images/val/more/c.jpg"])
def test_what_is_no_file_or_too_large_a_one_is_refused(folder: Path, what: str, where: str) -> None:
    path = folder / where
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    if what == "pipe":
        os.mkfifo(path)
    elif what == "large":
        with path.open("wb") as file:
            file.truncate(10_000_000_000)  # sparse: it takes no room
    else:
        path.symlink_to("/dev/null" if what == "device" else "/dev/zero")
    found = refusal(write(folder, good()))
    assert str(path) in found
    assert "is not a regular file" in found or "10000000000 bytes" in found
    listed = folder / "train.txt"
    listed.write_text("images/train/a.PNG\nimages/train/b.png\nimages/val/more/c.jpg\n")
    assert str(path) in refusal(write(folder, good(train="train.txt", val="images/test")))


@pytest.mark.parametrize("name", ["data.yaml", "train.txt"])
def test_a_pipe_or_a_device_is_not_waited_for(folder: Path, name: str) -> None:
    data = folder / "data.yaml"
    if name != "data.yaml":
        write(folder, good(train=name))
    os.mkfifo(folder / name)
    assert "cannot be read: not a regular file" in refusal(str(data))
    (folder / name).unlink()
    (folder / name).symlink_to("/dev/zero")
    assert "cannot be read: not a regular file" in refusal(str(data))


@pytest.mark.parametrize("name", ["x.ppm", ".jpg", "x.npy"])
def test_whatever_torchvision_opens_is_looked_at(classes: Path, name: str) -> None:
    os.mkfifo(classes / "train" / "cat" / name)
    assert "is not a regular file" in refusal(str(classes), "classify")


@pytest.mark.parametrize(("task", "target"), [("semantic", "masks/train/a.png"), ("depth", "depth/train/a.npy")])
def test_masks_and_depths_are_looked_at_as_labels_are(folder: Path, outside: Path, task: str, target: str) -> None:
    path = folder / target
    path.parent.mkdir(parents=True)
    (folder / "train.txt").write_text("images/train/a.PNG\n")
    os.mkfifo(path)
    for train in ("images/train", "train.txt"):
        data = write(folder, good(train=train))
        assert "is not a regular file" in refusal(data, task)
        assert "is not a regular file" in refusal(data)  # a .pt may be for any task
        described(data, "detect")
    path.unlink()
    path.symlink_to(outside / "secret.png")
    for train in ("images/train", "train.txt"):
        assert "--data-root" in rooted(write(folder, good(train=train)), folder)


def test_lists_together_have_a_bound(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(splits, "MAX_LISTED_BYTES", 100_000)
    (folder / "train.txt").write_text("images/train/a.PNG\n" * 100)
    described(write(folder, good(train=["train.txt"] * 2)))
    assert "more images than are read" in refusal(write(folder, good(train=["train.txt"] * 20)))
    assert "1001 folders and lists" in refusal(write(folder, good(train=["images/train"] * 1_001)))
    for end in ("\n", "\x85", "\u2028"):
        (folder / "train.txt").write_text("images/train/a.PNG\n" + end * 2_000)
        assert "more images than are read" in refusal(write(folder, good(train="train.txt")))


def test_labels_are_not_read_for_ever(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "labels" / "train" / "a.txt").write_text("0 0.5 0.5 0.2 0.2\n" * labels.MAX_LABEL_LINES + "no label\n")
    described(write(folder, good()))
    (folder / "labels" / "train" / "a.txt").write_text("no label\n")
    assert "line 1" in refusal(write(folder, good()))
    monkeypatch.setattr("service.datasets.files.SECONDS", -1)
    described(write(folder, good()))


def test_labels_of_a_great_size_are_left_to_the_training(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labels, "MAX_READ_BYTES", 1_000)
    label = folder / "labels" / "train" / "a.txt"
    label.write_text("0.1 " * 200)
    assert "line 1" in refusal(write(folder, good()))
    label.write_text("0.1 " * 300)
    described(write(folder, good()))


def test_links_in_a_circle_end(folder: Path) -> None:
    (folder / "images" / "train" / "again").symlink_to(folder / "images")
    (folder / "images" / "train" / "self").symlink_to(folder / "images" / "train" / "self")
    described(write(folder, good()))
    (folder / "round.yaml").symlink_to(folder / "round.yaml")
    assert "there is no file" in refusal(str(folder / "round.yaml"))
    assert "there is no" in refusal(write(folder, good(train="images/train/self")))


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [*a]\n",
        "a: &a {<<: *a}\n",
        "a: *b\n",
        f"a: &a [{'x, ' * 1_000}]\nb: &b [{'*a, ' * 1_000}]\n",
        f"a: &a {'x' * 1_000}\nb: [{'*a, ' * 2_000}]\n",
        "a: &l0 {x: 1}\n" + "".join(f"m{n}: &l{n} {{<<: [{f'*l{n - 1}, ' * 10}]}}\n" for n in range(1, 8)),
        "l0: &l0 [x]\n" + "".join(f"l{n}: &l{n} [*l{n - 1}]\n" for n in range(1, 40)),
        "names: " + "[" * 100_000,
        "names: " + "{" * 100_000,
        "- " * 100_000,
        "? " * 100_000,
        f"nc: {'1:' * 400_000}1\n",
        f"nc: {'1:' * 500}1.5\n",
        f"nc: 0x{'f' * 2_000}\n",
        f"nc: {'9' * 5_000}\n",
        "".join(f"{number}: a\n" for number in range(130_000))[:1_000_000],
        "names: !!binary 4\n",
        "names: !!timestamp 2001-99-99\n",
        "a: 1\n---\nb: 2\n",
        "\0",
        "names: !!python/name:os.system\n",
        "!!set {a, b}\n",
    ],
    ids=lambda text: repr(text[:20]),
)
def test_a_yaml_that_would_take_long_or_grow_is_refused(folder: Path, text: str) -> None:
    assert refusal(write(folder, text)).startswith(str(folder / "data.yaml"))


def test_an_alias_counts_as_what_it_stands_for(folder: Path) -> None:
    """Nine lines that stand for a billion words, in places that would be told or counted."""
    levels = "".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]\n" for n in range(1, 10))
    for place in ("names", "path", "train", "kpt_shape", "channels"):
        bomb = f"l0: &l0 [x]\n{levels}{place}: *l9\n"
        assert "each alias (*name) counted in full" in refusal(write(folder, bomb), "pose")


@pytest.mark.parametrize(
    "changes",
    [
        {"names": ["a", "x" * 1_025]},
        {"names": ["a", "\x9b31m"]},
        {"names": {0: "a", 1: "\x1b[31m"}},
        {"train": "images/tr\nain"},
        {"train": ["images/train", ["images/val"]]},
        {"path": "a\x85b"},
        {"nc": 10**600},
        {"names": None, "nc": 10**600},
        {"channels": 10**600},
        {"kpt_shape": [10**600, 3]},
    ],
    ids=repr,
)
def test_texts_and_numbers_beyond_reason_are_refused(folder: Path, changes: dict[str, Any]) -> None:
    assert len(refusal(write(folder, good(**changes)), "pose")) < 1_000


# Roots


def rooted(data: str, *roots: Path) -> str:
    """The refusal, with these roots; without any the same dataset is taken, or refused for another reason."""
    with pytest.raises(InvalidPayload) as caught:
        description.read(data, None, roots)
    (fault,) = caught.value.faults
    return fault.detail


def test_a_dataset_in_one_of_the_roots_is_taken(folder: Path, outside: Path) -> None:
    for roots in ([folder], [outside, folder], [folder.parent]):
        assert description.read(write(folder, good()), None, roots) is not None
    assert "--data-root" in rooted(write(folder, good()), outside)
    assert "--data-root" in rooted(write(folder, good()), folder / "images")
    assert "--data-root" in rooted(str(folder) + "/../" + folder.name + "x/data.yaml", folder)


@pytest.mark.parametrize(
    "link",
    ["linked.yaml", "images/train", "images/train/b.png", "labels/train", "labels/train/a.txt", "images/train/x"],
)
def test_no_link_of_a_dataset_leads_out_of_the_roots(folder: Path, outside: Path, link: str) -> None:
    path = folder / link
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    file = {".png": "secret.png", ".txt": "secret.txt", ".yaml": "data.yaml"}.get(path.suffix)
    path.symlink_to(outside / file if file else outside)
    data = str(path) if path.suffix == ".yaml" else write(folder, good())
    assert "--data-root" in rooted(data, folder)


@pytest.mark.parametrize("line", ["{outside}/secret.png", "../{name}/secret.png", "./../{name}/secret.png", "b.png"])
def test_no_line_of_a_list_leads_out_of_the_roots(folder: Path, outside: Path, line: str) -> None:
    (folder / "b.png").symlink_to(outside / "secret.png")
    steps = os.path.relpath(outside.parent, folder)
    text = line.format(outside=outside, name=f"{steps}/{outside.name}".removeprefix("../"))
    (folder / "list.txt").write_text(f"images/train/a.PNG\n{text}\n")
    assert "--data-root" in rooted(write(folder, good(train="list.txt")), folder)


def test_a_step_up_from_a_link_goes_where_it_seems_to(folder: Path, outside: Path) -> None:
    """To the file system, the folder above a link is the one above its target."""
    (outside / "deep").mkdir()
    (folder / "link").symlink_to(outside / "deep")
    (outside / "data.yaml").write_text("names: [outside]\ntrain: x\nval: x\n")
    write(folder, good(train="link/../images/train"))
    clean = description.read(f"{folder}/link/../data.yaml", None, [folder])
    assert clean is not None
    assert (clean.description.keys.names[0], clean.description.places["train"]) == ("a", [str(folder / "images/train")])


@pytest.mark.parametrize("end", ["\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029"])
def test_what_ends_a_line_for_ultralytics_ends_it_here(folder: Path, outside: Path, end: str) -> None:
    (folder / "list.txt").write_text(f"images/train/a.PNG{end}{outside}/secret.png\n")
    assert "--data-root" in rooted(write(folder, good(train="list.txt")), folder)


def test_labels_beside_a_root_are_outside_of_it(folder: Path) -> None:
    """Ultralytics looks for the labels of <root>/images/a.png in <root>/labels."""
    label(folder, "0 0.5 0.5 0.2 0.2\n")
    data = write(folder / "images", good(train="train", val="val"))
    assert "labels" in rooted(data, folder / "images")


def test_a_class_folder_may_not_lead_out_either(classes: Path, outside: Path) -> None:
    assert description.read(str(classes), "classify", [classes]) is None
    (classes / "train" / "cat" / "b.jpg").symlink_to(outside / "secret.png")
    assert "--data-root" in rooted(str(classes), classes)
    (classes / "val" / "dog" / "a.jpg").unlink()
    (classes / "val" / "dog").rmdir()
    (outside / "private").mkdir()
    (classes / "val" / "dog").symlink_to(outside / "private")
    (classes / "val" / "elsewhere").symlink_to(outside / "private")
    assert "--data-root" in rooted(str(classes), classes)


def test_what_cannot_be_checked_in_time_is_refused_where_roots_are_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.datasets.files.SECONDS", -1)
    assert "cannot all be checked within" in rooted(write(folder, good()), folder)
    described(write(folder, good()))  # elsewhere it is taken at its word


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.dates() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.integers() | st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
PLACES = st.sampled_from(
    ["images/train", ".", "..", "/", "/dev/null", "/proc/self/fd/0", "list.txt", "data.yaml", "\0"]
)


@given(
    content=st.fixed_dictionaries(
        {},
        optional={
            **dict.fromkeys(("path", "train", "val", "test"), PLACES | ANYTHING),
            **dict.fromkeys(("names", "nc", "channels", "kpt_shape", "flip_idx", "download"), ANYTHING),
        },
    ),
    lines=st.binary(max_size=60),
    task=st.sampled_from([None, "detect", "pose", "classify"]),
)
@pytest.mark.timeout(60)  # a hundred and more examples
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
def test_whatever_a_dataset_says_it_is_read_or_refused(folder: Path, content: Any, lines: bytes, task: Any) -> None:
    (folder / "list.txt").write_bytes(lines)
    data = write(folder, yaml.safe_dump(content, allow_unicode=True))
    for roots in ([], [folder]):
        try:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("service.datasets.files.SECONDS", 0.2)  # one of the places is all there is
                found = description.read(data, task, roots)
        except InvalidPayload as error:
            assert len(str(error)) < 2_000
        else:
            assert found is not None
            description.write(found, folder / "copy")
