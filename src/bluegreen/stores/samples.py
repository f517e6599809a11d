"""The metrics store: one SQLite file of compressed blocks, with a thread of its own. See docs/decisions/0023."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from bluegreen.control.metric_ports import Batch, Stretch
from bluegreen.domain.errors import StoreDamaged, StoreError
from bluegreen.domain.model import Workload
from bluegreen.domain.sample import Sample
from bluegreen.stores.sample_blocks import milliseconds
from bluegreen.stores.sample_schema import connect, explained, is_damage, move_aside
from bluegreen.stores.sample_tables import SampleTables
from bluegreen.stores.sample_upkeep import Upkeep

MAX_BYTES = 4 * 2**30
"""More than 30 days of 1,000 busy slots take; beyond it the oldest minutes go first."""
TIDY_SECONDS = 0.05
"""How long others wait at most for a piece of upkeep."""
Result = TypeVar("Result")


class SqliteSampleStore:
    """All of SQLite runs in one thread, so a disk that hangs never stops the event loop. One process writes: the
    daemon, which holds the lock of the event log."""

    def __init__(self, path: Path, *, max_bytes: int = MAX_BYTES) -> None:
        self.path = path
        self._max_bytes = max_bytes
        self._thread: ThreadPoolExecutor | None = None
        self._database: sqlite3.Connection | None = None
        self._tables: SampleTables | None = None
        self._upkeep: Iterator[None] | None = None

    async def open(self) -> None:
        if self._database is not None:
            raise StoreError(f"metrics store {self.path} is open already")
        if self._thread is None:
            self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="metrics-store")
        await self._in_thread(self._open)

    async def append(self, batches: Sequence[Batch], *, shift: float) -> None:
        def write(tables: SampleTables) -> None:
            tables.set_shift(milliseconds(shift))
            filled = [batch for batch in batches if batch.samples]
            if filled:
                tables.append(filled)

        await self._in_thread(lambda: self._in_transaction(write))

    async def tidy(self) -> bool:
        return await self._in_thread(lambda: self._in_transaction(self._tidy))

    async def workloads(self, over: Stretch, *, shift: float) -> Sequence[Workload]:
        def read(tables: SampleTables) -> Sequence[Workload]:
            tables.set_shift(milliseconds(shift))
            return tables.workloads(milliseconds(over.start), milliseconds(over.end))

        return await self._in_thread(lambda: self._guarded(read))

    async def read(
        self, workload_ids: Collection[str], over: Stretch, columns: Collection[str], *, shift: float
    ) -> Mapping[str, Sequence[Sample]]:
        def read(tables: SampleTables) -> Mapping[str, Sequence[Sample]]:
            tables.set_shift(milliseconds(shift))
            start, end = milliseconds(over.start), milliseconds(over.end)
            return tables.read(workload_ids, start, end, over.step_seconds, columns)

        return await self._in_thread(lambda: self._guarded(read))

    async def close(self) -> None:
        thread, self._thread = self._thread, None
        if thread is None:
            return
        try:
            await asyncio.get_running_loop().run_in_executor(thread, self._close)
        finally:
            thread.shutdown(wait=False)

    async def _in_thread(self, work: Callable[[], Result]) -> Result:
        if self._thread is None:
            raise StoreError(f"metrics store {self.path} is not open", hint="Call open() first.")
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _open(self) -> None:
        try:
            self._connect()
        except sqlite3.Error as error:
            self._close()
            if not is_damage(error):
                raise explained(error, self.path) from error
            raise self._begin_anew(error) from error

    def _connect(self) -> None:
        self._database = connect(self.path)
        self._tables = SampleTables(self._database)

    def _begin_anew(self, error: sqlite3.Error) -> StoreError:
        """Moves the damaged file aside and opens an empty one; says so, or what prevented it."""
        self._close()
        try:
            moved: StoreDamaged = move_aside(self.path, str(error))
            self._connect()
        except OSError as failure:
            return StoreError(f"metrics store {self.path} is damaged and can't be moved aside: {failure.strerror}")
        except sqlite3.Error as failure:
            self._close()
            return explained(failure, self.path)
        return moved

    def _guarded(self, work: Callable[[SampleTables], Result]) -> Result:
        if self._database is None:
            self._open()
        assert self._tables is not None
        try:
            return work(self._tables)
        except sqlite3.Error as error:
            self._upkeep = None
            if is_damage(error):
                raise self._begin_anew(error) from error
            raise explained(error, self.path) from error

    def _in_transaction(self, work: Callable[[SampleTables], Result]) -> Result:
        def write(tables: SampleTables) -> Result:
            database = self._database
            assert database is not None
            database.execute("BEGIN IMMEDIATE")
            try:
                result = work(tables)
                database.execute("COMMIT")
            except BaseException:
                self._upkeep = None
                tables.forget()
                if database.in_transaction:
                    database.execute("ROLLBACK")
                raise
            return result

        return self._guarded(write)

    def _tidy(self, tables: SampleTables) -> bool:
        assert self._database is not None
        if self._upkeep is None:
            self._upkeep = Upkeep(self._database, tables, self._max_bytes).steps()
        until = time.monotonic() + TIDY_SECONDS
        for _ in self._upkeep:
            # Others want the interpreter too, the event loop first of all.
            time.sleep(0)
            if time.monotonic() > until:
                return True
        self._upkeep = None
        return False

    def _close(self) -> None:
        database, self._database, self._tables, self._upkeep = self._database, None, None, None
        if database is not None:
            database.close()
