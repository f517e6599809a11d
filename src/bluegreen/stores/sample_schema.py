"""The tables of the metrics store, and what is done with a file that can't be used."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

from bluegreen.domain.errors import StoreDamaged, StoreError

SCHEMA_VERSION = 1
_PRIMARY_CODE_MASK = 0xFF

# A session is one opening of the file; `shift` is what must be added to its times for seconds since the epoch. A slice
# is a stretch of time of one session in one tier, with a block for each series (workload) that had samples then.
# Times are whole milliseconds. A slice that is not `ready` is being made, or was when somebody crashed.
_TABLES = (
    "CREATE TABLE sessions (id INTEGER PRIMARY KEY, shift INTEGER NOT NULL)",
    """CREATE TABLE series (
        id INTEGER PRIMARY KEY,
        session INTEGER NOT NULL,
        workload TEXT NOT NULL,
        document TEXT NOT NULL,
        UNIQUE (session, workload)
    )""",
    "CREATE INDEX series_of_workload ON series (workload)",
    """CREATE TABLE spans (
        series INTEGER PRIMARY KEY,
        began INTEGER NOT NULL,
        ended INTEGER NOT NULL
    )""",
    """CREATE TABLE slices (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        session INTEGER NOT NULL,
        tier INTEGER NOT NULL,
        began INTEGER NOT NULL,
        ended INTEGER NOT NULL,
        ready INTEGER NOT NULL DEFAULT 0
    )""",
    "CREATE INDEX slices_by_time ON slices (session, tier, ended)",
    """CREATE TABLE blocks (
        slice INTEGER NOT NULL,
        series INTEGER NOT NULL,
        data BLOB NOT NULL,
        PRIMARY KEY (slice, series)
    ) WITHOUT ROWID""",
)


def connect(path: Path) -> sqlite3.Connection:
    """Makes the file when there is none. Raises sqlite3.Error, and StoreError when a newer version wrote it."""
    database = sqlite3.connect(path, isolation_level=None, timeout=2.0, check_same_thread=False)
    try:
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if version > SCHEMA_VERSION:
            raise StoreError(
                f"metrics store {path}: version {version} was written by a newer bluegreen, this one knows "
                f"{SCHEMA_VERSION}",
                hint=f"Use the newer bluegreen, or move {path} away to begin anew",
            )
        database.execute("PRAGMA journal_mode = WAL")
        # A write that was acknowledged survives a loss of power too; it happens every few seconds, in its own thread.
        database.execute("PRAGMA synchronous = FULL")
        database.execute("PRAGMA cache_size = -8192")
        if version == 0:
            database.execute("BEGIN IMMEDIATE")
            for statement in _TABLES:
                database.execute(statement)
            database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            database.execute("COMMIT")
        path.chmod(0o600)
    except BaseException:
        database.close()
        raise
    return database


def is_damage(error: sqlite3.Error) -> bool:
    """Whether the file itself is broken, and not only unreachable for now."""
    code = getattr(error, "sqlite_errorcode", 0) & _PRIMARY_CODE_MASK
    missing = "no such table" in str(error) or "no such column" in str(error)
    return code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB) or missing


def explained(error: sqlite3.Error, path: Path) -> StoreError:
    code = getattr(error, "sqlite_errorcode", 0) & _PRIMARY_CODE_MASK
    what = {
        sqlite3.SQLITE_FULL: "no space is left",
        sqlite3.SQLITE_READONLY: "it is not writable",
        sqlite3.SQLITE_CANTOPEN: "it can't be opened",
        sqlite3.SQLITE_IOERR: "the disk reported an error",
        sqlite3.SQLITE_BUSY: "another program holds it locked",
    }.get(code, "SQLite refused")
    return StoreError(
        f"metrics store {path}: {what} ({error})", hint=f"Check that {path.parent} is writable and has space: df -h"
    )


def damaged_copies(path: Path) -> list[Path]:
    """Those that were moved aside, oldest first."""
    return sorted(path.parent.glob(f"{path.name}.damaged-*"))


def move_aside(path: Path, reason: str) -> StoreDamaged:
    """Keeps the newest damaged file alone, so that they don't fill the disk. Raises OSError."""
    for older in damaged_copies(path):
        older.unlink(missing_ok=True)
    kept = path.with_name(f"{path.name}.damaged-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}")
    path.replace(kept)
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    return StoreDamaged(
        f"metrics store {path} was damaged ({reason}); it was moved to {kept.name} and a new one begun",
        hint=f"What was measured before is lost to queries; delete {kept} when you don't need it",
    )
