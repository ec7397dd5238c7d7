"""A job's files over HTTP."""

import io
import os
import sys
import tracemalloc
import zipfile
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path

import httpx
import pytest

from service.web import artifacts, bundle
from tests.conftest import Running, serve

pytestmark = pytest.mark.timeout(60)  # the first start of a worker imports torch

FILES = {
    "results.csv": (b"epoch,loss\n1,0.5\n", "text/csv; charset=utf-8", "inline"),
    "args.yaml": (b"epochs: 3\n", "application/yaml", "inline"),
    "labels.jpg": (b"\xff\xd8\xff\xd9", "image/jpeg", "inline"),
    "weights/best.pt": (bytes(range(256)) * 40, "application/octet-stream", "attachment"),
    "a b#ü.html": (b"<script>alert(1)</script>", "text/html; charset=utf-8", "attachment"),
    "x.svg": (b"<svg onload='alert(1)'/>", "image/svg+xml", "attachment"),
    "x.csv.gz": (b"\x1f\x8b", "application/octet-stream", "attachment"),
}


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Running]:
    async with serve(tmp_path / "data") as running:
        yield running


async def make(service: Running) -> tuple[str, Path]:
    """A job that has ended, and its folder with FILES in it."""
    job_id = await service.submit("count")
    await service.events(job_id)
    run = service.data / "jobs" / job_id / "run"
    for name, (content, _, _) in FILES.items():
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_bytes(content)
    return job_id, run


async def test_files_are_listed_and_downloaded_under_their_types(service: Running) -> None:
    job_id, run = await make(service)
    listed = (await service.http.get(f"/jobs/{job_id}/artifacts")).json()
    assert [entry["name"] for entry in listed["artifacts"]] == sorted(FILES)
    for entry in listed["artifacts"]:
        content, media_type, disposition = FILES[entry["name"]]
        assert entry["size_bytes"] == len(content)
        assert entry["modified_at"] == (run / entry["name"]).stat().st_mtime
        response = await service.http.get(entry["url"])
        assert response.content == content
        assert response.headers["content-type"] == media_type
        assert response.headers["content-disposition"].startswith(disposition)
        assert response.headers["x-content-type-options"] == "nosniff"


async def test_a_part_is_served_and_what_a_client_has_is_known_by_its_etag(service: Running) -> None:
    job_id, run = await make(service)
    url = f"/jobs/{job_id}/artifacts/weights/best.pt"
    part = await service.http.get(url, headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, FILES["weights/best.pt"][0][10:20])
    assert part.headers["content-range"] == f"bytes 10-19/{len(FILES['weights/best.pt'][0])}"
    for unit in ("lines=0-3", ""):
        assert (await service.http.get(url, headers={"Range": unit})).content == FILES["weights/best.pt"][0]
    etag = part.headers["etag"]
    assert (await service.http.get(url, headers={"If-None-Match": etag})).status_code == 304
    assert (await service.http.get(url, headers={"If-None-Match": f'"other", W/{etag}'})).status_code == 304
    assert (await service.http.head(url, headers={"If-None-Match": "*"})).status_code == 304
    assert (await service.http.get(url, headers={"If-None-Match": '"other"'})).status_code == 200
    (run / "weights" / "best.pt").write_bytes(b"new")
    again = await service.http.get(url, headers={"If-None-Match": etag})
    assert (again.status_code, again.content) == (200, b"new")
    assert (await service.http.get(url, headers={"Range": "bytes=99-"})).status_code == 416


@pytest.mark.parametrize("content", [b"new", b"new" * 50_000, None], ids=["shorter", "longer", "gone"])
@pytest.mark.parametrize("ranges", ["", "bytes=0-", "bytes=0-9,20-"])
async def test_a_file_that_is_written_while_it_is_sent_does_not_arrive_as_a_whole(
    service: Running, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, content: bytes, ranges: str
) -> None:
    job_id, run = await make(service)
    find = artifacts.find

    def find_and_write(root: Path, name: str) -> artifacts.Artifact:
        found = find(root, name)
        found.path.write_bytes(content) if content else found.path.unlink()
        return found

    monkeypatch.setattr(artifacts, "find", find_and_write)
    with pytest.raises(httpx.RemoteProtocolError):
        await service.http.get(f"/jobs/{job_id}/artifacts/weights/best.pt", headers={"Range": ranges} if ranges else {})
    assert not [record for record in caplog.records if record.exc_info]
    monkeypatch.undo()
    (run / "weights" / "best.pt").write_bytes(b"whole")
    assert (await service.http.get(f"/jobs/{job_id}/artifacts/weights/best.pt")).content == b"whole"


@pytest.mark.skipif(sys.platform == "darwin", reason="its file systems take UTF-8 only")
async def test_a_name_that_no_address_can_carry_is_left_out(service: Running) -> None:
    job_id, run = await make(service)
    for name in (b"bad\xff.txt", b"two\nlines.txt", b"bad\xff/inner.txt"):
        path = Path(os.fsdecode(os.path.join(os.fsencode(run), name)))
        path.parent.mkdir(exist_ok=True)
        path.write_text("x")
    (run / "日本 \u2028.txt").write_text("x")
    listed = (await service.http.get(f"/jobs/{job_id}/artifacts")).json()["artifacts"]
    assert [entry["name"] for entry in listed] == sorted([*FILES, "日本 \u2028.txt"])
    assert (await service.http.get(listed[-1]["url"])).content == b"x"
    with zipfile.ZipFile(io.BytesIO((await service.http.get(f"/jobs/{job_id}/artifacts.zip")).content)) as archive:
        assert archive.namelist() == [entry["name"] for entry in listed]


@pytest.mark.parametrize(
    "name",
    [
        "../data.yaml",
        "%2e%2e/data.yaml",
        "..%2fdata.yaml",
        "weights/../../secret",
        "/etc/passwd",
        "%2fetc/passwd",
        "link.txt",
        "linked/hostname",
        "loop/loop/labels.jpg",
        "weights",
        "",
        "nothing",
        "a%00b",
        "pipe",
        "best.pt.part",
        "results.csv/",
    ],
)
async def test_nothing_outside_of_the_folder_is_served(service: Running, name: str) -> None:
    job_id, run = await make(service)
    (run.parent / "secret").write_text("secret")
    (run / "link.txt").symlink_to("/etc/hostname")
    (run / "linked").symlink_to("/etc")
    (run / "loop").symlink_to(run)
    (run / "best.pt.part").touch()
    os.mkfifo(run / "pipe")
    response = await service.http.get(f"/jobs/{job_id}/artifacts/{name}")
    assert response.status_code == 404
    listed = (await service.http.get(f"/jobs/{job_id}/artifacts")).json()["artifacts"]
    assert [entry["name"] for entry in listed] == sorted(FILES)


async def test_all_files_come_as_one_zip(service: Running) -> None:
    job_id, run = await make(service)
    (run / "link.txt").symlink_to("/etc/hostname")
    response = await service.http.get(f"/jobs/{job_id}/artifacts.zip")
    assert response.headers["content-type"] == "application/zip"
    assert response.headers["content-disposition"] == f'attachment; filename="{job_id}.zip"'
    head = await service.http.head(f"/jobs/{job_id}/artifacts.zip")
    assert (head.status_code, head.headers["content-type"]) == (200, "application/zip")
    assert int(head.headers["content-length"]) == len(response.content)
    with zipfile.ZipFile(io.BytesIO(response.content)) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == {
            name: content for name, (content, _, _) in FILES.items()
        }


async def test_a_job_without_files_has_an_empty_list_and_an_unknown_one_none(service: Running) -> None:
    job_id = await service.submit("count")
    await service.events(job_id)
    assert (await service.http.get(f"/jobs/{job_id}/artifacts")).json()["artifacts"] == []
    with zipfile.ZipFile(io.BytesIO((await service.http.get(f"/jobs/{job_id}/artifacts.zip")).content)) as archive:
        assert archive.namelist() == []
    assert (await service.http.get("/jobs/nobody/artifacts")).status_code == 404
    assert (await service.http.get("/jobs/nobody/artifacts.zip")).status_code == 404


def test_a_large_zip_needs_little_memory(tmp_path: Path) -> None:
    with (tmp_path / "large.bin").open("wb") as file:
        file.truncate(64_000_000)
    tracemalloc.start()
    size = sum(len(piece) for piece in bundle.pieces(artifacts.listing(tmp_path)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size > 64_000_000
    assert peak < 2_000_000


# Conditions and parts


async def test_a_file_is_sent_only_under_the_conditions_that_are_named(service: Running) -> None:
    job_id, run = await make(service)
    url = f"/jobs/{job_id}/artifacts/weights/best.pt"
    os.utime(run / "weights" / "best.pt", (1e9, 1e9))
    first = await service.http.get(url)
    etag, modified = first.headers["etag"], first.headers["last-modified"]
    before, after = "Thu, 01 Jan 1998 00:00:00 GMT", "Fri, 01 Jan 2100 00:00:00 GMT"
    for headers, expected in [
        ({"If-Modified-Since": modified}, 304),
        ({"If-Modified-Since": after}, 304),
        ({"If-Modified-Since": before}, 200),
        ({"If-Modified-Since": "yesterday"}, 200),
        ({"If-Modified-Since": after, "If-None-Match": '"other"'}, 200),  # the ETag is what counts
        ({"If-Match": etag}, 200),
        ({"If-Match": f'"other", {etag}'}, 200),
        ({"If-Match": "*"}, 200),
        ({"If-Match": '"other"'}, 412),
        ({"If-Match": f"W/{etag}"}, 412),  # a weak one does not say that the bytes are the same
        ({"If-Unmodified-Since": modified}, 200),
        ({"If-Unmodified-Since": before}, 412),
        ({"If-Match": etag, "If-None-Match": etag}, 304),
    ]:
        response = await service.http.get(url, headers=headers)
        assert response.status_code == expected, headers
        if expected == 412:
            assert response.json()["code"] == "precondition_failed"


async def test_a_file_that_was_changed_just_now_has_no_time_yet(service: Running) -> None:
    """It may change once more within the second that its time would have."""
    job_id, run = await make(service)
    url, file = f"/jobs/{job_id}/artifacts/weights/best.pt", run / "weights" / "best.pt"
    file.touch()
    first = await service.http.get(url)
    assert "last-modified" not in first.headers
    second = format_datetime(datetime.fromtimestamp(file.stat().st_mtime, UTC), usegmt=True)
    file.write_bytes(b"changed within the same second")
    assert (await service.http.get(url, headers={"If-Modified-Since": second})).content == file.read_bytes()
    before = "Thu, 01 Jan 1998 00:00:00 GMT"
    assert (await service.http.get(url, headers={"If-Unmodified-Since": before})).status_code == 412


async def test_a_range_that_cannot_be_served_is_a_problem_and_head_has_none(service: Running) -> None:
    job_id, _run = await make(service)
    url = f"/jobs/{job_id}/artifacts/weights/best.pt"
    beyond = await service.http.get(url, headers={"Range": "bytes=99999999-"})
    assert (beyond.status_code, beyond.json()["code"]) == (416, "range_not_satisfiable")
    assert beyond.headers["content-range"] == "bytes */10240"
    wrong = await service.http.get(url, headers={"Range": "bytes=5-2"})
    assert (wrong.status_code, wrong.json()["code"]) == (400, "invalid_range")
    head = await service.http.head(url, headers={"Range": "bytes=0-9"})
    assert (head.status_code, head.headers["content-length"]) == (200, "10240")


async def test_a_zip_that_broke_off_goes_on(service: Running) -> None:
    job_id, run = await make(service)
    url = f"/jobs/{job_id}/artifacts.zip"
    whole = await service.http.get(url)
    size, etag = len(whole.content), whole.headers["etag"]
    assert int(whole.headers["content-length"]) == size
    for sent, start, stop in [("0-99", 0, 100), (f"{size // 2}-", size // 2, size), ("-10", size - 10, size)]:
        part = await service.http.get(url, headers={"Range": f"bytes={sent}", "If-Range": etag})
        assert (part.status_code, part.content) == (206, whole.content[start:stop]), sent
        assert part.headers["content-range"] == f"bytes {start}-{stop - 1}/{size}"
    assert (await service.http.get(url, headers={"If-None-Match": etag})).status_code == 304
    assert (await service.http.get(url, headers={"Range": f"bytes={size}-"})).status_code == 416
    for ignored in ("bytes=0-1,3-4", "lines=1-2", "bytes=5-2", "bytes=-"):
        assert (await service.http.get(url, headers={"Range": ignored})).status_code == 200
    (run / "results.csv").write_bytes(b"another")
    again = await service.http.get(url, headers={"Range": "bytes=0-99", "If-Range": etag})
    assert (again.status_code, again.headers["etag"] != etag) == (200, True)


@pytest.mark.parametrize("content", [b"new", b"new" * 50_000, None], ids=["shorter", "longer", "gone"])
async def test_a_zip_whose_files_are_written_meanwhile_does_not_arrive_as_a_whole(
    service: Running, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, content: bytes | None
) -> None:
    job_id, _run = await make(service)

    def list_and_write(root: Path) -> list[artifacts.Artifact]:
        found = artifacts.listing(root)
        path = root / "weights" / "best.pt"
        path.write_bytes(content) if content else path.unlink()
        return found

    monkeypatch.setattr(bundle, "listing", list_and_write)
    with pytest.raises(httpx.RemoteProtocolError):
        await service.http.get(f"/jobs/{job_id}/artifacts.zip")
    assert not [record for record in caplog.records if record.exc_info]


async def test_the_zip_of_a_job_that_runs_has_no_length(service: Running, tmp_path: Path) -> None:
    job_id = await service.submit("wait", gate=str(tmp_path / "gate"))
    run = service.data / "jobs" / job_id / "run"
    run.mkdir(parents=True, exist_ok=True)
    (run / "results.csv").write_bytes(b"1")
    response = await service.http.get(f"/jobs/{job_id}/artifacts.zip", headers={"Range": "bytes=0-1"})
    assert (response.status_code, "content-length" in response.headers) == (200, False)
    assert response.headers["cache-control"] == "no-store"
    with zipfile.ZipFile(io.BytesIO(response.content)) as made:
        assert made.read("results.csv") == b"1"
    (tmp_path / "gate").touch()
    await service.events(job_id)


@pytest.mark.parametrize("limit", [zipfile.ZIP64_LIMIT, 5_000, 200, 50])
@pytest.mark.parametrize("count", [zipfile.ZIP_FILECOUNT_LIMIT, 3])
def test_the_length_of_a_zip_is_known_before_it_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int, count: int
) -> None:
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", limit)
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", count)
    assert bundle.size([]) == sum(map(len, bundle.pieces([])))
    for name, size in (("a", 0), ("b ü日本", 10), ("c:\\d", 300), ("e.bin", 70_000), ("f/g", 6_000)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x" * size)
        files = artifacts.listing(tmp_path)
        assert bundle.size(files) == sum(map(len, bundle.pieces(files))), name
