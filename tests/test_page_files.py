"""The page as files: what is served and under which headers, what a wheel carries, what the lock names."""

import json
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from service.web import page_files
from tests.conftest import Running

pytestmark = pytest.mark.timeout(60)  # the first start of a worker imports torch

ROOT = Path(__file__).parent.parent
UPLOT = ROOT / "node_modules" / "uplot"


def _files(suffix: str = "") -> list[Path]:
    """The page's own files, in all its rooms."""
    found = sorted(file for file in page_files.STATIC.rglob(f"*{suffix}") if file.is_file())
    assert found
    return found


@pytest.mark.parametrize(
    "path", ["/", "/static/main.js", "/static/line/sharer.js", "/static/styles/base.css", "/vendor/uplot/uPlot.esm.js"]
)
async def test_every_file_of_the_page_goes_out_under_its_policy(service: Running, path: str) -> None:
    answer = await service.http.get(path)
    assert answer.status_code == 200
    policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["require-trusted-types-for"] == "'script'"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-cache"
    again = await service.http.get(path, headers={"If-None-Match": answer.headers["etag"]})
    assert again.status_code == 304
    assert again.headers["content-security-policy"] == answer.headers["content-security-policy"]


async def test_a_folder_that_is_not_there_is_a_404(tmp_path: Path) -> None:
    app = Starlette(routes=[Mount("/vendor", page_files.PageFiles(tmp_path / "nowhere"))])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        for _ in range(2):
            assert (await client.get("/vendor/a.js")).status_code == 404


async def test_nothing_beside_them_is_served(service: Running) -> None:
    for path in (
        "/static/../pyproject.toml",
        "/static/%2e%2e/pyproject.toml",
        "/static/line/../../pyproject.toml",
        "/static/line",
        "/static/line/",
        "/vendor/uplot/../package.json",
        "/vendor/",
    ):
        assert (await service.http.get(path)).status_code == 404, path


def test_the_page_holds_no_inline_script_or_style_and_no_address_of_another_host() -> None:
    html = (page_files.STATIC / "index.html").read_text()
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\bstyle=|\bon[a-z]+=", html)
    for file in _files():
        addresses = re.findall(r"(?:https?:)?//[a-z0-9.-]+\.[a-z]{2,}", file.read_text())
        assert set(addresses) <= {"http://www.w3.org"}, file.name


def test_the_list_is_preloaded_whole() -> None:
    """What `main.js` and the list import is named in the page itself: else a browser finds it file by file."""
    wanted = {page_files.STATIC / "main.js", page_files.STATIC / "views" / "jobs.js"}
    waiting = set(wanted)
    while waiting:
        file = waiting.pop()
        imported = re.findall(r'^(?:import [^;]*?|\} )from "(\.[^"]+)";', file.read_text(), re.MULTILINE)
        found = {(file.parent / path).resolve() for path in imported} - wanted
        wanted |= found
        waiting |= found
    html = (page_files.STATIC / "index.html").read_text()
    preloaded = re.findall(r'rel="modulepreload" href="static/([^"]+)"', html)
    assert sorted(preloaded) == sorted(
        file.relative_to(page_files.STATIC).as_posix() for file in wanted if file.name != "main.js"
    )


def test_text_never_becomes_markup_by_the_pages_own_hand() -> None:
    forbidden = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|srcdoc|\beval\(|new Function"
    for file in _files(".js"):
        assert not re.search(forbidden, file.read_text()), file.name


def test_the_lock_pins_everything_and_names_no_registry() -> None:
    packages = json.loads((ROOT / "package-lock.json").read_text())["packages"]
    for name, package in packages.items():
        package.pop("funding", None)  # where an author is paid: the one address that npm writes by itself
        assert "resolved" not in package and "://" not in json.dumps(package), name
    wanted = json.loads((ROOT / "package.json").read_text())
    for name, version in (wanted["dependencies"] | wanted["devDependencies"]).items():
        assert packages[f"node_modules/{name}"]["version"] == version
        assert packages[f"node_modules/{name}"]["integrity"].startswith("sha512-")


def test_a_wheel_carries_the_page_and_its_chart_library(tmp_path: Path) -> None:
    source = tmp_path / "source"
    for name in ("AI", "service", "static"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "--no-index"]
    command += ["--disable-pip-version-check", "-w", str(tmp_path), str(source)]
    without = subprocess.run(command, capture_output=True, text=True)
    assert without.returncode != 0
    assert "npm ci" in without.stderr + without.stdout
    shutil.copytree(UPLOT, source / "node_modules" / "uplot")
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    carried = {f"service/static/{file.relative_to(page_files.STATIC).as_posix()}" for file in _files()}
    assert "service/static/line/sharer.js" in carried
    assert carried <= names
    assert {f"service/vendor/uplot/{name}" for name in ("uPlot.esm.js", "uPlot.min.css", "LICENSE")} <= names
    assert not [name for name in names if name.startswith(("static/", "tests/"))]
    code = (
        "from service.web import page_files as page;"
        "print(page.STATIC.parent == page.UPLOT.parent.parent, page.STATIC.is_dir())"
    )
    unpacked = tmp_path / "unpacked"
    zipfile.ZipFile(wheel).extractall(unpacked)
    done = subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(unpacked)!r}); {code}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["True", "True"]
