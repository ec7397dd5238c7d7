"""The places of a training where a rehearsal comes to its fault."""

from tests.house import House

PLACES = ["starting", "training", "saving", "validating", "finishing"]
#: Which epoch of three the places are at.
AT = {"starting": 0, "training": 2, "saving": 2, "validating": 2, "finishing": 3}


def reach(house: House, job_id: str, place: str, attempt: int = 1) -> None:
    """Wait until the job is at the place where its fault is."""
    here = {"event": "phase", "phase": place, "epoch": AT[place], "attempt": attempt}
    house.until(lambda: any(here.items() <= event.items() for event in house.events(job_id)))
