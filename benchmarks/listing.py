"""Whether a long log slows anything down: `python -m benchmarks.listing`.

The same questions are put to a service with few jobs and to one with 10,000 jobs and 1,000,000 events; medians, in
milliseconds, over HTTP on this machine.
"""

import argparse
import asyncio
import sqlite3
import statistics
import tempfile
import time
from pathlib import Path

import httpx
import orjson

from service.job import Job
from service.snapshot import Status
from service.store.store import Store, listing
from tests.conftest import serve


def fill(folder: Path, jobs: int, events: int) -> None:
    """Write so many jobs, all of which have ended, and so many events, past the service."""
    Store(folder).close()
    log = sqlite3.connect(folder / "log.db")
    each = events // jobs
    fit_params = {"data": "/data/set/data.yaml"}
    request = {"model": "yolov8n.yaml", "hyperparameters": {"epochs": 30}, "fit_params": fit_params}
    progress = {"event": "epoch_end", "epoch": 30, "total_epochs": 30, "metrics": {"metrics/mAP50(B)": 0.5}}
    with log:
        for number in range(1, jobs + 1):
            status = Status.FAILED if number % 10 == 0 else Status.COMPLETED
            job = Job(
                id=f"{number:012x}", request=request, number=number, status=status, last_seq=each, progress=progress
            )
            log.execute(
                "INSERT INTO jobs VALUES (?, ?, ?, ?, ?)",
                (number, job.id, job.status, job.to_json(), listing.text(job)),
            )
            rows = (
                (number, seq, "epoch_end", orjson.dumps({**progress, "seq": seq, "job_id": job.id}))
                for seq in range(1, each + 1)
            )
            log.executemany("INSERT INTO events VALUES (?, ?, ?, ?)", rows)
    log.close()


async def ask(folder: Path, jobs: int, rounds: int) -> dict[str, float]:
    """Median milliseconds of each question."""
    began = time.monotonic()
    found: dict[str, float] = {}
    async with serve(folder) as service:
        found["start of the service"] = (time.monotonic() - began) * 1000
        middle = f"{jobs // 2:012x}"
        questions = {
            "GET /jobs?limit=100": "/jobs?limit=100",
            "the last page": "/jobs?limit=100&cursor=101",
            "GET /jobs?status=failed": "/jobs?status=failed&limit=100",
            "two statuses": "/jobs?status=failed,completed&limit=100",
            "a search that finds all": "/jobs?q=YOLOv8n set",
            "a search that finds one": f"/jobs?q={middle}",
            "a search that finds none": "/jobs?q=nothing&status=failed",
            "GET /jobs/<id>": f"/jobs/{middle}",
            "a page of events": f"/jobs/{middle}/events",
            "GET /metrics": "/metrics",
        }
        for name, path in questions.items():
            times = []
            for _ in range(rounds):
                before = time.perf_counter()
                answer = await service.http.get(path, headers={"Accept": "application/json"})
                times.append(time.perf_counter() - before)
                assert answer.status_code == httpx.codes.OK, answer.text
            found[name] = statistics.median(times) * 1000
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=30)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        sizes = {"few": (200, 20_000), "many": (options.jobs, options.events)}
        found = {}
        for name, (jobs, events) in sizes.items():
            fill(Path(folder) / name, jobs, events)
            found[name] = asyncio.run(ask(Path(folder) / name, jobs, options.rounds))
        size = (Path(folder) / "many" / "log.db").stat().st_size / 1e6
    print(f"{options.jobs:,} jobs and {options.events:,} events ({size:.0f} MB) beside 200 and 20,000; median ms")
    print(f"{'':28}{'few':>10}{'many':>10}{'ratio':>8}")
    for question, few in found["few"].items():
        many = found["many"][question]
        print(f"{question:28}{few:10.2f}{many:10.2f}{many / few:8.2f}")


if __name__ == "__main__":
    main()
