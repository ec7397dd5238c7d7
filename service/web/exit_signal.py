"""The moment in which a server is told to leave: ASGI tells an application only after every response has ended."""

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def on_exit_signal(act: Callable[[], None]) -> Iterator[None]:
    """Act as soon as the server is told to leave: it waits for open responses before it ends the lifespan."""
    if threading.current_thread() is not threading.main_thread():
        yield  # a server in a thread gets no signals; whoever runs it closes it
        return
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def handle(number: int, at: FrameType | None) -> None:
        loop.call_soon_threadsafe(act)
        original = before[signal.Signals(number)]
        if callable(original):
            original(number, at)
        elif original == signal.SIG_DFL:  # nobody else would end this process
            signal.signal(number, original)
            signal.raise_signal(number)

    for number in before:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number, original in before.items():
            signal.signal(number, original)
