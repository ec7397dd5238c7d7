"""What tests ask of a job's events."""

from typing import Any


def epochs(events: list[dict[str, Any]]) -> list[int]:
    return [event["epoch"] for event in events if event["event"] == "epoch_end"]


def finals(events: list[dict[str, Any]]) -> dict[int, list[str]]:
    """The final events of each attempt."""
    by_attempt: dict[int, list[str]] = {event["attempt"]: [] for event in events}
    for event in events:
        if event["event"] in ("completed", "failed", "cancelled"):
            by_attempt[event["attempt"]].append(event["event"])
    return by_attempt


def downloads(events: list[dict[str, Any]]) -> list[tuple[str, int, int | None]]:
    """Each file with the bytes that have come, as the events of a download tell them."""
    return [
        (event["file"], event["received_bytes"], event["total_bytes"])
        for event in events
        if event["event"] == "phase" and event["phase"] == "downloading"
    ]
