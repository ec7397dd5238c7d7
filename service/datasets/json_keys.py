"""Names that come twice in one object of a JSON text. A parser keeps the last one and does not complain."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence

Path = tuple[str | int, ...]


class _Object(dict[str, object]):
    """An object as it was parsed, and the names that came more than once."""

    again: Sequence[str] = ()


def twice(text: bytes) -> list[Path]:
    """The paths of the names that come more than once. `text` must be valid JSON, and not nested deeply."""
    # Numbers are not parsed: an integer of a million digits would take long.
    content = json.loads(text, object_pairs_hook=_object, parse_int=len, parse_float=len)
    return list(_found(content, ()))


def _object(pairs: list[tuple[str, object]]) -> _Object:
    made = _Object(pairs)
    if len(made) < len(pairs):
        counts = Counter(name for name, _ in pairs)
        made.again = sorted(name for name, count in counts.items() if count > 1)
    return made


def _found(content: object, path: Path) -> Iterator[Path]:
    if isinstance(content, _Object):
        yield from ((*path, name) for name in content.again)
        for name, value in content.items():
            yield from _found(value, (*path, name))
    elif isinstance(content, list):
        for place, item in enumerate(content):
            yield from _found(item, (*path, place))
