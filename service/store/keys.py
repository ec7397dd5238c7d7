"""Idempotency-Keys: which job a request has made that may have been sent twice."""

import sqlite3
import time

from service.errors import KeyReused

#: Seconds for which a key is known.
KEY_SECONDS = 24 * 3600.0


def job_of(connection: sqlite3.Connection, key: str, digest: str) -> str | None:
    """The job that was created with a key. Raises KeyReused: when its request was another one."""
    sql = "SELECT digest, job FROM keys JOIN jobs ON jobs.id = keys.job WHERE key = ? AND created_at > ?"
    row = connection.execute(sql, (key, time.time() - KEY_SECONDS)).fetchone()
    if row is None:
        return None
    if row[0] != digest:
        raise KeyReused(f"the Idempotency-Key {key!r} was used before, with another request")
    return str(row[1])


def keep(connection: sqlite3.Connection, key: str, digest: str, job_id: str) -> None:
    """Know a key from now on; forget those that are too old."""
    now = time.time()
    connection.execute("DELETE FROM keys WHERE created_at < ?", (now - KEY_SECONDS,))
    connection.execute("REPLACE INTO keys VALUES (?, ?, ?, ?)", (key, digest, job_id, now))
