"""The documentation says what the code does."""

import re
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

from AI.model_trainer.events import BadFile, Split
from service import events, new_events
from service.__main__ import main
from service.errors import Code
from service.job import Job
from service.settings import Settings
from service.snapshot import Snapshot
from service.web.call import Call
from service.web.calls import CALLS

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


def names(text: str) -> set[str]:
    """The names in a text, but for what its brackets say of them."""
    while re.search(r"\([^()]*\)", text):
        text = re.sub(r"\([^()]*\)", "", text)
    return set(re.findall(r"`(\w+)`", text))


def section(title: str) -> str:
    return PROTOCOL.partition(f"## {title}\n")[2].partition("\n## ")[0]


def footnote(name: str) -> str:
    return re.search(rf"^\[\^{name}\]: (.*?)\n\n", PROTOCOL, re.MULTILINE | re.DOTALL)[1]  # type: ignore[index]


def rows() -> dict[str, set[str]]:
    """The fields of each type of event, as the table has them; the stamp is in the text above it."""
    found: dict[str, set[str]] = {}
    for name, fields in re.findall(r"^\| `(\w+)` \|[^|]*\|(.*)\|$", section("Events"), re.MULTILINE):
        told = found.setdefault(name, set())
        told |= names(fields) | (names(footnote("five")) - {"event"} if "[^five]" in fields else set())
    return found


def fields_of(*kinds: Any) -> set[str]:
    return {name for kind in kinds for name in get_type_hints(kind)}


STAMP = fields_of(events.Numbered) | {"event"}


def test_the_table_of_events_has_every_field_and_no_other() -> None:
    types: dict[str, set[str]] = {}
    for kind in (*events.types_of(events.Event), events.Reset):
        for name in get_args(get_type_hints(kind)["event"]):
            types.setdefault(name, set()).update(fields_of(kind) - STAMP)
    assert types == rows()


@pytest.mark.parametrize(
    ("note", "kinds"),
    [("machine", [new_events.Machine, new_events.Gpu]), ("failure", [new_events.Failure]), ("split", [Split, BadFile])],
)
def test_the_notes_have_every_field_of_a_part(note: str, kinds: list[Any]) -> None:
    assert fields_of(*kinds) <= set(re.findall(r"`(\w+)`", footnote(note)))


def test_the_section_of_snapshots_has_every_field_and_no_other() -> None:
    assert names(section("Snapshot")) == fields_of(Snapshot)
    assert fields_of(Snapshot) >= SNAPSHOT.keys()


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.name)
def test_every_call_is_in_the_protocol_with_its_query(call: Call) -> None:
    calls = PROTOCOL.partition("## Calls")[2].partition("\n## ")[0]
    line = call.line.replace("{path:path}", "<path>").replace("{job_id}", "<id>")
    query = "&".join(f"{name}=" for name in (call.query.model_fields if call.query is not None else ()))
    if line != "GET /":
        assert f"`{line}{'?' + query if query else ''}`" in calls


def test_every_problem_is_in_the_protocol_with_its_status() -> None:
    lines = PROTOCOL.partition("## Errors")[2].partition("\n## ")[0].splitlines()
    told = {cells[1].strip("` "): cells[2].strip() for line in lines if len(cells := line.split("|")) > 3}
    assert set(get_args(Code)) - {"http_error"} == set(told) - {"code", "---"}
    for call in CALLS:
        for problem in call.problems:
            assert told[problem.code] == str(int(problem.status)), problem


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
