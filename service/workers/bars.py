"""Progress bars as lines of the log: of each bar the last frame, when it is finished.

Ultralytics says in its bars what it says nowhere else: how many images it found and dropped, an epoch's losses, the
header over a validation's rows.
"""

import re
import threading

#: Bars at once; a bar that nobody ever finishes is forgotten when there are more.
MAX_OPEN = 64
#: What a bar draws behind its text: percent, twelve glyphs, then numbers. `ultralytics/utils/tqdm.py` of 8.4.190.
_DRAWING = re.compile(r": (?:\d+% )?[━─╸]{12} +")


class _Rows(threading.local):
    def __init__(self) -> None:
        self.finished: list[str] = []


class Bars:
    """Keeps what the bars of this process show, and hands out the rows of those that are finished.

    A bar is finished by its destructor too, wherever the collector runs it: so nothing is said from `show`. The thread
    whose bar it was takes the rows when it says something next, and they stand in their place.
    """

    def __init__(self) -> None:
        self._open: dict[int, str] = {}
        self._rows = _Rows()

    def show(self, bar: int, frame: str) -> None:
        """Take a frame of a bar; an empty one ends it."""
        if frame:
            self._open[bar] = frame
            for oldest in list(self._open)[:-MAX_OPEN]:
                self._open.pop(oldest, None)
        elif last := self._open.pop(bar, None):
            self._rows.finished.append(_DRAWING.sub(": ", last))

    def take(self) -> list[str]:
        """The rows of this thread that were not taken yet."""
        rows, self._rows.finished = self._rows.finished, []
        return rows
