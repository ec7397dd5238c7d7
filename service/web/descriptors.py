"""Open files: how many this process may have, and how they are shared out.

Every connection is one, a training some, an answer that reads a file one more. Without a bound, streams take them all,
and then no training starts and nothing is answered.
"""

import logging
import resource
from dataclasses import dataclass

log = logging.getLogger(__name__)

#: What the service has open by itself (about 25: its log, the loop, the listener, the forkserver), and connections that
#: are about to be turned away.
OWN = 64
#: What threads may open at once while they answer or clean up (anyio has 40 of them).
THREADS = 40
#: What a training takes: a queue, three pipes, its process, twice at the moment of its start.
PER_TRAINING = 12
#: What is taken for the limit where there is none, or none can be read.
PLENTY = 65_536


@dataclass(frozen=True)
class Room:
    """How many connections may be open."""

    #: Event streams and followed logs.
    streams: int
    #: All others.
    others: int
    #: Files of jobs that are sent at once.
    files: int


def raise_limit() -> tuple[int, int]:
    """Take as many open files as this process is allowed; returns how many it had been given, and has now.

    Programs that are started from here should get the first number back: some look at every number up to their limit.
    """
    given, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    # macOS says "no limit", and refuses it.
    for wanted in (most, PLENTY, 10_240) if most == resource.RLIM_INFINITY else (most,):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
            break
        except (OSError, ValueError):
            continue
    now, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return given, PLENTY if now == resource.RLIM_INFINITY else now


def share_out(limit: int, *, trainings: int, streams: int) -> Room:
    """Room for connections when `limit` files may be open: at most `streams` streams, a reserve for everything else."""
    reserve = OWN + THREADS + PER_TRAINING * trainings
    left = max(limit - reserve, limit // 4)
    most = min(streams, left * 3 // 4)
    if most < streams:
        log.warning(
            "at most %d streams at once, not %d: %d files may be open, and trainings and answers need some of them",
            *(most, streams, limit),
            extra={"action": "streams_capped"},
        )
    files = (left - most) // 4
    return Room(streams=most, others=left - most - files, files=files)
