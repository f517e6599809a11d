"""A SQLite file with a thread of its own: what every part of the store does its work through.

All of SQLite runs in that one thread, so a disk that hangs never stops the event loop. One process writes at a
time by a lock on `<path>.lock`, which the kernel gives back when that process dies, however it dies.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from bluegreen.domain.errors import StoreError
from bluegreen.stores.sqlite_errors import explained
from bluegreen.stores.sqlite_schema import prepare_to_read, prepare_to_write
from bluegreen.stores.writer_lock import WriterLock

Result = TypeVar("Result")


class SqliteFile:
    """Opened by `open()`, which takes the writer lock; `read_only=True` takes none and refuses to write.

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
        """Creates the file when there is none, in an existing directory; brings one of an older version up to date.

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

    async def _run(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        if self._thread is None:
            raise StoreError(f"event log {self.path} is not open", hint="Call open() first.")
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._guarded, work)

    async def _write(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """All or nothing, and on disk when it returns."""
        if self._read_only:
            raise StoreError(f"event log {self.path} is open for reading only")
        return await self._run(lambda database: _in_transaction(database, work))

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


def _in_transaction(database: sqlite3.Connection, work: Callable[[sqlite3.Connection], Result]) -> Result:
    database.execute("BEGIN IMMEDIATE")
    try:
        result = work(database)
        database.execute("COMMIT")
    except BaseException:
        # A full disk may have ended the transaction already; a COMMIT that failed has not.
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise
    return result
