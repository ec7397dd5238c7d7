"""Changes names of Ultralytics and torchvision, for what stands in `patch_register`.

Nothing else in this room assigns to them. Before anything is changed, `check` looks whether the target is there, and
whether those that are to find it (`users`) still look it up by its name. A patch that would do nothing is an error,
`PatchLost`: one that closes a file to code would otherwise be gone without a word.
"""

import importlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import CodeType, FunctionType, ModuleType
from typing import Any

from AI.model_trainer.errors import PatchLost, UntestedVersion
from AI.model_trainer.ultralytics.patch_register import PATCHES, TESTED, Patch

#: Held while something is changed for one thread's call, by whoever would see another thread's change otherwise.
ONE_AT_A_TIME = threading.Lock()


# Looking


def find(target: str) -> Any:
    """What a target names. Raises PatchLost."""
    owner, name = _owner(target)
    try:
        return getattr(owner, name)
    except AttributeError:
        raise PatchLost(target, "there is no such name") from None


def check(patch: Patch) -> None:
    """Raises PatchLost: when a patch has no target, or one of its users would not find the new value."""
    owner, name = _owner(patch.target)
    if patch.exists and not hasattr(owner, name):
        raise PatchLost(patch.target, "there is no such name")
    for user in patch.users:
        if not any(_looks_up(layer, owner, name) for layer in _layers(find(user))):
            raise PatchLost(patch.target, f"{user} no longer looks it up")


def names_in(function: Any) -> set[str]:
    """All names that the code of a function looks up, also in functions that it defines and in what it wraps."""
    return {name for layer in _layers(function) for name in _names(layer.__code__)}


def _looks_up(function: FunctionType, owner: Any, name: str) -> bool:
    """Whether a function would find another value: in its own module, in one that it imports, or on an object."""
    names = _names(function.__code__)
    reaches = not isinstance(owner, ModuleType) or function.__globals__ is vars(owner) or owner.__name__ in names
    return name in names and reaches


def _layers(function: Any) -> Iterator[FunctionType]:
    """A function and all that it wraps."""
    while function is not None:
        function = getattr(function, "__func__", function)
        if isinstance(function, FunctionType):
            yield function
        function = getattr(function, "__wrapped__", None)


def _names(code: CodeType) -> set[str]:
    inner = (constant for constant in code.co_consts if isinstance(constant, CodeType))
    return set(code.co_names).union(*map(_names, inner))


def require_tested() -> None:
    """Raises UntestedVersion: when another version of Ultralytics is installed than `safe` was tested with."""
    from ultralytics import __version__

    if __version__ not in TESTED:
        raise UntestedVersion(__version__, TESTED)


def _owner(target: str) -> tuple[Any, str]:
    """The module or class that a target's name is in, and that name. Raises PatchLost."""
    module, _, path = target.partition(":")
    *classes, name = path.split(".")
    try:
        owner: Any = importlib.import_module(module)
        for each in classes:
            owner = getattr(owner, each)
    except (ImportError, AttributeError) as error:
        raise PatchLost(target, str(error)) from error
    return owner, name


# Changing


@contextmanager
def applied(target: str, value: object) -> Iterator[None]:
    """Have a target be `value` for as long as this lasts. Raises PatchLost."""
    patch = PATCHES[target]
    check(patch)
    owner, name = _owner(target)
    stock = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, stock)


def apply_for_good(target: str, value: object) -> None:
    """Have a target be `value` from now on; the last one counts. Raises PatchLost."""
    check(PATCHES[target])
    owner, name = _owner(target)
    setattr(owner, name, value)


def on_one(thing: object, target: str, value: object) -> None:
    """Have one object's attribute be `value`; its class, and all other objects, are as they were. Raises PatchLost."""
    check(PATCHES[target])
    setattr(thing, target.rpartition(".")[2], value)
