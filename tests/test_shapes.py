import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from AI.examples import shapes
from tests.tiny import tiny_model

pytestmark = pytest.mark.timeout(60)  # the first start of a worker imports torch


def listing(folder: Path) -> dict[Path, bytes]:
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_dataset_is_what_its_yaml_says(tmp_path: Path) -> None:
    data = shapes.generate(tmp_path, train=6, val=2)
    described = yaml.safe_load(data.read_text())
    assert described == {
        "path": str(tmp_path),
        "train": "images/train",
        "val": "images/val",
        "names": {0: "circle", 1: "square", 2: "triangle"},
    }
    for split, count in (("train", 6), ("val", 2)):
        images = sorted((tmp_path / "images" / split).iterdir())
        assert len(images) == count
        for image in images:
            check(image, tmp_path / "labels" / split / f"{image.stem}.txt")


def check(image: Path, labels: Path) -> None:
    """Each box holds a coloured shape on a grey background, and nothing of it is outside."""
    pixels = np.asarray(Image.open(image)).astype(int)
    assert pixels.shape == (96, 96, 3)
    coloured = np.ptp(pixels, axis=2) > 40
    rows = np.loadtxt(labels, ndmin=2)
    assert 1 <= len(rows) <= 3
    assert set(rows[:, 0]) <= {0, 1, 2}
    for _, x, y, width, height in rows * [1, 96, 96, 96, 96]:
        assert 19 <= round(width) == round(height) <= 32
        box = np.s_[round(y - height / 2) : round(y + height / 2) + 1, round(x - width / 2) : round(x + width / 2) + 1]
        assert coloured[box].mean() > 0.4
        coloured[box] = False
    assert not coloured.any()


def test_same_seed_same_dataset(tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        shapes.generate(tmp_path / name, train=3, val=1, seed=seed)
    a, b, c = ({path: text for path, text in listing(tmp_path / n).items() if path.name != "data.yaml"} for n in "abc")
    assert a == b != c


def test_whole_dataset_is_left_as_it_is(tmp_path: Path) -> None:
    data = shapes.generate(tmp_path, train=3, val=1)
    label = tmp_path / "labels" / "train" / "0000.txt"
    label.write_text("edited")
    assert shapes.generate(tmp_path, train=3, val=1) == data
    assert label.read_text() == "edited"


def test_half_a_dataset_is_made_whole(tmp_path: Path) -> None:
    shapes.generate(tmp_path, train=3, val=1)
    whole = listing(tmp_path)
    (tmp_path / "images" / "train" / "0002.png").unlink()
    shapes.generate(tmp_path, train=3, val=1)
    assert listing(tmp_path) == whole


def test_crash_leaves_nothing_that_looks_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    shapes.generate(tmp_path, train=2, val=1)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(shapes, "_draw", crash)
        shapes.generate(tmp_path, train=3, val=1)
    assert not (tmp_path / "data.yaml").exists()
    shapes.generate(tmp_path, train=3, val=1)
    assert len(list((tmp_path / "images" / "train").iterdir())) == 3


def test_moved_dataset_gets_its_new_path(tmp_path: Path) -> None:
    shapes.generate(tmp_path / "old", train=2, val=1)
    (tmp_path / "old").rename(tmp_path / "new")
    data = shapes.generate(tmp_path / "new", train=2, val=1)
    assert yaml.safe_load(data.read_text())["path"] == str(tmp_path / "new")


def test_path_cannot_break_out_of_the_yaml(tmp_path: Path) -> None:
    folder = tmp_path / 'a"\nval: /etc # é 😀'
    assert yaml.safe_load(shapes.generate(folder, train=1, val=1).read_text())["path"] == str(folder)


def test_another_dataset_is_not_drawn_over(tmp_path: Path) -> None:
    shapes.generate(tmp_path / "larger", train=3, val=1)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "data.yaml").write_text("names: [cat]")
    for name in ("larger", "mine"):
        before = listing(tmp_path / name)
        with pytest.raises(FileExistsError, match=name):
            shapes.generate(tmp_path / name, train=2, val=1)
        assert listing(tmp_path / name) == before


def test_drawing_needs_no_torch() -> None:
    program = "import sys, AI.examples.shapes; print(sorted({'torch', 'ultralytics', 'cv2'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_hyperparameters_are_arguments_of_ultralytics() -> None:
    from ultralytics.cfg import get_cfg

    get_cfg(overrides=dict(shapes.HYPERPARAMETERS))


def test_example_trains_and_says_where_the_weights_are(tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = ["--model", tiny_model(tmp_path), "--epochs", "2", "--out", out, "--no-plots", "--threads", 1]
    command = [sys.executable, "-m", "AI.examples.train_yolo", *map(str, options)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = run.stdout.splitlines()
    assert lines[0].startswith("epoch 0/2  batch 0/?")
    assert sum(" done in " in line for line in lines) == 2
    assert lines[-2].startswith("mAP50 0.")
    assert lines[-1] == f"weights {out / 'run' / 'weights' / 'best.pt'}"
    assert (out / "run" / "weights" / "best.pt").is_file()
