"""Canaries for all that the library changes in Ultralytics and torchvision, or uses although it is not public.

They fail when a target is gone, when it is there but nobody looks it up any more, and when Ultralytics has a new way to
run code out of a file. `make check` runs them: a bump of the version begins here.
"""

import ast
import hashlib
import inspect
import os
import pickle
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import ultralytics

from AI.model_trainer.errors import ForeignWeights, PatchLost, UntestedVersion
from AI.model_trainer.ultralytics import patches
from AI.model_trainer.ultralytics.patch_register import COPIED, PATCHES, PRIVATE, TESTED, Copied, Patch, Private
from AI.model_trainer.ultralytics.safe_load import restricted

ROOT = Path(__file__).parent.parent
PACKAGE = Path(ultralytics.__file__).parent

# The register


@pytest.mark.parametrize("patch", PATCHES.values(), ids=lambda patch: patch.target)
def test_a_patch_has_its_target_and_is_looked_up(patch: Patch) -> None:
    patches.check(patch)
    assert patch.users
    assert patch.reason


@pytest.mark.parametrize("private", PRIVATE, ids=lambda private: private.target)
def test_what_is_not_public_is_there(private: Private) -> None:
    found = patches.find(private.target)
    assert set(private.names) <= (patches.names_in(found) if private.names else set())


@pytest.mark.parametrize("copied", COPIED, ids=lambda copied: copied.target)
def test_what_is_written_again_is_as_it_was_read(copied: Copied) -> None:
    found = digest(patches.find(copied.target))
    assert found == copied.digest, (
        f"{copied.target} is another function now. Read it, mend what relies on it ({copied.reason}), then note {found}"
    )


def digest(function: Any) -> str:
    """Of a function's source: the exact version is pinned, so that a comment has not changed either."""
    return hashlib.sha256(inspect.getsource(function).encode()).hexdigest()[:16]


@pytest.mark.parametrize(
    "patch",
    [
        Patch("ultralytics.nn.tasks:NO_SUCH_NAME", "gone", "for a while", ()),
        Patch("ultralytics.nn.no_such_module:name", "gone", "for a while", ()),
        Patch("ultralytics.nn.tasks:NoClass.name", "gone", "for a while", ()),
        Patch("ultralytics.nn.tasks:SAFE_LOAD", "bypassed", "for a while", ("ultralytics.nn.tasks:load_checkpoint",)),
        # It does look up `torch_load`: the one of its own module.
        Patch(
            "ultralytics.utils.torch_utils:torch_load",
            "bypassed",
            "for a while",
            ("ultralytics.nn.tasks:torch_safe_load",),
        ),
        Patch("ultralytics.utils.torch_utils:torch_load", "bypassed", "for a while", ("ultralytics.utils:no_such",)),
    ],
    ids=lambda patch: patch.target,
)
def test_a_patch_that_would_do_nothing_is_an_error(patch: Patch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patches, "PATCHES", {patch.target: patch})
    with pytest.raises(PatchLost, match=r"install the versions that yolo-trainer pins"):
        patches.apply_for_good(patch.target, None)
    with pytest.raises(PatchLost), patches.applied(patch.target, None):
        pass


def test_what_was_changed_for_a_while_is_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    target = "ultralytics.nn.tasks:SAFE_LOAD"
    stock = patches.find(target)
    with pytest.raises(KeyError), patches.applied(target, "changed"):
        assert patches.find(target) == "changed"
        raise KeyError
    assert patches.find(target) is stock


def test_nothing_is_changed_but_by_the_register() -> None:
    """No `setattr`, and no assignment to an attribute of what was imported from Ultralytics, torch or torchvision."""
    found = []
    for path in sorted((ROOT / "AI").rglob("*.py")):
        if path.name != "patches.py":
            found += [f"{path.name}:{line}" for line in assignments(ast.parse(path.read_text()))]
    assert not found, "change it by `patches.applied`, `apply_for_good` or `on_one`"


def test_an_assignment_beside_the_register_is_found() -> None:
    code = "from ultralytics import nn\nimport torch.hub as hub\nnn.tasks.A = True\nhub.x += 1\nsetattr(nn, 'a', 1)"
    assert sorted(assignments(ast.parse(code))) == [3, 4, 5]
    assert not list(assignments(ast.parse("from pathlib import Path\nx.y = 1\nx = 2")))


def assignments(tree: ast.AST) -> Iterator[int]:
    strange: set[str] = set()
    for node in ast.walk(tree):
        modules = {
            ast.Import: lambda node: [(alias.name, alias.asname or alias.name.split(".")[0]) for alias in node.names],
            ast.ImportFrom: lambda node: [(node.module or "", alias.asname or alias.name) for alias in node.names],
        }.get(type(node), lambda _: [])(node)
        strange |= {name for module, name in modules if module.split(".")[0] in ("ultralytics", "torch", "torchvision")}
    for node in ast.walk(tree):
        targets = {ast.Assign: lambda node: node.targets, ast.AugAssign: lambda node: [node.target]}
        for target in targets.get(type(node), lambda _: [])(node):
            if isinstance(target, ast.Attribute) and root(target) in strange:
                yield target.lineno
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "setattr":
            yield node.lineno


def root(node: ast.expr) -> str:
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


# The version


def test_the_pinned_version_is_the_newest_tested_one() -> None:
    assert TESTED[-1] == ultralytics.__version__
    assert f'"ultralytics=={TESTED[-1]}"' in (ROOT / "pyproject.toml").read_text()
    assert f"ultralytics=={TESTED[-1]}\n" in (ROOT / "requirements.txt").read_text()


def test_safe_refuses_a_version_that_is_not_tested(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ultralytics, "__version__", "8.4.191")
    advice = rf"8\.4\.191 is installed.*install ultralytics=={TESTED[-1]}"
    with pytest.raises(UntestedVersion, match=advice), restricted():
        pass
    assert patches.find("ultralytics.nn.tasks:SAFE_LOAD") is False


def test_safe_refuses_a_torch_that_cannot_load_weights_as_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ultralytics would load them as ever, whatever its switch says."""
    monkeypatch.setattr("ultralytics.nn.tasks._SafeLoad.SUPPORTED", False)
    with pytest.raises(PatchLost, match="torch is too old"), restricted():
        pass


# Every way to run code out of a file

#: Where Ultralytics can run code that a file holds: file, function, and what it does it with → what closes it.
WAYS = {
    ("nn/tasks.py", "torch_safe_load", "torch_load"): "by the switch",
    ("nn/tasks.py", "torch_safe_load._load", "torch_load"): "by the switch",
    ("nn/tasks.py", "parse_model", "eval"): "by the switch",
    ("nn/tasks.py", "guess_model_task", "eval"): "it evaluates four texts of its own",
    ("utils/torch_utils.py", "strip_optimizer", "torch_load"): "by a patch",
    ("models/yolo/world/train.py", "WorldTrainer.generate_text_embeddings", "torch_load"): "by a patch",
    ("models/yolo/yoloe/train.py", "YOLOETrainerFromScratch.generate_text_embeddings", "torch_load"): "by a patch",
    ("utils/patches.py", "torch_load", "torch.load"): "its users are listed here",
    ("data/utils.py", "load_dataset_cache_file", "np.load"): "its users are listed here",
    ("data/dataset.py", "YOLODataset._load_or_scan_cache", "load_dataset_cache_file"): "by a patch",
    ("data/dataset.py", "ClassificationDataset.verify_images", "load_dataset_cache_file"): "by a patch",
    ("data/utils.py", "check_det_dataset", "exec"): "its users are listed here",
    ("engine/trainer.py", "BaseTrainer.get_dataset", "check_det_dataset"): "by a patch",
    ("engine/validator.py", "BaseValidator.__call__", "check_det_dataset"): "by a patch",
    ("models/yolo/world/train_world.py", "WorldTrainerFromScratch.get_dataset", "check_det_dataset"): "by a patch",
    ("models/yolo/world/val.py", "WorldValidator.__call__", "check_det_dataset"): "by a patch",
    ("models/yolo/yoloe/val.py", "YOLOEDetectValidator.get_model", "check_det_dataset"): "by a patch",
    ("engine/trainer.py", "MultiTrainer.train", "torch_load"): "a sweep over datasets: `data` is one path here",
    ("models/nas/model.py", "NAS._load", "torch_load"): "cannot be trained",
    ("models/sam/build.py", "_load_checkpoint", "torch_load"): "cannot be trained",
    ("models/sam/build_sam3.py", "_load_checkpoint", "torch_load"): "cannot be trained",
    ("models/yolo/depth/calibrate.py", "calibrate_checkpoint", "torch_load"): "no part of a training",
    ("engine/exporter.py", "Exporter.get_int8_calibration_dataloader", "check_det_dataset"): "no part of a training",
    ("utils/benchmarks.py", "benchmark", "check_det_dataset"): "no part of a training",
    ("nn/backends/pytorch.py", "TorchScriptBackend.load_model", "torch.jit.load"): "TorchScript: no pickle's calls",
    ("nn/text_model.py", "MobileCLIPTS.__init__", "torch.jit.load"): "TorchScript: no pickle's calls",
}
#: Names whose every use counts, and dotted ones.
NAMES = {"torch_load", "load_dataset_cache_file", "check_det_dataset", "load_state_dict_from_url", "exec", "eval"}
DOTTED = {
    "torch.load",
    "torch.jit.load",
    "os.system",
    "pickle.load",
    "pickle.loads",
    "pickle.Unpickler",
    "runpy.run_path",
}
MODULES = ("torch.hub", "dill", "joblib", "marshal", "shelve", "cloudpickle.load")


def test_every_way_to_run_code_out_of_a_file_is_known() -> None:
    found = {
        (path.relative_to(PACKAGE).as_posix(), *way)
        for path in PACKAGE.rglob("*.py")
        for way in ways(path.read_text(encoding="utf-8"))
    }
    assert found - set(WAYS) == set(), "read it, and close it in `patch_register` where a training comes by"
    assert set(WAYS) - found == set(), "it is gone: what was done about it can go as well"


def test_a_new_way_is_found() -> None:
    code = textwrap.dedent("""
        import pickle
        from pickle import loads
        class A:
            def b(self, f): return [torch.load(f), pickle.load(f), np.load(f, allow_pickle=yes), map(torch_load, f)]
    """)
    assert set(ways(code)) == {
        ("", "pickle"),
        *(("A.b", name) for name in ("torch.load", "pickle.load", "np.load", "torch_load")),
    }


def ways(code: str) -> Iterator[tuple[str, str]]:
    """Function, and what in it can run code out of a file."""
    if any(name.rpartition(".")[2] in code for name in (*NAMES, *DOTTED, *MODULES, "np.load", "pickle")):
        yield from _ways(ast.parse(code), "")


def _ways(node: ast.AST, where: str) -> Iterator[tuple[str, str]]:
    for child in ast.iter_child_nodes(node):
        inside = where
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            inside = f"{where}.{child.name}".lstrip(".")
        match child:
            case ast.Name(id=name, ctx=ast.Load()) if name in NAMES:
                yield where, name
            case ast.Attribute() if (name := ast.unparse(child)) in DOTTED or name.startswith(MODULES):
                yield where, name
            case ast.ImportFrom(module=("pickle" | "dill" | "joblib" | "marshal" | "cloudpickle") as module):
                yield where, module
            case ast.Call(func=ast.Attribute(attr="load"), keywords=words) if any(map(_allows_pickle, words)):
                yield where, "np.load"
        yield from _ways(child, inside)


def _allows_pickle(word: ast.keyword) -> bool:
    return word.arg == "allow_pickle" and not (isinstance(word.value, ast.Constant) and word.value.value is False)


# Hostile files, through the very functions that would run them


class Bomb:
    """Unpickled, it makes a folder."""

    def __init__(self, proof: Path) -> None:
        self.proof = str(proof)

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (self.proof,)


def weights(folder: Path, proof: Path, name: str = "hostile.pt") -> Path:
    torch.save({"model": Bomb(proof)}, folder / name)
    return folder / name


def load(folder: Path, proof: Path) -> None:
    from ultralytics.nn.tasks import torch_safe_load

    torch_safe_load(str(weights(folder, proof)))


def load_a_plain_pickle(folder: Path, proof: Path) -> None:
    from ultralytics.nn.tasks import torch_safe_load

    (folder / "plain.pt").write_bytes(pickle.dumps({"model": Bomb(proof)}, protocol=2))
    torch_safe_load(str(folder / "plain.pt"))


def strip(folder: Path, proof: Path) -> None:
    from ultralytics.utils.torch_utils import strip_optimizer

    strip_optimizer(str(weights(folder, proof)))


def build(folder: Path, proof: Path) -> None:
    from ultralytics.nn.tasks import parse_model

    parse_model({"activation": f"__import__('os').mkdir({str(proof)!r})", "nc": 1, "backbone": [], "head": []}, 3)


def embed_for_world(folder: Path, proof: Path) -> None:
    from ultralytics.models.yolo.world.train import WorldTrainer

    weights(folder, proof, "text_embeddings_clip_ViT-B_32.pt")
    WorldTrainer.generate_text_embeddings(SimpleNamespace(device="cpu"), [], 1, folder)


def embed_for_yoloe(folder: Path, proof: Path) -> None:
    from ultralytics.models.yolo.yoloe.train import YOLOETrainerFromScratch

    weights(folder, proof, "text_embeddings_clip.pt")
    trainer = SimpleNamespace(device="cpu", model=SimpleNamespace(text_model="clip"))
    YOLOETrainerFromScratch.generate_text_embeddings(trainer, [], 1, folder)


def read_labels(folder: Path, proof: Path) -> None:
    from ultralytics.data.dataset import YOLODataset

    with open(folder / "labels.cache", "wb") as file:
        np.save(file, np.array(Bomb(proof), dtype=object), allow_pickle=True)
    dataset = SimpleNamespace(cache_labels=lambda _: {}, im_files=[])
    assert YOLODataset._load_or_scan_cache(dataset, folder / "labels.cache", "") == ({}, False)


def read_classes(folder: Path, proof: Path) -> None:
    from ultralytics.data.dataset import ClassificationDataset

    with open(folder / "images.cache", "wb") as file:
        np.save(file, np.array(Bomb(proof), dtype=object), allow_pickle=True)
    dataset = SimpleNamespace(root=str(folder / "images"), prefix="", samples=[], names={}, batch=1)
    ClassificationDataset.verify_images(dataset)


def described(folder: Path, proof: Path) -> SimpleNamespace:
    """Arguments with a dataset whose images are not there, and which says how to get them."""
    data = folder / "data.yaml"
    download = f"import os; os.mkdir({str(proof)!r})"
    data.write_text(f"path: {folder}\ntrain: images\nval: images\nnames: [a]\ndownload: {download!r}\n")
    return SimpleNamespace(data=str(data), task="detect", split="val", fraction=1.0)


def get_dataset(folder: Path, proof: Path) -> None:
    from ultralytics.engine.trainer import BaseTrainer

    BaseTrainer.get_dataset(SimpleNamespace(args=described(folder, proof)))


HOSTILE = [
    *(load, load_a_plain_pickle, strip, build),
    *(embed_for_world, embed_for_yoloe, read_labels, read_classes, get_dataset),
]


@pytest.mark.parametrize("way", HOSTILE)
@pytest.mark.parametrize("is_safe", [True, False])
def test_a_hostile_file_is_run_only_without_safe(
    way: Callable[[Path, Path], None], is_safe: bool, tmp_path: Path
) -> None:
    """Without it is run: otherwise this would be no canary."""
    from ultralytics.nn.modules import Conv

    proof, activation = tmp_path / "executed", Conv.default_act
    try:
        if is_safe:
            with restricted():
                way(tmp_path, proof)
        else:
            way(tmp_path, proof)
    except Exception as error:  # each way has its own
        refused = error
    else:
        refused = None
    finally:
        Conv.default_act = activation
    assert proof.exists() is not is_safe, refused


@pytest.mark.parametrize(
    "target", [target for target in PATCHES if target.endswith(("torch_load", "check_det_dataset"))]
)
def test_every_user_of_a_loader_has_the_closed_one(target: str) -> None:
    stock = patches.find(target)
    with restricted():
        assert patches.find(target) is not stock
    assert patches.find(target) is stock


def test_torchvision_gets_no_weights_from_the_net() -> None:
    from torchvision.models import ResNet18_Weights

    with restricted(), pytest.raises(ForeignWeights, match=r"download\.pytorch\.org"):
        ResNet18_Weights.DEFAULT.get_state_dict()


# Fields that are assigned


def test_threads_that_draw_are_known_by_name() -> None:
    """`plot_files` waits for them: without the name, pictures would be missing at the end."""
    import threading

    from ultralytics.utils.plotting import plot_images

    images = torch.zeros(1, 3, 32, 32)
    thread = plot_images({"cls": torch.zeros(0), "batch_idx": torch.zeros(0)}, images, save=False)
    assert isinstance(thread, threading.Thread)
    assert thread.name.endswith("(plot_images)")
    thread.join()


def test_datasets_set_where_their_arrays_are_by_attribute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ultralytics.data.base import BaseDataset

    from AI.model_trainer.ultralytics import label_cache

    targets = ("ultralytics.data.dataset:load_dataset_cache_file", "ultralytics.data.dataset:save_dataset_cache_file")
    for target in targets:
        monkeypatch.setattr(target.replace(":", "."), patches.find(target))
    monkeypatch.setattr(BaseDataset, "npy_files", None, raising=False)
    label_cache.redirect(tmp_path / "cache")
    dataset = BaseDataset.__new__(BaseDataset)
    dataset.npy_files = [Path("/images/a.npy")]
    assert [path.parent for path in dataset.npy_files] == [tmp_path / "cache"]
    from ultralytics.data import dataset as module

    with pytest.raises(FileNotFoundError):
        module.load_dataset_cache_file(tmp_path / "labels.cache")
