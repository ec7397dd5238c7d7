"""What a long queue costs who looks at the list: `python -m benchmarks.queue`.

So many jobs wait behind one; then that one ends and they run, one after the other, for some seconds. Counted is what
one reader of the stream of all jobs gets meanwhile, by the kind of message.
"""

import argparse
import asyncio
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.client import frames, until
from tests.conftest import Running, serve


async def read(service: Running, seconds: float, gate: Path) -> tuple[Counter[str], Counter[str]]:
    """Messages, and bytes of them, by the kind of event; the first job ends once the reader has the list."""
    messages: Counter[str] = Counter()
    size: Counter[str] = Counter()
    async with service.http.stream("GET", "/events", timeout=None) as response:
        stream = frames(response)
        await anext(stream)
        await asyncio.to_thread(gate.touch)
        end = time.monotonic() + seconds
        async for fields in stream:
            messages[fields["event"]] += 1
            size[fields["event"]] += len(fields["data"])
            if time.monotonic() >= end:
                break
    return messages, size


async def measure(folder: Path, jobs: int, seconds: float) -> None:
    async with serve(folder / "data", max_waiting=jobs + 1) as service:
        store = service.state["store"]
        gate = folder / "gate"
        first = await service.submit("wait", gate=str(gate))
        for _ in range(jobs):
            await service.submit("count", epochs=1)
        await until(lambda: store.waiting == 0 and store.job(first).progress)
        cpu = time.process_time()
        messages, size = await read(service, seconds, gate)
        cpu = time.process_time() - cpu
        ended = store.counts().get("completed", 0)
    print(f"{jobs:,} jobs wait; {ended} ended in {seconds:g} s, in which the service took {cpu:.1f} s of CPU and one")
    print("reader of GET /events got")
    for kind in messages:
        print(f"{kind:12}{messages[kind]:8,} messages{size[kind] / 1e3:12,.1f} KB")
    print(f"{'per job':12}{messages.total() / ended:8,.1f} messages{size.total() / ended / 1e3:12,.1f} KB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=750)
    parser.add_argument("--seconds", type=float, default=8.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(measure(Path(folder), options.jobs, options.seconds))


if __name__ == "__main__":
    main()
