"""What is there in place of a path that is not: the same name in other letters, `Labels` for `labels`."""

import os
from itertools import islice
from pathlib import Path

#: Entries of a folder that are looked at.
MAX_ENTRIES = 1_000


def in_other_case(path: Path) -> list[str]:
    """The first part of the path that is not there, as it is there in other letters; nothing where all of it is."""
    missing = next((part for part in [*reversed(path.parents), path] if not part.exists()), None)
    if missing is None:
        return []
    return [str(missing.parent / name) for name in names(missing.parent) if name.lower() == missing.name.lower()]


def names(folder: Path) -> list[str]:
    """The first names in a folder; none where it cannot be read."""
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in islice(entries, MAX_ENTRIES)]
    except OSError:
        return []
