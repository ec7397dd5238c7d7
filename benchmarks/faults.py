"""How long a fault takes to be told, and a cancel to be done: `python -m benchmarks.faults`.

The training is the rehearsal of the tests (no model, real checkpoints), so the figures are the service's own. Medians
of some rounds each, in milliseconds.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from tests.house import House
from tests.places import AT, PLACES, reach
from tests.process import family

FAULTS = ["raise", "exit", "kill", "term", "segfault"]
CANCELS = ["hang", "hang_with_child", "hang_in_c"]


def fault(house: House, place: str, what: str) -> float:
    """Seconds from the fault to its final event in the log."""
    job_id = house.submit("rehearse", epochs=3, fault=[place, AT[place], what])
    final = house.end(job_id)
    (at,) = [
        event["time"]
        for event in house.events(job_id)
        if event["event"] == "phase" and (event["phase"], event["epoch"]) == (place, AT[place])
    ]
    return final["time"] - at


def cancel(house: House, place: str, what: str) -> tuple[float, float]:
    """Seconds until the cancel is acknowledged, and until every process is gone and the log says so."""
    job_id = house.submit("rehearse", epochs=3, fault=[place, AT[place], what])
    reach(house, job_id, place)
    began = time.monotonic()
    house.runner.cancel(job_id)
    acknowledged = time.monotonic() - began
    house.end(job_id)
    ended = time.monotonic() - began
    assert not family(house.store.job(job_id).pid or -2)
    return acknowledged, ended


def restart(folder: Path, place: str) -> tuple[float, float]:
    """Seconds from a restart to the next attempt's `started`, and from there to its first word."""
    house = House(folder)
    job_id = house.submit("rehearse", epochs=3, fault=[place, AT[place], "hang"])
    reach(house, job_id, place)
    house.close()
    began = time.time()
    house = House(folder)
    house.end(job_id)
    again = [event for event in house.events(job_id) if event["attempt"] == 2]
    house.close()
    started = next(event["time"] for event in again if event["event"] == "started")
    return started - began, next(event["time"] for event in again if event["event"] == "phase") - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--grace", type=float, default=5.0, help="seconds before SIGTERM")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        house = House(Path(folder) / "data", grace_seconds=options.grace)
        house.end(house.submit("count"))  # the forkserver is warm
        print(f"{'fault → final event, ms':32}" + "".join(f"{place:>12}" for place in PLACES))
        for what in FAULTS:
            cells = [statistics.median(fault(house, place, what) for _ in range(options.rounds)) for place in PLACES]
            print(f"{what:32}" + "".join(f"{cell * 1000:12.0f}" for cell in cells))
        print(f"{'cancel → 202 / cancelled, ms':32}" + "".join(f"{place:>12}" for place in PLACES))
        for what in CANCELS:
            row = []
            for place in PLACES:
                pairs = [cancel(house, place, what) for _ in range(1 if what == "hang_in_c" else options.rounds)]
                row.append("/".join(f"{statistics.median(times) * 1000:.0f}" for times in zip(*pairs, strict=True)))
            print(f"{what:32}" + "".join(f"{cell:>12}" for cell in row))
        house.close()
        pairs = [restart(Path(folder) / f"life-{number}", "training") for number in range(options.rounds)]
        started, said = (statistics.median(times) * 1000 for times in zip(*pairs, strict=True))
        print(f"restart → the interrupted job's next attempt {started:.0f} ms, its first word {said:.0f} ms later")


if __name__ == "__main__":
    main()
