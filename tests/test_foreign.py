"""Where the service touches the inside of somebody else's code: in two files, and nowhere else."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = sorted((ROOT / "service").rglob("*.py"))
#: Where uvicorn is more than a server that is started; and where multiprocessing is asked by private names.
UVICORN, MULTIPROCESSING = "service/web/uvicorn_seam.py", "service/workers/forkserver.py"
#: What has an underscore and is documented all the same.
PUBLIC = {"os._exit"}


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def is_private(word: str) -> bool:
    return word.startswith("_") and not word.startswith("__")


def of_others(tree: ast.AST) -> Iterator[str]:
    """Private attributes of what is not `self`, private names that are imported, and those asked for by `getattr`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            if ast.unparse(node.value) not in ("self", "cls", "super()"):
                yield ast.unparse(node)
        elif isinstance(node, ast.ImportFrom):
            yield from (alias.name for alias in node.names if is_private(alias.name))
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("getattr", "setattr", "hasattr"):
            asked = node.args[1]
            if isinstance(asked, ast.Constant) and is_private(str(asked.value)):
                yield ast.unparse(node)


def made(tree: ast.AST) -> Iterator[str]:
    """Private names that the classes of a file give their objects."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


@pytest.mark.parametrize("path", FILES, ids=name)
def test_nothing_private_of_others_is_touched(path: Path) -> None:
    found = set(of_others(ast.parse(path.read_text()))) - PUBLIC
    assert not found or name(path) == MULTIPROCESSING


def test_no_class_uses_what_a_foreign_base_keeps_for_itself() -> None:
    trees = {path: ast.parse(path.read_text()) for path in FILES}
    own = {word for tree in trees.values() for word in made(tree)}
    for path, tree in trees.items():
        used = {
            node.attr
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute) and is_private(node.attr) and ast.unparse(node.value) == "self"
        }
        assert used <= own, name(path)


@pytest.mark.parametrize("path", FILES, ids=name)
def test_the_inside_of_uvicorn_is_in_its_seam_only(path: Path) -> None:
    modules = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            modules.add(node.module or "")
    inside = {module for module in modules if module.startswith("uvicorn.")}
    assert not inside or name(path) == UVICORN
    assert "uvicorn" not in modules or name(path) in (UVICORN, "service/web/server.py")
