"""HTTP byte by byte, where a client would be too polite."""

import asyncio
import contextlib

from tests.conftest import Running


async def send(port: int, content: bytes) -> bytes:
    """The first bytes of the answer, if there is one: neither the rest of a stream nor half a request is waited for."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(content)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.3):
                return await reader.read(4_096)
        writer.write_eof()
        async with asyncio.timeout(20):
            return await reader.read(4_096)
    except ConnectionError:
        return b""
    finally:
        writer.close()


async def status(service: Running, content: bytes) -> int:
    """The status of the answer; there is one, and no second."""
    answer = await send(service.port, content)
    assert answer.count(b"HTTP/1.1 ") == 1, answer
    return int(answer.split()[1])


def get(*headers: bytes, path: bytes = b"/jobs") -> bytes:
    return b"GET %b HTTP/1.1\r\n%b\r\n" % (path, b"".join(header + b"\r\n" for header in headers))


async def leave(writer: asyncio.StreamWriter) -> None:
    """Reset the connection."""
    writer.transport.abort()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


def unchunk(data: bytes) -> bytes:
    body = b""
    while data:
        size, _, data = data.partition(b"\r\n")
        body, data = body + data[: int(size, 16)], data[int(size, 16) + 2 :]
    return body
