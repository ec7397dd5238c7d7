"""The documentation says what the code does."""

import re
from pathlib import Path

import pytest
from starlette.routing import Route

from service.__main__ import main
from service.events import EVENT_TYPES
from service.job import Job
from service.settings import Settings
from service.web.routes import ROUTES

ROOT = Path(__file__).parent.parent
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
SNAPSHOT = Job(id="x", request={"model": 1, "hyperparameters": 1, "fit_params": 1}).snapshot()
PROTOCOL = (ROOT / "docs" / "protocol.md").read_text()
SETTINGS = (ROOT / "docs" / "settings.md").read_text()


@pytest.mark.parametrize("name", list(Settings.model_fields))
def test_every_setting_has_its_line_and_its_flag(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    field = Settings.model_fields[name]
    default = "–" if field.default in (None, ()) else f"`{field.default}`"
    flag, variable = f"--{name.replace('_', '-')}", f"YOLO_TRAINER_{name.upper()}"
    assert f"| `{flag}` | `{variable}` | {default} | {field.description} |" in SETTINGS
    with pytest.raises(SystemExit):
        main(["serve", "--help"])
    assert f"\n  {flag}" in capsys.readouterr().out


@pytest.mark.parametrize("event_type", sorted(EVENT_TYPES))
def test_every_event_is_in_the_protocol(event_type: str) -> None:
    assert f"`{event_type}`" in PROTOCOL


@pytest.mark.parametrize(
    "field", list(Job(id="x", request={"model": 1, "hyperparameters": 1, "fit_params": 1}).snapshot())
)
def test_every_field_of_a_snapshot_is_in_the_protocol(field: str) -> None:
    assert f"`{field}`" in PROTOCOL.partition("## Snapshot")[2].partition("\n## ")[0]


def test_every_call_is_in_the_protocol() -> None:
    calls = PROTOCOL.partition("## Calls")[2].partition("\n## ")[0]
    for route in ROUTES:
        if isinstance(route, Route) and route.path != "/":
            method = next(iter(sorted(route.methods or ())))
            assert f"`{method} {route.path.replace('{job_id}', '<id>').replace('{path:path}', '<path>')}" in calls, (
                route.path
            )


@pytest.mark.parametrize(
    "path", sorted(ROOT.glob("*.md")) + sorted((ROOT / "docs").rglob("*.md")), ids=lambda path: path.name
)
def test_links_between_pages_lead_somewhere(path: Path) -> None:
    text = path.read_text()
    for target in re.findall(r"\]\((?!https?://)([^)#\s]+)", text):
        assert (path.parent / target).exists(), target


@pytest.mark.parametrize("folder", ["service", "static"])
def test_every_file_is_in_the_tables_of_the_architecture(folder: str) -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    rows = " ".join(line.split("|")[1] for line in text.splitlines() if line.startswith("| `"))
    named = {name.rpartition("/")[2] for name in re.findall(r"`([^`]+)`", rows)}
    paths = [path for path in (ROOT / folder).rglob("*.*") if path.is_file() and "__pycache__" not in path.parts]
    assert not {path.stem if path.suffix == ".py" else path.name for path in paths} - {"__init__"} - named


def test_requirements_are_exact_and_name_no_registry() -> None:
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    for line in filter(None, lines):
        assert re.match(r"^[a-z0-9._-]+==[^\s]+( ; .+)?$", line), line
    pins = dict(line.split(" ;")[0].split("==") for line in lines if "==" in line)
    assert "+" not in pins["torch"], "the registry's stock build"


def test_every_module_of_the_library_stands_in_the_architecture() -> None:
    rows = [line for line in (ROOT / "docs" / "architecture.md").read_text().splitlines() if line.startswith("| ")]
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1])}
    modules = {path.stem for path in (ROOT / "AI" / "model_trainer").rglob("*.py")} - {"__init__"}
    assert modules - named == set()
