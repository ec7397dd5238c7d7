"""The open connections of a server: how many there may be, and what may keep it waiting for how long.

It knows no server. `uvicorn_seam` tells it of each connection, and does what is decided here.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Collection
from typing import Protocol

log = logging.getLogger(__name__)

#: Seconds for the head of a request, and for each next piece of its body.
REQUEST_SECONDS = 15.0
#: Seconds between two looks at connections that keep the service waiting.
LOOK_SECONDS = 1.0
#: Seconds that a connection may take to ask for something where there is no room for another one.
PATIENCE_SECONDS = 0.5
#: Connections beyond the limit that are let in all the same, for the moment that telling them takes.
SLACK = 32


class Connection(Protocol):
    """One of them, whatever server it is of."""

    @property
    def is_held_up(self) -> bool:
        """Whether it is the service that takes nothing of what is sent."""

    def unsent(self) -> int:
        """Bytes that the reader has not taken."""

    def turn_away(self) -> None:
        """Answer its first request with a word to come back later."""

    def give_up(self) -> None:
        """Hang up on a request that does not come."""

    def abort(self) -> None:
        """End it, sent or not."""


class Connections:
    """All of them. Lives on the event loop."""

    def __init__(
        self,
        limit: int,
        stall_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.now = clock
        self._limit = limit
        self._stall_seconds = stall_seconds
        #: As the server keeps them.
        self.open: Collection[Connection] = ()
        #: Those without a whole request, oldest first: since when it has been coming; None between two requests.
        self.waiting: dict[Connection, float | None] = {}
        #: Those whose reader takes nothing: bytes that it was to take, and since when there are as many.
        self.stalled: dict[Connection, tuple[int, float]] = {}
        self._said = False
        self._timer: asyncio.TimerHandle | None = None

    def look_soon(self) -> None:
        """Look at them in a while, on the running loop."""
        self._timer = asyncio.get_running_loop().call_later(LOOK_SECONDS, self.look)

    def close(self) -> None:
        """Look no more. Repeatable."""
        if self._timer is not None:
            self._timer.cancel()

    def cut(self) -> None:
        """End what is still open, sent or not."""
        for connection in list(self.open):
            connection.abort()

    def admit(self, newcomer: Connection) -> None:
        """Take one more. Where there is no room, the one that has waited longest for its request goes; if none has
        waited for long, the newcomer is told to come back, once it has asked: an answer before that gets lost."""
        now = self.now()
        if (too_many := len(self.open) - self._limit) > 0:
            self._say()
            oldest, since = next(iter(self.waiting.items()), (None, None))
            if oldest is not None and (too_many > SLACK or since is None or now - since > PATIENCE_SECONDS):
                oldest.give_up()
            else:
                newcomer.turn_away()
        self.waiting[newcomer] = now

    def _say(self) -> None:
        if not self._said:
            self._said = True
            log.warning(
                "%d connections are open, the most that are allowed: those without a request are cut off",
                self._limit,
                extra={"action": "connections_full"},
            )

    def forget(self, connection: Connection) -> None:
        self.waiting.pop(connection, None)
        self.stalled.pop(connection, None)

    def look(self) -> None:
        """Give up on requests that do not come and on readers that take nothing; and again in a while."""
        self.look_soon()
        now = self.now()
        for connection, since in list(self.waiting.items()):
            if connection.is_held_up:
                self.waiting[connection] = now
            elif since is not None and now - since > REQUEST_SECONDS:
                connection.give_up()
        for connection, (left, then) in list(self.stalled.items()):
            if (unsent := connection.unsent()) < left:
                self.stalled[connection] = unsent, now
            elif now - then > self._stall_seconds:
                connection.abort()
        self._said = self._said and len(self.open) > self._limit / 2  # said again after a quiet time
