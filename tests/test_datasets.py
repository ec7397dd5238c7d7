"""Datasets known by name: from a folder, from a server that stands in for the net; archives nobody should unpack."""

import os
import stat
import struct
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from AI.model_trainer import DatasetUnavailable, archives
from AI.model_trainer.archives import unpack
from AI.model_trainer.errors import BadArchive
from AI.model_trainer.listener import Listener
from AI.model_trainer.ultralytics import known_datasets
from AI.model_trainer.ultralytics.known_datasets import fetch
from tests.conftest import serve
from tests.events import downloads
from tests.releases import Releases
from tests.tiny import make_dataset, tiny_model

pytestmark = pytest.mark.timeout(60)  # the first start of a worker imports torch


def archived(folder: Path, name: str = "coco8", top: str = "coco8") -> Path:
    """The zip of a small dataset, with a data.yaml of its own that nobody should read."""
    make_dataset(folder / "made" / top)
    (folder / "made" / top / "data.yaml").write_text("download: import os; os.mkdir('executed')\n")
    path = folder / f"{name}.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted((folder / "made").rglob("*")):
            archive.write(file, file.relative_to(folder / "made"))
        archive.writestr(f"{top}/README.md", os.urandom(200_000))
    return path


def test_names_are_those_whose_archive_has_an_address() -> None:
    known = known_datasets.packaged()
    assert known["coco8.yaml"].endswith("/coco8.zip")
    assert {"dota8.yaml", "coco8-pose.yaml", "coco8-seg.yaml"} <= {name for name, address in known.items() if address}
    for name in ("coco.yaml", "VOC.yaml", "VisDrone.yaml", "ImageNet.yaml"):
        assert known[name] is None, "a script"


@pytest.mark.parametrize("top", ["coco8", "other", "."])
def test_an_archive_that_is_there_is_taken_without_the_net(tmp_path: Path, net: list[str], top: str) -> None:
    (tmp_path / "datasets").mkdir()
    os.replace(archived(tmp_path, top=top), tmp_path / "datasets" / "coco8.zip")
    data = fetch("coco8.yaml", tmp_path / "datasets", offline=True)
    assert data == tmp_path / "datasets" / "coco8" / "data.yaml"
    described = yaml.safe_load(data.read_text())
    assert "download" not in described
    assert described["names"][79] == "toothbrush"
    assert len(os.listdir(os.path.join(described["path"], described["train"]))) == 8
    assert os.listdir(tmp_path / "datasets") == ["coco8"]
    assert fetch("coco8.yaml", tmp_path / "datasets", offline=True) == data
    assert net == []


def test_a_dataset_is_downloaded_once(tmp_path: Path, releases: Releases, monkeypatch: pytest.MonkeyPatch) -> None:
    releases.files["coco8.zip"] = archived(tmp_path).read_bytes()
    monkeypatch.setattr(known_datasets, "packaged", lambda: {"coco8.yaml": f"{releases.url}/coco8.zip"})
    events = []
    data = fetch("coco8.yaml", tmp_path / "datasets", Listener(events.append))
    assert data.is_file()
    assert downloads(events)[-1] == ("coco8.zip", *[len(releases.files["coco8.zip"])] * 2)
    assert fetch("coco8.yaml", tmp_path / "datasets") == data
    assert releases.requests == ["/coco8.zip"]


def test_several_may_get_the_same_dataset_at_once(tmp_path: Path) -> None:
    (tmp_path / "datasets").mkdir()
    os.replace(archived(tmp_path), tmp_path / "datasets" / "coco8.zip")
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda _: fetch("coco8.yaml", tmp_path / "datasets", offline=True), range(8)))
    assert found == {tmp_path / "datasets" / "coco8" / "data.yaml"}
    assert os.listdir(tmp_path / "datasets") == ["coco8"]
    assert len(list((tmp_path / "datasets").rglob("*.png"))) == 12


def test_what_cannot_be_downloaded_says_where_to_put_it(tmp_path: Path, net: list[str]) -> None:
    for offline in (True, False):
        with pytest.raises(DatasetUnavailable, match=r"put it into .*datasets"):
            fetch("coco8.yaml", tmp_path / "datasets", offline=offline)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_names_without_an_archive_are_none(tmp_path: Path) -> None:
    for name in ("coco.yaml", "nothing.yaml", "../coco8.yaml"):
        with pytest.raises(KeyError):
            fetch(name, tmp_path)


def entry(name: str, mode: int = stat.S_IFREG) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = (mode | 0o644) << 16
    return info


@pytest.mark.parametrize(
    ("info", "content"),
    [
        (entry("../evil"), b"x"),
        (entry("a/../../evil"), b"x"),
        (entry("/tmp/evil"), b"x"),
        (entry("a\\..\\evil"), b"x"),
        (entry("link", stat.S_IFLNK), b"/etc/passwd"),
        (entry("pipe", stat.S_IFIFO), b""),
        (entry("device", stat.S_IFCHR), b""),
    ],
    ids=lambda value: value.filename if isinstance(value, zipfile.ZipInfo) else "",
)
def test_an_entry_that_leads_elsewhere_is_not_unpacked(tmp_path: Path, info: zipfile.ZipInfo, content: bytes) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("sound", os.urandom(1_000))
        archive.writestr(info, content)
    before = sorted(os.listdir("/tmp"))
    with pytest.raises(BadArchive, match="is not a plain file inside the archive's folder"):
        unpack(tmp_path / "a.zip", tmp_path / "unpacked")
    assert sorted(os.listdir(tmp_path)) == ["a.zip"]
    assert "evil" not in set(os.listdir("/tmp")) - set(before)


def test_an_archive_that_grows_is_not_unpacked(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(10):
            archive.writestr(str(number), bytes(1_000_000))
    with pytest.raises(BadArchive, match="more than 20 times its size"):
        unpack(tmp_path / "a.zip", tmp_path / "unpacked")
    assert not (tmp_path / "unpacked").exists()


def test_an_archive_that_lies_about_its_sizes_grows_no_further_than_it_says(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", bytes(10_000_000))
    content = path.read_bytes()
    path.write_bytes(content.replace((10_000_000).to_bytes(4, "little"), (100).to_bytes(4, "little")))
    with pytest.raises(BadArchive):
        unpack(path, tmp_path / "unpacked")
    assert sum(file.stat().st_size for file in (tmp_path / "unpacked").rglob("*")) <= 100


@pytest.mark.parametrize("lie", ["large", "nested"])
def test_an_archive_that_lies_about_its_table_of_contents_is_not_taken_for_a_short_one(
    tmp_path: Path, lie: tuple[int, int]
) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(100):
            archive.writestr(str(number), "")
    content = path.read_bytes()
    start, end = content.index(b"PK\1\2"), content.rindex(b"PK\5\6")
    if lie == "large":  # the end of a large zip, which counts, and one that says 0
        large = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, 100, 100, end - start, start)
        locator = struct.pack("<4sLQL", b"PK\6\7", 0, end, 1)
        path.write_bytes(content[:end] + large + locator + content[end : end + 12] + bytes(4) + content[end + 16 :])
    else:  # what looks like another end, within the end
        path.write_bytes(content[: end + 16] + b"PK\5\6" + content[end + 20 :])
    assert len(archives.contents(path)) == 100
    assert archives.directory_bytes(path) >= end - start


@pytest.mark.parametrize("content", [b"", b"PK", b"<html>404</html>" * 100])
def test_what_is_no_archive_is_not_unpacked(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(BadArchive):
        unpack(tmp_path / "a.zip", tmp_path / "unpacked")


async def test_a_known_dataset_trains_through_the_service(tmp_path: Path) -> None:
    async with serve(tmp_path / "data", program="service.workers.programs:train") as service:
        hyperparameters = {"epochs": 1, "imgsz": 32, "batch": 4, "plots": False}
        model = tiny_model(tmp_path)
        model.write_text(model.read_text().replace("nc: 2", "nc: 80"))
        payload = {"model": str(model), "hyperparameters": hyperparameters, "fit_params": {"data": "coco8.yaml"}}
        response = await service.http.post("/train", json=payload)
        assert (response.status_code, "--allow-downloads" in response.text) == (422, True)
        (service.data / "datasets").mkdir()
        os.replace(archived(tmp_path), service.data / "datasets" / "coco8.zip")
        for _ in range(2):  # unpacked by the first training, found at once by the second
            response = await service.http.post("/train", json=payload)
            assert response.status_code == 202, response.text
            job_id = response.json()["job_id"]
            events = await service.events(job_id)
            assert events[-1]["event"] == "completed", events[-1]
            copy = yaml.safe_load((service.data / "jobs" / job_id / "data.yaml").read_text())
            assert copy["path"] == str(service.data / "datasets" / "coco8" / "coco8")


async def test_a_known_dataset_without_a_net_fails_in_one_sentence(tmp_path: Path) -> None:
    async with serve(tmp_path / "data", program="service.workers.programs:train", allow_downloads=True) as service:
        payload = {"model": str(tiny_model(tmp_path)), "fit_params": {"data": "dota8.yaml"}}
        response = await service.http.post("/train", json=payload)
        assert response.status_code == 202, response.text
        events = await service.events(response.json()["job_id"])
        assert events[-1]["event"] == "failed"
        assert f"put it into {service.data / 'datasets'}" in events[-1]["error"]
        assert "downloading" in [event.get("phase") for event in events]
