"""Where the service touches the inside of somebody else's code: in two files, and nowhere else.

And a canary for each name that these two use: one that is gone, or used and not looked for, fails here.
"""

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import uvicorn

from service import app
from service.web import uvicorn_seam, uvicorn_wire
from service.web.uvicorn_seam import Protocol
from service.workers import forkserver

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


def test_all_that_is_used_of_multiprocessing_is_there_and_is_looked_for() -> None:
    assert forkserver.missing() == []
    tree = ast.parse(Path(forkserver.__file__).read_text())
    used = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr[0] == "_" and ast.unparse(node.value) != "self"
    }
    assert used == {name for name in (*forkserver.STOCK_NEEDS, *forkserver.PROCESS_NEEDS) if name[0] == "_"}


def used(code: type | Callable[..., object], name: str) -> set[str]:
    """The attributes that this code uses of whatever it calls so."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(code)))
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and ast.unparse(node.value).rpartition(".")[2] == name
    }


def test_all_that_is_used_of_uvicorn_is_looked_for() -> None:
    own = set(vars(Protocol)) | {"_room", "_in_head", "_head_bytes"}
    ours = (used(Protocol, "self") | used(Protocol, "super()")) - own
    assert ours <= set(uvicorn_seam.PROTOCOL_NEEDS), "what asyncio and httptools call is theirs"
    of_cycle = used(uvicorn_wire.Wire, "_cycle") | used(Protocol, "cycle") | used(uvicorn_seam.UnchunkedCycle, "self")
    assert used(uvicorn_seam.install, "config") <= set(uvicorn_seam.CONFIG_NEEDS)
    assert of_cycle - {"__class__"} <= set(uvicorn_seam.CYCLE_NEEDS)
    of_flow = used(uvicorn_wire.Wire, "flow") | used(Protocol, "flow")
    assert of_flow <= set(uvicorn_seam.FLOW_NEEDS)


async def test_all_that_is_used_of_uvicorn_is_there() -> None:
    config = uvicorn.Config(app.create_app)
    config.load()
    assert uvicorn_seam.missing(config) == []
