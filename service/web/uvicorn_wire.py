"""A response's connection under uvicorn, for what goes past ASGI: the other half of `uvicorn_seam`.

What is used here of a request's cycle is looked for there, before any response is written.
"""

import os
import socket

from starlette.types import Scope

from service.web.uvicorn_seam import Cycle

#: The kernel's share of what a reader that stopped reading makes us hold, in bytes (a stream's socket only).
SEND_BUFFER_BYTES = 32_768


def wire_of(scope: Scope) -> "Wire | None":
    """What a response may write to past ASGI; None under another server, or behind a middleware of somebody else."""
    cycle = getattr(scope.get("raw_send"), "__self__", None)
    return Wire(cycle) if isinstance(cycle, Cycle) else None


class Wire:
    """A response's connection, written to without a task being woken. Its head and its end go ASGI's way.

    What is written are ready chunks, as uvicorn's own `send` makes them. A reader that takes nothing is dropped by
    `Connections`.
    """

    __slots__ = ("_cycle",)

    def __init__(self, cycle: Cycle) -> None:
        self._cycle = cycle

    @property
    def is_gone(self) -> bool:
        """Whether the reader has left."""
        return self._cycle.disconnected

    def write(self, chunk: bytes) -> bool:
        """Hand a chunk to the transport; False when it is full."""
        if self._cycle.flow.write_paused:
            return False
        if not self._cycle.transport.is_closing():
            self._cycle.transport.write(chunk)
        return True

    def abort(self) -> None:
        """Drop the connection with what was not taken yet."""
        self._cycle.transport.abort()

    def cut(self) -> None:
        """Close the connection once what was written is taken, without an end of the response: the reader can tell."""
        self._cycle.transport.close()

    def bound_buffer(self, stall_seconds: float) -> None:
        """Keep the kernel from holding megabytes for a reader that stopped reading: then it can be noticed."""
        try:
            own = socket.socket(fileno=os.dup(self._cycle.transport.get_extra_info("socket").fileno()))
        except OSError:
            return  # the client has gone already
        with own:
            own.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
            if hasattr(socket, "TCP_USER_TIMEOUT") and own.family in (socket.AF_INET, socket.AF_INET6):
                own.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(stall_seconds * 1000))
