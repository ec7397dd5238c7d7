"""Official names: found in a folder, downloaded over a real socket, or one clear error."""

import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from AI.model_trainer import WeightsUnavailable, build_model, train_from_payload, train_model
from AI.model_trainer.listener import Listener
from AI.model_trainer.ultralytics import downloads as weights_folder
from AI.model_trainer.ultralytics.amp_check import AmpCheck
from AI.model_trainer.ultralytics.downloads import WeightsFolder
from tests.events import downloads
from tests.releases import Releases
from tests.tiny import TINY, make_dataset, tiny_model

pytestmark = pytest.mark.timeout(60)  # the first start of a worker imports torch


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a small model's weights; more than an official file has at least."""
    folder = tmp_path_factory.mktemp("checkpoint")
    build_model(tiny_model(folder)).save(folder / "tiny.pt")
    content = (folder / "tiny.pt").read_bytes()
    assert len(content) > weights_folder._MIN_BYTES
    return content


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "weights"
    path.mkdir()
    return path


@pytest.fixture(autouse=True)
def empty_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Whatever happens, nothing is written to the current directory."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    yield here
    assert [path.name for path in here.iterdir() if path.suffix != ".mine"] == []


# Found


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("yolov8n", "yolov8n.pt"),
        ("yolov8n.pt", "yolov8n.pt"),
        ("yolo11n-seg", "yolo11n-seg.pt"),
        ("yolo26n", "yolo26n.pt"),
        ("yolov9t", "yolov9t.pt"),
        ("yolov5n", "yolov5nu.pt"),
        ("yolov5n.pt", "yolov5nu.pt"),
    ],
)
@pytest.mark.parametrize("offline", [True, False])
def test_weights_in_the_folder_are_found_without_the_net(
    name: str, file: str, offline: bool, folder: Path, checkpoint: bytes, net: list[str]
) -> None:
    (folder / file).write_bytes(checkpoint)
    model = build_model(name, weights_dir=folder, offline=offline)
    assert Path(model.ckpt_path) == folder / file
    assert net == []


def test_weights_in_the_current_directory_are_found_after_those_in_the_folder(
    folder: Path, checkpoint: bytes, net: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    here = folder.parent / "there"
    here.mkdir()
    monkeypatch.chdir(here)
    (here / "yolov8n.pt").write_bytes(checkpoint)
    assert Path(build_model("yolov8n", weights_dir=folder).ckpt_path) == here / "yolov8n.pt"
    (folder / "yolov8n.pt").write_bytes(checkpoint)
    assert Path(build_model("yolov8n", weights_dir=folder).ckpt_path) == folder / "yolov8n.pt"
    assert net == []


def test_folder_is_among_the_fit_params_of_a_payload(
    folder: Path, checkpoint: bytes, tmp_path: Path, net: list[str]
) -> None:
    (folder / "yolov8n.pt").write_bytes(checkpoint)
    fit_params = {"data": make_dataset(tmp_path / "data"), "save_dir": tmp_path / "run", "weights_dir": str(folder)}
    model, _ = train_from_payload({"model": "yolov8n", "hyperparameters": TINY, "fit_params": fit_params})
    assert model.trainer.args.model == str(folder / "yolov8n.pt")


def test_pretrained_weights_are_found_in_the_same_folder(
    folder: Path, checkpoint: bytes, tmp_path: Path, net: list[str]
) -> None:
    (folder / "yolov8n.pt").write_bytes(checkpoint)
    model = build_model(tiny_model(tmp_path), TINY, weights_dir=folder)
    fit_params = {"data": make_dataset(tmp_path / "data"), "save_dir": tmp_path / "run", "pretrained": "yolov8n"}
    train_model(model, fit_params=fit_params)
    assert model.trainer.args.pretrained == str(folder / "yolov8n.pt")
    with pytest.raises(WeightsUnavailable, match=r"yolov8s\.pt"):
        train_model(model, fit_params={**fit_params, "pretrained": "yolov8s.pt"})


def test_default_folder_is_the_users_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert weights_folder.default_folder() == tmp_path / ".cache" / "yolo-trainer" / "weights"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert weights_folder.default_folder() == tmp_path / "xdg" / "yolo-trainer" / "weights"
    monkeypatch.setattr("sys.platform", "darwin")
    assert weights_folder.default_folder() == tmp_path / "Library" / "Caches" / "yolo-trainer" / "weights"
    assert list(tmp_path.glob("[!h]*")) == []  # asking makes nothing


@pytest.mark.parametrize("path", ["/nowhere/model.pt", "unknown.pt", "sub/yolov8n.pt", "yolov8n-mine", "sam_b"])
def test_path_that_does_not_exist_asks_nobody(path: Path, folder: Path, net: list[str]) -> None:
    with pytest.raises(FileNotFoundError, match=r"neither an official name nor a file"):
        build_model(path, weights_dir=folder)
    assert net == []


# Not to be had


@pytest.mark.parametrize(
    ("name", "file", "config"),
    [
        ("yolov8n", "yolov8n.pt", "yolov8n.yaml"),
        ("yolo11n-seg.pt", "yolo11n-seg.pt", "yolo11n-seg.yaml"),
        ("yolov5n6u", "yolov5n6u.pt", "yolov5n-p6.yaml"),
        ("yolov3u", "yolov3u.pt", "yolov3.yaml"),
        ("rtdetr-l", "rtdetr-l.pt", "rtdetr-l.yaml"),
        ("yolov8n-oiv7", "yolov8n-oiv7.pt", None),
    ],
)
@pytest.mark.parametrize("offline", [True, False])
def test_what_cannot_be_had_is_one_clear_error(
    name: str, file: str, config: str, offline: bool, folder: Path, net: list[str]
) -> None:
    assert os.environ["YOLO_OFFLINE"] == "1"  # says nothing about weights
    with pytest.raises(WeightsUnavailable) as caught:
        build_model(name, weights_dir=folder, offline=offline)
    why = "downloads are off" if offline else "cannot be downloaded (the connection failed)"
    otherwise = f", or train {config} from random weights" if config else ""
    assert str(caught.value) == f"{file} is missing and {why}: put it into {folder}{otherwise}"
    assert isinstance(caught.value, OSError)
    assert (caught.value.name, caught.value.folder, caught.value.why) == (file, folder, why)
    assert net == ([] if offline else ["github.com"])  # asked once, and not again
    assert list(folder.iterdir()) == []


def test_folder_that_cannot_be_made_is_said_so(tmp_path: Path, net: list[str]) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WeightsUnavailable, match=r"cannot be downloaded \(Not a directory\)"):
        build_model("yolov8n", weights_dir=tmp_path / "file" / "weights")
    assert net == []


def test_file_that_the_server_has_not(folder: Path, releases: Releases) -> None:
    with pytest.raises(WeightsUnavailable, match=r"cannot be downloaded \(HTTP 404\)"):
        build_model("yolov8n", weights_dir=folder)
    assert list(folder.iterdir()) == []


def test_download_that_breaks_off_leaves_nothing(folder: Path, releases: Releases, checkpoint: bytes) -> None:
    releases.files["yolov8n.pt"], releases.cut = checkpoint, len(checkpoint) // 2
    with pytest.raises(WeightsUnavailable, match=r"cannot be downloaded \(the connection failed\)"):
        build_model("yolov8n", weights_dir=folder)
    assert list(folder.iterdir()) == []


def test_full_disk_is_said_so(
    folder: Path, releases: Releases, checkpoint: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ultralytics.utils import downloads

    def full(*_: object, **__: object) -> None:
        raise MemoryError("Insufficient free disk space")

    monkeypatch.setattr(downloads, "safe_download", full)
    with pytest.raises(WeightsUnavailable, match=r"not enough disk space"):
        build_model("yolov8n", weights_dir=folder)


# Downloaded


def test_download_goes_into_the_folder_and_is_there_the_next_time(
    folder: Path, releases: Releases, checkpoint: bytes
) -> None:
    releases.files["yolov8n.pt"] = checkpoint
    for _ in range(2):
        model = build_model("yolov8n", weights_dir=folder / "made" / "for it")
        assert Path(model.ckpt_path) == folder / "made" / "for it" / "yolov8n.pt"
    assert releases.requests == ["/v8.4.0/yolov8n.pt"]
    assert [path.name for path in folder.rglob("*.*")] == ["yolov8n.pt"]
    assert (folder / "made" / "for it" / "yolov8n.pt").read_bytes() == checkpoint


def test_download_goes_into_the_default_folder(
    tmp_path: Path, releases: Releases, checkpoint: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    releases.files["yolo11n.pt"] = checkpoint
    build_model("yolo11n")
    assert (tmp_path / "cache" / "yolo-trainer" / "weights" / "yolo11n.pt").is_file()


def test_weights_at_an_address_go_into_the_folder(folder: Path, releases: Releases, checkpoint: bytes) -> None:
    releases.files["mine.pt"] = checkpoint
    assert Path(build_model(f"{releases.url}/mine.pt", weights_dir=folder).ckpt_path) == folder / "mine.pt"


def test_download_is_told_before_the_training(
    folder: Path, releases: Releases, checkpoint: bytes, tmp_path: Path
) -> None:
    releases.files["yolov8n.pt"] = checkpoint
    events = []
    fit_params = {
        "data": make_dataset(tmp_path / "data"),
        "save_dir": tmp_path / "run",
        "weights_dir": folder,
        "events": "all",
        "progress_callback": events.append,
    }
    train_from_payload({"model": "yolov8n", "hyperparameters": TINY, "fit_params": fit_params})
    told, size = downloads(events), len(checkpoint)
    assert told == [(event["file"], event["received_bytes"], event["total_bytes"]) for event in events[: len(told)]]
    assert told[0] == ("yolov8n.pt", 0, None)
    assert told[-1] == ("yolov8n.pt", size, size)
    assert len(told) >= 3
    assert all(total == size for _, _, total in told[1:])
    received = [each for _, each, _ in told]
    assert received == sorted(received)
    assert events[len(told)]["phase"] == "checking_data"
    assert events[0].keys() == {
        *("event", "phase", "epoch", "metrics", "file", "received_bytes", "total_bytes"),
    }


def test_download_is_not_told_unless_asked_for(
    folder: Path, releases: Releases, checkpoint: bytes, tmp_path: Path
) -> None:
    releases.files["yolov8n.pt"] = checkpoint
    events = []
    fit_params = {"data": make_dataset(tmp_path / "data"), "save_dir": tmp_path / "run", "weights_dir": folder}
    fit_params["progress_callback"] = events.append
    train_from_payload({"model": "yolov8n", "hyperparameters": TINY, "fit_params": fit_params})
    assert {event["event"] for event in events} == {"tick", "epoch_end", "train_end"}


def test_events_of_a_download_are_few(folder: Path, releases: Releases, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights_folder, "_REPORT_INTERVAL", float("inf"))
    releases.files["yolov8n.pt"] = content = bytes(5_000_000)  # comes in a thousand pieces
    events = []
    WeightsFolder(folder, listener=Listener(events.append)).resolve("yolov8n")
    first, second, third = downloads(events)
    assert 0 == first[1] < second[1] < third[1] == len(content)


def test_callback_that_raises_does_not_end_a_download(
    folder: Path, releases: Releases, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_: object) -> None:
        raise OSError("pipe closed")

    releases.files["yolov8n.pt"] = bytes(200_000)
    WeightsFolder(folder, listener=Listener(broken)).resolve("yolov8n")
    assert (folder / "yolov8n.pt").is_file()
    ours = [record for record in caplog.records if record.name.startswith("AI.")]
    assert [(record.levelno, record.action) for record in ours] == [(logging.ERROR, "progress")]


def test_two_threads_download_once(folder: Path, releases: Releases) -> None:
    releases.files["yolov8n.pt"] = bytes(2_000_000)
    paths = []
    threads = [
        threading.Thread(target=lambda: paths.append(WeightsFolder(folder).resolve("yolov8n"))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert paths == [str(folder / "yolov8n.pt")] * 4
    assert len(releases.requests) == 1


def test_what_a_killed_process_left_is_removed(folder: Path, releases: Releases) -> None:
    releases.files["yolov8n.pt"] = bytes(200_000)
    for name, age in ((".download-old", 10**6), (".download-new", 0)):
        part = folder / name / ".yolov8s.pt.part"
        part.parent.mkdir()
        part.write_bytes(b"half")
        for path in (part, part.parent):
            os.utime(path, (path.stat().st_mtime - age,) * 2)
    WeightsFolder(folder).resolve("yolov8n")
    assert {path.name for path in folder.iterdir()} == {".download-new", "yolov8n.pt"}


# The check before mixed precision


@pytest.mark.parametrize("offline", [True, False])
def test_check_of_mixed_precision_looks_in_the_same_folder(
    offline: bool, folder: Path, net: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On CUDA only, so Ultralytics' check is replaced by the two things that it does with its weights."""
    from ultralytics import utils
    from ultralytics.engine import trainer as engine
    from ultralytics.utils import checks
    from ultralytics.utils.downloads import attempt_download_asset

    def check(_: object) -> bool:
        from ultralytics.utils import WEIGHTS_DIR

        looked.append(WEIGHTS_DIR)
        with pytest.raises(ConnectionError):
            attempt_download_asset(WEIGHTS_DIR / "yolo26n.pt")
        return True

    looked, stock = [], utils.WEIGHTS_DIR
    monkeypatch.setattr(checks, "check_amp", check)
    monkeypatch.setattr(engine, "check_amp", engine.check_amp)
    ((_, setup_start),) = AmpCheck(folder, offline).hooks()
    setup_start(SimpleNamespace(device=SimpleNamespace(type="cpu")))
    assert engine.check_amp is not check
    setup_start(SimpleNamespace(device=SimpleNamespace(type="cuda")))
    assert engine.check_amp(None) is True
    assert looked == [folder]
    assert stock == utils.WEIGHTS_DIR
    assert bool(net) is not offline
    assert list(folder.iterdir()) == []
