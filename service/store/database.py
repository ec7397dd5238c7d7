"""The tables of the log, and how those of older versions become today's."""

import logging
import sqlite3
from pathlib import Path

from service.errors import StoreUnavailable

log = logging.getLogger(__name__)

SCHEMA_VERSION = 3
SCHEMA = """
CREATE TABLE jobs (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id     TEXT NOT NULL UNIQUE,
    status TEXT NOT NULL,
    state  BLOB NOT NULL,             -- the Job, as JSON
    search TEXT NOT NULL DEFAULT ''   -- what a search looks into: id, model, dataset, in lower case
);
CREATE INDEX jobs_by_status ON jobs (status, number, search);
CREATE TABLE events (
    job    INTEGER NOT NULL REFERENCES jobs (number),
    seq    INTEGER NOT NULL,          -- 1, 2, 3, … per job, no holes
    type   TEXT NOT NULL,
    data   BLOB NOT NULL,             -- the event, as JSON in one line
    PRIMARY KEY (job, seq)
) WITHOUT ROWID;
CREATE TABLE keys (                   -- Idempotency-Key of requests
    key        TEXT PRIMARY KEY,
    digest     TEXT NOT NULL,         -- of the body that came with it
    job        TEXT NOT NULL,
    created_at REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE deletions (              -- jobs that are gone, with something left of them to be deleted
    number INTEGER PRIMARY KEY,
    job    TEXT NOT NULL
);
"""
#: From a version of the schema to the next one.
MIGRATIONS = {
    1: """
        CREATE TABLE keys (
            key TEXT PRIMARY KEY, digest TEXT NOT NULL, job TEXT NOT NULL, created_at REAL NOT NULL
        ) WITHOUT ROWID;
        CREATE TABLE deletions (number INTEGER PRIMARY KEY, job TEXT NOT NULL);
    """,
    2: """
        ALTER TABLE jobs ADD COLUMN search TEXT NOT NULL DEFAULT '';
        UPDATE jobs SET search = casefold(id || ' '
            || coalesce(json_extract(CAST(state AS TEXT), '$.request.model'), '') || ' '
            || coalesce(json_extract(CAST(state AS TEXT), '$.request.fit_params.data'), ''))
            WHERE json_valid(CAST(state AS TEXT));  -- a damaged row is told of when it is read
        DROP INDEX jobs_by_status;
        CREATE INDEX jobs_by_status ON jobs (status, number, search);
    """,
}
#: Seconds for which a commit waits while somebody else (a backup, a shell) holds the file.
BUSY_SECONDS = 1.0


def connect(path: Path) -> sqlite3.Connection:
    """A connection in autocommit mode, for one thread at a time but not always the same."""
    return sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)


def prepare(path: Path) -> sqlite3.Connection:
    """A connection to a file that has the tables. Raises StoreUnavailable: when it is of a later version."""
    connection = connect(path)
    try:
        _make_tables(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _make_tables(connection: sqlite3.Connection, path: Path) -> None:
    """Make the tables, or bring those of an older version up to date; a backup of the file stays beside it."""
    connection.execute("PRAGMA journal_mode = WAL")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version == 0:
        connection.executescript(f"BEGIN; {SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")
        return
    if version > SCHEMA_VERSION:
        raise StoreUnavailable(f"log.db has schema version {version}, this service knows {SCHEMA_VERSION}")
    if version < SCHEMA_VERSION:
        backup = path.with_name(f"log.v{version}.db")
        backup.unlink(missing_ok=True)  # of a migration that was cut off
        connection.execute("VACUUM INTO ?", (str(backup),))
        log.info("log.db is brought to version %d, a backup is in %s", SCHEMA_VERSION, backup.name)
    connection.create_function("casefold", 1, str.casefold, deterministic=True)  # SQLite's lower() knows ASCII only
    for before in range(version, SCHEMA_VERSION):
        connection.executescript(f"BEGIN; {MIGRATIONS[before]} PRAGMA user_version = {before + 1}; COMMIT;")
