"""The values that a YAML of strangers may hold. Nothing is known of one before it was looked at."""

from collections.abc import Mapping
from datetime import date
from typing import TypeAlias

#: What a mapping may have for a key.
Key: TypeAlias = "str | bytes | int | float | date | None"
Value: TypeAlias = "Key | list[Value] | tuple[Value, ...] | set[Key] | dict[Key, Value]"
#: A dataset's YAML.
Content: TypeAlias = Mapping[Key, Value]


def whole(value: Value) -> int:
    """The number that `int` makes of a value. Raises ValueError or OverflowError: when it makes none."""
    if isinstance(value, str | bytes | int | float):
        return int(value)
    raise ValueError(f"not a number: {shown(value)}")


def shown(value: object) -> str:
    """A value as an error names it: the first 100 characters of its repr."""
    return repr(value)[:100]
