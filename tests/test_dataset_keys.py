"""The keys of a dataset that the clean copy has, against those that the installed Ultralytics reads."""

import ast
import importlib.util
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import cast

from service.datasets.keys import UNREAD, Keys

#: Files in which `data` is something else than a dataset's description.
OTHERS = {
    "data/converter.py",
    "models/yolo/model.py",
    "utils/callbacks/platform.py",
    "utils/checks.py",
    "utils/downloads.py",
}


def keys_in(path: Path) -> Iterator[str]:
    """Texts by which the code of a file asks for something of `data`, `self.data`, `trainer.data`, …"""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Subscript(value=value, slice=ast.Constant(value=str(key))) if is_data(value):
                yield key
            case ast.Call(
                func=ast.Attribute(value=value, attr="get" | "pop" | "setdefault"),
                args=[ast.Constant(value=str(key)), *_],
            ) if is_data(value):
                yield key
            case ast.Compare(left=ast.Constant(value=str(key)), ops=[ast.In() | ast.NotIn()], comparators=[value]) if (
                is_data(value)
            ):
                yield key


def is_data(node: ast.expr) -> bool:
    return (isinstance(node, ast.Name) and node.id == "data") or (
        isinstance(node, ast.Attribute) and node.attr == "data"
    )


def test_every_key_that_ultralytics_reads_is_known() -> None:
    """A new one would be left out of the clean copy, and a training would differ without a word."""
    spec = importlib.util.find_spec("ultralytics")
    assert spec is not None
    root = Path(cast("list[str]", spec.submodule_search_locations)[0])
    files = [path for path in sorted(root.rglob("*.py")) if path.relative_to(root).as_posix() not in OTHERS]
    known = {field.name for field in fields(Keys)}
    found = {key for path in files for key in keys_in(path)}
    assert not found - known - UNREAD.keys(), "read where they are used, then add them to Keys or UNREAD"
    assert not known - found, "nobody reads them any more"
    assert not known & UNREAD.keys()
