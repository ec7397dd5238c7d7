"""The data folder: who owns it, and the room on its disk that is kept for when that is full."""

import fcntl
import os
from pathlib import Path
from typing import IO

from service.errors import DataDirInUse

#: So that the service can start, and jobs can be deleted, on a full disk.
RESERVE_BYTES = 1_000_000


def claim(data_dir: Path) -> IO[str]:
    """Own the data folder until the returned file is closed.

    Raises DataDirInUse: when another process has it.
    """
    data_dir.mkdir(parents=True, exist_ok=True)
    lock_file = (data_dir / "lock").open("w")
    try:
        fcntl.flock(lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock_file.close()
        raise DataDirInUse(
            f"another service (or make demo) runs on {data_dir}, and one process owns one data folder: "
            "end that one first, or give this one another --data-dir"
        ) from None
    return lock_file


class Reserve:
    """A file that is given up when the disk is full. Any thread."""

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / "reserve"

    def keep(self) -> None:
        """Take the room, where there is as much. Repeatable."""
        try:
            if not self._path.exists():
                self._path.write_bytes(os.urandom(RESERVE_BYTES))  # what no file system makes smaller
        except OSError:
            self.give_up()

    def give_up(self) -> bool:
        """Delete the file to make room. Returns whether it was there."""
        try:
            self._path.unlink()
        except OSError:
            return False
        return True
