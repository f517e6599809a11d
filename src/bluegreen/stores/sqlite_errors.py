"""What SQLite's errors mean for the event log, and what to do about each."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from bluegreen.domain.errors import StoreError

_PRIMARY_CODE_MASK = 0xFF
"""SQLite keeps the kind of an error in the lowest byte and its details above."""


def explained(error: sqlite3.Error, path: Path) -> StoreError:
    """A StoreError that says what happened to the log at `path` and what to do next."""
    code = getattr(error, "sqlite_errorcode", 0) & _PRIMARY_CODE_MASK
    directory = path.absolute().parent
    match code:
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return damaged(path, str(error))
        case sqlite3.SQLITE_FULL:
            what, hint = (
                "no space is left",
                f"Free space on the disk of {directory}; the next write will succeed.",
            )
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM:
            what, hint = (
                "it is not writable",
                f"Make {path} and {directory} writable for the user of the daemon.",
            )
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            what, hint = "another program holds it locked", f"Close what else has {path} open (fuser {path})."
        case sqlite3.SQLITE_CANTOPEN:
            what, hint = "it cannot be opened", f"Check that {directory} exists and is readable and writable."
        case sqlite3.SQLITE_IOERR:
            what, hint = (
                "the disk reported an error",
                f"Check the disk of {directory} (dmesg), then try again.",
            )
        case _:
            what, hint = "SQLite refused", ""
    return StoreError(f"event log {path}: {what} ({error}); nothing was written", hint=hint)


def damaged(path: Path, finding: str) -> StoreError:
    return StoreError(
        f"event log {path} is damaged ({finding}); nothing was changed",
        hint=f"Restore it from a backup, or keep the history by hand and start with an empty one:\n"
        f"  mv {path} {path}.damaged  (and {path.name}-wal, {path.name}-shm where they exist)",
    )
