"""The places of a training where a rehearsal comes to its fault."""

from typing import Any

from tests.house import House

PLACES = ["checking_data", "training", "saving", "validating", "finishing"]
#: Which epoch of three the places are at.
AT = {"checking_data": 0, "training": 2, "saving": 2, "validating": 2, "finishing": 3}


def reach(house: House, job_id: str, place: str, attempt: int = 1) -> None:
    """Wait until the job is at the place where its fault is."""
    here = {"event": "phase", "phase": place, "epoch": AT[place], "attempt": attempt}

    def is_there(event: dict[str, Any]) -> bool:
        if place == "saving":  # no phase of its own
            return event["attempt"] == attempt and f"saving {AT[place]}" in event.get("lines", ())
        return here.items() <= event.items()

    house.until(lambda: any(map(is_there, house.events(job_id))))
