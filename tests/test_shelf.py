"""Datasets that lie under the roots."""

import os
from pathlib import Path

from service import shelf
from tests.tiny import make_dataset


def test_datasets_are_found_below_the_roots(tmp_path: Path) -> None:
    detect = make_dataset(tmp_path / "a" / "shapes")
    classify = make_dataset(tmp_path / "b", "classify")
    (tmp_path / "other.yaml").write_text("train: 3\nnames: 4\n")
    (tmp_path / "broken.yaml").write_text("train: [")
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "a" / ".hidden").mkdir()
    (tmp_path / "a" / ".hidden" / "data.yaml").write_bytes(detect.read_bytes())
    (tmp_path / "loop").symlink_to(tmp_path)
    assert shelf.find([tmp_path, tmp_path, tmp_path / "nothing"]) == [
        {"path": str(detect), "name": "shapes", "kind": "yaml", "classes": 2, "names": ["red", "green"]},
        {"path": str(classify), "name": "b", "kind": "folder", "classes": 2, "names": ["green", "red"]},
    ]


def test_many_are_cut_off(tmp_path: Path) -> None:
    for number in range(shelf.MAX_FOUND + 5):
        (tmp_path / f"{number}.yaml").write_text("train: a\nval: b\nnc: 3\n")
    assert len(shelf.find([tmp_path])) == shelf.MAX_FOUND
