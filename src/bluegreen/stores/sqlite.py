"""The event log in one SQLite file.

All of SQLite runs in one thread of its own, so a disk that hangs never stops the event loop. The log is
append-only by triggers, and one process writes at a time by a lock on `<path>.lock`, which the kernel
gives back when that process dies, however it dies.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from bluegreen.domain.errors import StoreError
from bluegreen.domain.events import TERMINAL_KINDS, Event, Record
from bluegreen.stores.codec import decode, encode
from bluegreen.stores.sqlite_errors import explained
from bluegreen.stores.sqlite_schema import prepare_to_read, prepare_to_write
from bluegreen.stores.writer_lock import WriterLock

Result = TypeVar("Result")

_INSERT_DEPLOYMENT = "INSERT INTO deployments (deployment_id, service) VALUES (?, ?) ON CONFLICT DO NOTHING"
_INSERT_EVENT = "INSERT INTO events (deployment_id, service, at, kind, payload) VALUES (?, ?, ?, ?, ?)"


class SqliteEventStore:
    """Opened by `open()`, which takes the writer lock; `read_only=True` takes none and refuses to append.

    A method that is cancelled while it waits may still take effect: read again to know.
    """

    def __init__(self, path: Path | str, *, read_only: bool = False, busy_timeout_seconds: float = 5.0) -> None:
        self.path = Path(path)
        self._read_only = read_only
        self._busy_timeout_seconds = busy_timeout_seconds
        self._lock: WriterLock | None = None
        self._database: sqlite3.Connection | None = None
        self._thread: ThreadPoolExecutor | None = None

    async def open(self) -> None:
        """Creates the file when there is none, in an existing directory.

        Raises StoreError when another process writes to it, when it is damaged or from a newer version;
        then nothing was changed."""
        if self._thread is not None:
            raise StoreError(f"event log {self.path} is open already")
        thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="event-log")
        self._thread = thread
        try:
            await asyncio.get_running_loop().run_in_executor(thread, self._open)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Gives the lock back. Waits for what is being written. No error when it is not open."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        # In the same thread: SQLite insists on it, and so it comes after what is queued already.
        await asyncio.get_running_loop().run_in_executor(thread, self._close)
        thread.shutdown(wait=False)

    async def append(self, deployment_id: str, service: str, events: Sequence[tuple[float, Event]]) -> Sequence[Record]:
        if self._read_only:
            raise StoreError(f"event log {self.path} is open for reading only")
        return await self._run(lambda database: _append(database, deployment_id, service, events))

    async def read(self, deployment_id: str, *, after: int = 0) -> Sequence[Record]:
        return await self._run(lambda database: _read(database, deployment_id, after))

    async def latest(self) -> Mapping[str, str]:
        # SQLite takes a bare column from the row that holds the maximum.
        query = "SELECT service, deployment_id, MAX(number) FROM deployments GROUP BY service"
        rows = await self._run(lambda database: database.execute(query).fetchall())
        return {service: deployment_id for service, deployment_id, _ in rows}

    async def unfinished(self) -> Sequence[str]:
        query = "SELECT deployment_id FROM deployments WHERE finished = 0 ORDER BY number"
        return [row[0] for row in await self._run(lambda database: database.execute(query).fetchall())]

    async def deployments(self, service: str, *, limit: int = 50) -> Sequence[str]:
        query = "SELECT deployment_id FROM deployments WHERE service = ? ORDER BY number DESC LIMIT ?"
        parameters = (service, max(limit, 0))
        return [row[0] for row in await self._run(lambda database: database.execute(query, parameters).fetchall())]

    async def _run(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        if self._thread is None:
            raise StoreError(f"event log {self.path} is not open", hint="Call open() first.")
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._guarded, work)

    def _guarded(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        if self._database is None:
            raise StoreError(f"event log {self.path} is not open", hint="Call open() first.")
        try:
            return work(self._database)
        except sqlite3.Error as error:
            raise explained(error, self.path) from error

    def _open(self) -> None:
        if not self._read_only:
            self._lock = WriterLock.take(self.path)
        try:
            mode = "ro" if self._read_only else "rwc"
            self._database = sqlite3.connect(
                f"{self.path.absolute().as_uri()}?mode={mode}",
                uri=True,
                isolation_level=None,
                timeout=self._busy_timeout_seconds,
            )
            if self._read_only:
                prepare_to_read(self._database, self.path)
            else:
                prepare_to_write(self._database, self.path)
        except sqlite3.Error as error:
            raise explained(error, self.path) from error

    def _close(self) -> None:
        database, self._database = self._database, None
        lock, self._lock = self._lock, None
        try:
            if database is not None:
                database.close()
        finally:
            if lock is not None:
                lock.release()


def _append(
    database: sqlite3.Connection, deployment_id: str, service: str, events: Sequence[tuple[float, Event]]
) -> Sequence[Record]:
    if not events:
        return []
    payloads = [encode(event) for _, event in events]
    database.execute("BEGIN IMMEDIATE")
    try:
        _register(database, deployment_id, service)
        records = []
        for (at, event), payload in zip(events, payloads, strict=True):
            row = (deployment_id, service, float(at), event.kind, payload)
            sequence = database.execute(_INSERT_EVENT, row).lastrowid
            assert sequence is not None
            records.append(Record(sequence, deployment_id, service, float(at), event))
        if any(event.kind in TERMINAL_KINDS for _, event in events):
            database.execute("UPDATE deployments SET finished = 1 WHERE deployment_id = ?", (deployment_id,))
        database.execute("COMMIT")
    except BaseException:
        # A full disk may have ended the transaction already; a COMMIT that failed has not.
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise
    return records


def _register(database: sqlite3.Connection, deployment_id: str, service: str) -> None:
    """A deployment belongs to one service for ever."""
    database.execute(_INSERT_DEPLOYMENT, (deployment_id, service))
    query = "SELECT service FROM deployments WHERE deployment_id = ?"
    (owner,) = database.execute(query, (deployment_id,)).fetchone()
    if owner != service:
        raise StoreError(f"deployment {deployment_id!r} belongs to {owner!r}, not to {service!r}")


def _read(database: sqlite3.Connection, deployment_id: str, after: int) -> Sequence[Record]:
    rows = database.execute(
        "SELECT sequence, service, at, kind, payload FROM events"
        " WHERE deployment_id = ? AND sequence > ? ORDER BY sequence",
        (deployment_id, after),
    )
    return [
        Record(sequence, deployment_id, service, at, decode(kind, payload))
        for sequence, service, at, kind, payload in rows
    ]
