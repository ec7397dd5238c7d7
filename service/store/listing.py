"""Which jobs a list shows, by status and by what somebody searches for; and how many there are of each status.

A search looks for its words anywhere in a job's id, model and dataset. The index `jobs_by_status` holds all of that, so
a search reads no job that it does not show.
"""
# ruff: noqa: S608  every part of a statement is a literal of this file, what comes from outside is an argument

from collections.abc import Sequence

from service.job import Job
from service.snapshot import Status

#: An SQL statement and its arguments.
Query = tuple[str, list[str | int]]


def text(job: Job) -> str:
    """What a search looks into, as the column `search` has it."""
    data = (job.request.get("fit_params") or {}).get("data")
    return f"{job.id} {job.request.get('model') or ''} {data or ''}".casefold()


def words(search: str) -> list[str]:
    """The words that must all be found."""
    return search.casefold().split()


def page(statuses: Sequence[str], search: str, before: int | None, limit: int) -> Query:
    """Id and state of the newest jobs below the number `before`; no statuses are all of them."""
    below = 2**62 if before is None else before
    wanted = words(search)
    if not statuses and not wanted:
        return "SELECT id, state FROM jobs WHERE number < ? ORDER BY number DESC LIMIT ?", [below, limit]
    # Each status in the order of its numbers: a page is found without a look at what is older.
    each = f"SELECT number FROM jobs WHERE status = ? AND number < ?{_fits(wanted)} ORDER BY number DESC LIMIT ?"
    chosen = list(dict.fromkeys(statuses)) or list(Status)
    union = " UNION ALL ".join([f"SELECT number FROM ({each})"] * len(chosen))
    newest = f"SELECT number FROM ({union}) ORDER BY number DESC LIMIT ?"
    arguments: list[str | int] = []
    for status in chosen:
        arguments += [status, below, *wanted, limit]
    return f"SELECT id, state FROM jobs WHERE number IN ({newest}) ORDER BY number DESC", [*arguments, limit]


def counts(search: str) -> Query:
    """How many jobs of each status a search finds; a status that has none is left out."""
    wanted = words(search)
    return f"SELECT status, count(*) FROM jobs WHERE 1{_fits(wanted)} GROUP BY status", list(wanted)


def _fits(wanted: Sequence[str]) -> str:
    return " AND instr(search, ?)" * len(wanted)
