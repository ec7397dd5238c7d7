"""The direction of imports, and what an import may cost."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
#: Each layer may import from those behind it, never from one before it.
LAYERS = [
    ["__main__"],
    ["app", "demo", "mend"],
    ["routes"],
    ["auth"],
    ["problems", "calls"],
    ["openapi"],
    ["parameters"],
    ["payload", "logs"],
    ["schema"],
    ["metrics", "retention", "readiness"],
    ["catalog", "eventstream", "inspection", "runner"],
    ["streaming"],
    ["supervisor", "store", "waiting"],
    ["starting"],
    ["worker", "writer"],
    ["transaction"],
    ["logfile"],
    ["listing"],
    ["bundle"],
    ["launcher", "jobs", "dataset", "processes", "devices", "settings", "machine", "artifacts", "sandbox", "tasks"],
    ["shelf", "page", "forkserver", "labels", "class_folders", "archives"],
    ["conditions"],
    ["compression"],
    ["failures", "lines", "tables", "demo_view", "splits"],
    ["remedies", "dataset_keys"],
    ["image_files"],
    ["bars", "yaml_file", "json_keys", "negotiation", "descriptors", "uvicorn_seam"],
    ["events", "errors", "tether"],
]
LEVELS = {name: level for level, names in enumerate(LAYERS) for name in names}


def imports(path: Path) -> set[str]:
    """Full names of the modules that a file imports, wherever in the file."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def test_every_module_of_the_service_has_its_layer() -> None:
    assert {path.stem for path in (ROOT / "service").glob("*.py")} - {"__init__"} == set(LEVELS)


@pytest.mark.parametrize("name", sorted(LEVELS))
def test_imports_run_one_way(name: str) -> None:
    used = {
        parts[1]
        for module in imports(ROOT / "service" / f"{name}.py")
        if (parts := module.split("."))[0] == "service" and len(parts) > 1
    }
    upward = {other for other in used if LEVELS[other] <= LEVELS[name] and other != name}
    assert not upward, f"service.{name} imports {upward}"


def test_the_library_knows_nothing_of_the_service() -> None:
    for path in (ROOT / "AI").rglob("*.py"):
        assert not {name for name in imports(path) if name.split(".")[0] == "service"}, path


def test_the_service_never_names_ultralytics_or_torch() -> None:
    for path in (ROOT / "service").glob("*.py"):
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
