"""The direction of imports, and what an import may cost."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
#: The rooms of the service, and the files between them: each may use those behind it, never one before it.
ROOMS = [
    ["__main__"],
    ["app"],
    ["web", "demo", "demo_view"],
    ["trainings"],
    ["runner", "streaming"],
    ["board"],
    ["workers", "store", "job_queue", "topic"],
    ["datasets", "failures"],
    ["job", "log_format"],
    ["snapshot"],
    ["going_on"],
    ["frames"],
    ["events", "settings"],
    ["new_events"],
    ["errors", "command_line", "encoding"],
]
LEVELS = {name: level for level, names in enumerate(ROOMS) for name in names}
BESIDE = {("demo", "demo_view")}


def imports(path: Path) -> set[str]:
    """Full names of the modules that a file imports, wherever in the file."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def modules(room: str) -> list[Path]:
    """The files of a room, or the one file of that name."""
    folder = ROOT / "service" / room
    return sorted(folder.glob("*.py")) if folder.is_dir() else [folder.with_suffix(".py")]


def test_every_room_has_its_place() -> None:
    names = {
        path.stem for path in (ROOT / "service").iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert names - {"__init__"} == set(LEVELS)


@pytest.mark.parametrize("room", sorted(LEVELS))
def test_imports_run_one_way(room: str) -> None:
    for path in modules(room):
        used = {parts[1] for name in imports(path) if (parts := name.split("."))[0] == "service" and len(parts) > 1}
        upward = {other for other in used - {room} if LEVELS[other] <= LEVELS[room] and (room, other) not in BESIDE}
        assert not upward, f"{path} imports {upward}"


@pytest.mark.parametrize(
    "room",
    [
        *sorted(f"service.{name}" for name in LEVELS if (ROOT / "service" / name).is_dir()),
        "AI.model_trainer",
        "AI.model_trainer.ultralytics",
    ],
)
def test_a_room_has_no_circle(room: str) -> None:
    uses = {
        path.stem: {
            name.removeprefix(f"{room}.").split(".")[0] for name in imports(path) if name.startswith(f"{room}.")
        }
        for path in ROOT.joinpath(*room.split(".")).glob("*.py")
    }
    while leaves := [name for name, used in uses.items() if not used & set(uses)]:
        for name in leaves:
            del uses[name]
    assert not uses, f"these import each other: {uses}"


def test_the_library_knows_nothing_of_the_service() -> None:
    for path in (ROOT / "AI").rglob("*.py"):
        assert not {name for name in imports(path) if name.split(".")[0] == "service"}, path


def test_only_its_room_knows_ultralytics() -> None:
    """Beside the room stands what is the same without it; only the library's front door comes through its wall."""
    foreign = ("ultralytics", "torch", "torchvision", "cv2", "matplotlib", "polars")
    room = "AI.model_trainer.ultralytics"
    for path in (ROOT / "AI").rglob("*.py"):
        if path.parent.name != "ultralytics":
            assert not {name for name in imports(path) if name.split(".")[0] in foreign}, path
            if path.name not in ("__init__.py", "trainer.py"):
                assert not {name for name in imports(path) if name.startswith(room)}, path


def test_the_service_never_names_ultralytics_or_torch() -> None:
    for path in (ROOT / "service").rglob("*.py"):
        assert not {name for name in imports(path) if name.split(".")[0] in ("ultralytics", "torch", "torchvision")}, (
            path
        )


def test_the_web_process_loads_neither_torch_nor_ultralytics() -> None:
    code = (
        "import sys, service.__main__, service.app, AI.examples.shapes; service.app.app;"
        "print([name for name in ('torch', 'ultralytics', 'torchvision', 'cv2') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"


def test_importing_the_application_does_nothing(tmp_path: Path) -> None:
    code = "import threading, service.app; assert threading.active_count() == 1"
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True)
    assert list(tmp_path.iterdir()) == []


def test_no_test_module_is_imported_by_another() -> None:
    """What several need is in a module of its own, or a fixture of conftest.py."""
    for folder in ("tests", "benchmarks"):
        for path in (ROOT / folder).glob("*.py"):
            assert not re.search(r"(from|import) tests\.test_", path.read_text()), path
