"""Whole copies of a run's checkpoints, and a run's folder put back to where one of them was written.

Ultralytics writes `last.pt` and `best.pt` in place, and takes the optimizer out of both when it ends: a kill at the
wrong moment leaves half a file, and nobody can go on from a finished run. The copies here are never written in place:

    <folder>/epoch-000012/last.pt   all that is needed to go on after epoch 12
                          best.pt   the best weights up to then (the same file where epoch 12 was the best)
                          exact.pt  the rest of what the training held then (see `ultralytics.exact_state`)
"""

import os
import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

#: Beside a checkpoint: what lets a training go on as if it had not been interrupted.
EXACT = "exact.pt"

#: Copies that are kept during a run: the newest, and the one before, should its epoch have to be trained again.
GENERATIONS = 2

_NAME = re.compile(r"epoch-(\d{6,})")


class Generation(NamedTuple):
    """One whole copy."""

    #: Epochs that were trained when it was written.
    epoch: int
    folder: Path

    @property
    def last(self) -> Path:
        return self.folder / "last.pt"


def generations(folder: Path) -> list[Generation]:
    """The copies in a folder, newest first; none where there is no such folder."""
    try:
        found = [(_NAME.fullmatch(path.name), path) for path in folder.iterdir()]
    except FileNotFoundError:
        return []
    whole = (Generation(int(name[1]), path) for name, path in found if name)
    return sorted((generation for generation in whole if generation.last.exists()), reverse=True)


def generation(folder: Path, epoch: int) -> Generation:
    """The copy of one epoch, whether it is there or not."""
    return Generation(epoch, folder / f"epoch-{epoch:06d}")


def keep(
    folder: Path, epoch: int, last: Path, best: Path | None, write_exact: Callable[[Path], None] | None = None
) -> Generation:
    """Copy a run's weights as one generation; `best` is None where `last` is the best. Old generations are deleted.

    `write_exact` writes what belongs beside them to a new file, or leaves it.
    It appears under its name at once and whole, also after a power cut. Raises OSError: when it cannot be written;
    the generations from before are then as they were.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.glob(".part-*"):  # of a process that was killed
        shutil.rmtree(path, ignore_errors=True)
    before = generations(folder)
    part = Path(tempfile.mkdtemp(prefix=".part-", dir=folder))
    try:
        _copy(last, part / "last.pt")
        if best is None:
            _link(part / "last.pt", part / "best.pt")
        elif before and before[0].epoch == epoch - 1 and (known := before[0].folder / "best.pt").exists():
            _link(known, part / "best.pt")
        elif best.exists():
            _copy(best, part / "best.pt")
        if write_exact is not None:
            write_exact(part / EXACT)
            if (part / EXACT).exists():
                _sync(part / EXACT)
        _sync(part)
        whole = generation(folder, epoch).folder
        if whole.exists():  # of an attempt that is trained again
            _remove(whole)
        part.rename(whole)
        _sync(folder)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    _keep_newest(folder, GENERATIONS)
    return Generation(epoch, whole)


def end(folder: Path) -> None:
    """A run has ended: only its newest generation is of use, for more epochs. Raises OSError."""
    _keep_newest(folder, 1)


def _keep_newest(folder: Path, number: int) -> None:
    for old in generations(folder)[number:]:
        _remove(old.folder)


def discard(folder: Path, above: int = 0) -> None:
    """Delete the generations of epochs above a number: they will be trained again."""
    for generation in generations(folder):
        if generation.epoch > above:
            _remove(generation.folder)


def _remove(generation: Path) -> None:
    """Delete a generation; a kill in the midst of it leaves no half of one under its name."""
    shutil.rmtree(generation.rename(tempfile.mkdtemp(prefix=".part-", dir=generation.parent)), ignore_errors=True)


def restore(last: Path, epoch: int, run: Path) -> Path:
    """Put a run's folder back to where its checkpoint `last` was written, after `epoch`; returns its last.pt.

    The weights are copied, results.csv loses what came later. Files of other names stay.
    """
    weights = run / "weights"
    weights.mkdir(parents=True, exist_ok=True)
    for name in ("last.pt", "best.pt"):
        source, target = last.with_name(name) if name == "best.pt" else last, weights / name
        if source.exists() and source.resolve() != target.resolve():
            part = target.with_suffix(".part")
            shutil.copyfile(source, part)
            part.replace(target)
    _cut_results(run / "results.csv", epoch)
    return weights / "last.pt"


def _cut_results(table: Path, epoch: int) -> None:
    """Leave one row per epoch up to this one, the newest where there are several; none that was cut off."""
    text = table.read_text(encoding="utf-8", errors="replace") if table.exists() else ""
    header, *lines = text.splitlines() or [""]
    if "," not in header:  # a power cut can leave an empty file: Ultralytics then begins with a header again
        table.unlink(missing_ok=True)
        return
    whole = [line.split(",") for line in lines if line.count(",") == header.count(",")]
    rows = {int(values[0]): ",".join(values) for values in whole if values[0].strip().isdecimal()}
    kept = [header, *(rows[number] for number in sorted(rows) if number <= epoch)]
    part = table.with_suffix(".part")
    part.write_text("\n".join(kept) + "\n", encoding="utf-8")
    part.replace(table)


def _copy(source: Path, target: Path) -> None:
    with source.open("rb") as reading, target.open("xb") as writing:
        shutil.copyfileobj(reading, writing, 1 << 20)
        writing.flush()
        os.fsync(writing.fileno())


def _link(source: Path, target: Path) -> None:
    """The same file under a second name: no copy is ever written to. Where the file system has no links, a copy."""
    try:
        os.link(source, target)
    except OSError:
        _copy(source, target)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
