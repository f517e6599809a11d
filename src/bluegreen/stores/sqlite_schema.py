"""The tables of the event log, and what is checked before it is trusted."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from bluegreen.domain.errors import StoreError
from bluegreen.stores.sqlite_errors import damaged

SCHEMA_VERSION = 2

# `deployments` is the index of the log: order, service and whether a terminal event is there. It is written
# in the transaction of the event that changes it, so that finding open deployments never reads the events.
_EVENT_TABLES = (
    """CREATE TABLE deployments (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        deployment_id TEXT NOT NULL UNIQUE,
        service TEXT NOT NULL,
        finished INTEGER NOT NULL DEFAULT 0
    )""",
    "CREATE INDEX deployments_of_service ON deployments (service, number, deployment_id)",
    "CREATE INDEX unfinished_deployments ON deployments (number, deployment_id) WHERE finished = 0",
    """CREATE TABLE events (
        sequence INTEGER PRIMARY KEY AUTOINCREMENT,
        deployment_id TEXT NOT NULL REFERENCES deployments (deployment_id),
        service TEXT NOT NULL,
        at REAL NOT NULL,
        kind TEXT NOT NULL,
        payload TEXT NOT NULL
    )""",
    "CREATE INDEX events_of_deployment ON events (deployment_id, sequence)",
    """CREATE TRIGGER events_are_never_changed BEFORE UPDATE ON events
        BEGIN SELECT RAISE(ABORT, 'the event log is append-only'); END""",
    """CREATE TRIGGER events_are_never_deleted BEFORE DELETE ON events
        BEGIN SELECT RAISE(ABORT, 'the event log is append-only'); END""",
    """CREATE TRIGGER deployments_are_never_deleted BEFORE DELETE ON deployments
        BEGIN SELECT RAISE(ABORT, 'the event log is append-only'); END""",
)

# Alerts on their way to people, and small things that must survive a restart. Unlike events they come and go:
# `sinks` are those that ever were configured, `deliveries` what each of them got or still has to get.
_ALERT_TABLES = (
    """CREATE TABLE alerts (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        alert_id TEXT NOT NULL UNIQUE,
        at REAL NOT NULL,
        service TEXT NOT NULL,
        payload TEXT NOT NULL
    )""",
    "CREATE INDEX alerts_by_time ON alerts (at, number)",
    "CREATE INDEX alerts_of_service ON alerts (service, at, number)",
    "CREATE TABLE sinks (name TEXT PRIMARY KEY, subscribed INTEGER NOT NULL) WITHOUT ROWID",
    """CREATE TABLE deliveries (
        alert INTEGER NOT NULL REFERENCES alerts (number) ON DELETE CASCADE,
        sink TEXT NOT NULL REFERENCES sinks (name),
        state TEXT NOT NULL DEFAULT 'pending',
        attempts INTEGER NOT NULL DEFAULT 0,
        next_at REAL NOT NULL DEFAULT 0,
        error TEXT NOT NULL DEFAULT '',
        PRIMARY KEY (alert, sink)
    ) WITHOUT ROWID""",
    "CREATE INDEX pending_deliveries ON deliveries (sink, next_at, alert) WHERE state = 'pending'",
    """CREATE TABLE documents (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        kind TEXT NOT NULL,
        key TEXT NOT NULL,
        document TEXT NOT NULL,
        UNIQUE (kind, key)
    )""",
)

_STATEMENTS_TO = {1: _EVENT_TABLES, 2: _ALERT_TABLES}
"""Schema version → what makes it from the version before."""


def prepare_to_write(database: sqlite3.Connection, path: Path) -> None:
    """Checks first, changes then: a file that is refused stays as it was."""
    interrupted = path.with_name(f"{path.name}-wal").exists()
    version = _schema_version(database, path)
    if interrupted and version:
        _check_pages(database, path)
    # Write-ahead logging with FULL syncs on every commit: what an append returned survives a power cut.
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")
    database.execute("PRAGMA foreign_keys = ON")
    if version < SCHEMA_VERSION:
        _bring_up_to_date(database, version)


def prepare_to_read(database: sqlite3.Connection, path: Path) -> None:
    if _schema_version(database, path) == 0:
        raise StoreError(f"{path} is not an event log: it is empty", hint="Start the daemon first: bluegreen up")
    database.execute("PRAGMA query_only = ON")


def _schema_version(database: sqlite3.Connection, path: Path) -> int:
    """0 for an empty file. Raises StoreError for anything that is not an event log this version can read."""
    version: int = database.execute("PRAGMA user_version").fetchone()[0]
    tables: int = database.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0]
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"event log {path} was written by a newer bluegreen (schema {version}, this one knows"
            f" {SCHEMA_VERSION}); nothing was changed",
            hint="Run the bluegreen version that wrote it, or a newer one.",
        )
    if version < 0 or (version == 0) != (tables == 0):
        raise StoreError(
            f"{path} is not an event log of bluegreen; nothing was changed",
            hint="Choose another [daemon] state_dir, or move that file away.",
        )
    return version


def _check_pages(database: sqlite3.Connection, path: Path) -> None:
    """Only after a writer died: reading every page of a big log would make each ordinary start slow."""
    (finding,) = database.execute("PRAGMA quick_check(1)").fetchone()
    if finding != "ok":
        raise damaged(path, finding)


def _bring_up_to_date(database: sqlite3.Connection, version: int) -> None:
    """In one transaction: a crash leaves the old version or the new one. Nothing that is there is touched."""
    database.execute("BEGIN IMMEDIATE")
    try:
        for reached in range(version + 1, SCHEMA_VERSION + 1):
            for statement in _STATEMENTS_TO[reached]:
                database.execute(statement)
        database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        database.execute("COMMIT")
    except BaseException:
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise
