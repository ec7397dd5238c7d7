"""Datasets that lie under the roots."""

import os
from pathlib import Path

import pytest

from service.datasets import search
from tests.tiny import make_dataset

pytestmark = pytest.mark.timeout(60)  # it trains


def test_datasets_are_found_below_the_roots(tmp_path: Path) -> None:
    detect = make_dataset(tmp_path / "a" / "shapes")
    classify = make_dataset(tmp_path / "b", "classify")
    (tmp_path / "other.yaml").write_text("train: 3\nnames: 4\n")
    (tmp_path / "broken.yaml").write_text("train: [")
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "a" / ".hidden").mkdir()
    (tmp_path / "a" / ".hidden" / "data.yaml").write_bytes(detect.read_bytes())
    (tmp_path / "loop").symlink_to(tmp_path)
    assert search.find([tmp_path, tmp_path, tmp_path / "nothing"]) == [
        {"path": str(detect), "name": "shapes", "kind": "yaml", "classes": 2, "names": ["red", "green"]},
        {"path": str(classify), "name": "b", "kind": "folder", "classes": 2, "names": ["green", "red"]},
    ]


def test_datasets_are_found_as_they_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.YAML").write_text("# \x08\ntrain: ../train/images\nvalidation: b\nnames: &n [a]\n")
    (tmp_path / "b.yml").write_text("train: a\nvalid: b\nnc: 3\nlast: &l [1]\nagain: *l\n")
    assert [(found["name"], found["classes"]) for found in search.find([tmp_path])] == [("a", 1), ("b", 3)]


def test_many_are_cut_off(tmp_path: Path) -> None:
    for number in range(search.MAX_FOUND + 5):
        (tmp_path / f"{number}.yaml").write_text("train: a\nval: b\nnc: 3\n")
    assert len(search.find([tmp_path])) == search.MAX_FOUND


def test_links_out_of_a_root_tell_nothing(tmp_path: Path) -> None:
    secret = make_dataset(tmp_path / "outside" / "secret", "classify")
    (tmp_path / "outside" / "data.yaml").write_text("train: a\nval: b\nnames: [private]\n")
    root = tmp_path / "root"
    (root / "val").mkdir(parents=True)
    (root / "train").symlink_to(secret / "train")
    (root / "data.yaml").symlink_to(tmp_path / "outside" / "data.yaml")
    assert search.find([root]) == []


def test_looking_has_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data.yaml").write_text(f"train: a\nval: b\nnames: [[{'name, ' * 1_000}]]\n")
    (found,) = search.find([tmp_path])
    assert len(found["names"][0]) == search.MAX_NAME_CHARACTERS
    monkeypatch.setattr(search, "SECONDS", -1)
    assert search.find([tmp_path]) == []
