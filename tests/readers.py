"""`python -m tests.readers PORT JOB COUNT`: readers of one stream that leave at random and come back where they were.

Prints, as JSON, the ids that each of them saw up to the final event.
"""

import asyncio
import random
import re
import sys

import orjson

_EVENT = re.compile(rb"(?:id: (\d+)\n)?event: (\w+)\ndata: [^\n]*\n\n")


async def read(port: int, job: str, seed: int) -> list[int]:
    rng = random.Random(seed)
    seen: list[int] = []
    while True:
        last = seen[-1] if seen else 0
        if await read_once(port, job, last, rng.randint(1, 2_000), seen):
            return seen


async def read_once(port: int, job: str, last: int, stay: int, seen: list[int]) -> bool:
    """Read up to `stay` events; whether the final one was among them."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"GET /jobs/{job}/events HTTP/1.1\r\nHost: localhost\r\nLast-Event-ID: {last}\r\n\r\n"
    writer.write(head.encode())
    assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
    text = b""
    try:
        while stay > 0 and (size := int(await reader.readline(), 16)):
            text += await reader.readexactly(size)
            await reader.readexactly(2)
            for found in _EVENT.finditer(text):
                stay -= 1
                if found[1]:
                    seen.append(int(found[1]))
                if found[2] == b"completed":
                    return True
            text = text[text.rfind(b"\n\n") + 2 :] if b"\n\n" in text else text
    finally:
        writer.transport.abort()
    return False


async def main(port: int, job: str, count: int) -> None:
    seen = await asyncio.gather(*(read(port, job, seed) for seed in range(count)))
    sys.stdout.buffer.write(orjson.dumps(seen))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
