"""The event log on disk when things go wrong: damage, a full disk, a killed writer, a second writer."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from bluegreen.domain.deployment import Phase, replay
from bluegreen.domain.errors import StoreError
from bluegreen.domain.events import ActionStarted, AlertRaised, DeploymentCompleted, DeploymentRequested, Event
from bluegreen.stores import sqlite_schema
from bluegreen.stores.sqlite import SqliteEventStore

REQUESTED = DeploymentRequested("registry/a:v2", "blue-green", (100,), "tester")

ENDLESS_WRITER = """
import asyncio, sys
from bluegreen.domain.events import ActionStarted
from bluegreen.stores.sqlite import SqliteEventStore

async def main():
    store = SqliteEventStore(sys.argv[1])
    await store.open()
    number = 0
    while True:
        batch = [(float(number + index), ActionStarted("step", str(number + index))) for index in range(3)]
        await store.append("d1", "a", batch)
        number += 3
        print(number, flush=True)

asyncio.run(main())
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.db"


@asynccontextmanager
async def opened(path: Path, *, read_only: bool = False) -> AsyncIterator[SqliteEventStore]:
    store = SqliteEventStore(path, read_only=read_only, busy_timeout_seconds=0.1)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


async def fill(store: SqliteEventStore, count: int) -> None:
    await store.append("d1", "a", [(float(n), ActionStarted("step", "x" * 200)) for n in range(count)])


async def test_the_log_outlives_the_process_that_wrote_it(path: Path) -> None:
    async with opened(path) as store:
        written = await store.append("d1", "a", [(1.0, REQUESTED)])
    async with opened(path) as store:
        assert await store.read("d1") == written
        assert (await store.append("d1", "a", [(2.0, DeploymentCompleted())]))[0].sequence == 2
        assert await store.unfinished() == []


async def test_every_append_is_synced_and_foreign_keys_hold(path: Path) -> None:
    async with opened(path) as store:
        pragmas = ("journal_mode", "synchronous", "foreign_keys")
        values = await store._run(lambda db: [db.execute(f"PRAGMA {name}").fetchone()[0] for name in pragmas])
    assert values == ["wal", 2, 1]


class TestDamage:
    async def test_a_file_of_something_else_is_refused_and_left_alone(self, path: Path) -> None:
        path.write_text("these are my holiday notes, not a database\n" * 50)
        before = path.read_bytes()

        with pytest.raises(StoreError, match="is damaged") as caught:
            await SqliteEventStore(path).open()

        assert str(path) in caught.value.message
        assert "backup" in caught.value.hint
        assert path.read_bytes() == before

    async def test_a_database_of_another_program_is_refused_and_left_alone(self, path: Path) -> None:
        with closing(sqlite3.connect(path)) as other:
            other.execute("CREATE TABLE bookmarks (url TEXT)")
        before = path.read_bytes()

        with pytest.raises(StoreError, match="not an event log"):
            await SqliteEventStore(path).open()

        assert path.read_bytes() == before

    async def test_a_newer_schema_is_refused_and_left_alone(self, path: Path) -> None:
        async with opened(path) as store:
            await fill(store, 3)
        with closing(sqlite3.connect(path)) as newer:
            newer.execute("PRAGMA user_version = 9")
        before = path.read_bytes()

        with pytest.raises(StoreError, match=r"newer bluegreen \(schema 9, this one knows 2\); nothing was changed"):
            await SqliteEventStore(path).open()

        assert path.read_bytes() == before

    async def test_damaged_pages_are_reported_by_the_read_that_meets_them(self, path: Path) -> None:
        async with opened(path) as store:
            await fill(store, 500)
        overwrite_pages(path)

        with pytest.raises(StoreError, match="is damaged") as caught:
            async with opened(path) as store:
                await store.read("d1")

        assert str(path) in caught.value.message

    async def test_after_a_crash_damage_is_found_at_the_start(self, path: Path) -> None:
        async with opened(path) as store:
            await fill(store, 500)
        overwrite_pages(path)
        path.with_name("events.db-wal").touch()  # what a killed writer leaves behind

        with pytest.raises(StoreError, match="is damaged"):
            await SqliteEventStore(path).open()

    async def test_an_event_of_a_newer_version_is_named(self, path: Path) -> None:
        async with opened(path) as store:
            await fill(store, 1)
            statement = "INSERT INTO events (deployment_id, service, at, kind, payload) VALUES ('d1','a',1,'new','{}')"
            await store._run(lambda db: db.execute(statement))

            with pytest.raises(StoreError, match=r"newer bluegreen.*'new'"):
                await store.read("d1")

    async def test_a_refused_file_gives_its_lock_back(self, path: Path) -> None:
        path.write_bytes(b"nonsense" * 200)
        with pytest.raises(StoreError):
            await SqliteEventStore(path).open()
        path.unlink()
        async with opened(path) as store:
            await fill(store, 1)


def overwrite_pages(path: Path) -> None:
    """Keeps the first pages, where the tables are described, and ruins a stretch of the events."""
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size // 2 // 4096 * 4096)
        file.write(b"\xa5" * (size // 4))


class TestOlderSchema:
    """A log that schema version 1 wrote, as it was dumped then."""

    @pytest.fixture
    def old(self, path: Path) -> Path:
        with closing(sqlite3.connect(path)) as database:
            database.executescript((Path(__file__).parent / "data" / "events_version_1.sql").read_text())
            database.execute("PRAGMA journal_mode = WAL")
        return path

    async def test_it_is_brought_up_to_date_with_all_that_it_held(self, old: Path) -> None:
        with closing(sqlite3.connect(old)) as database:
            before = [*database.execute("SELECT * FROM deployments"), *database.execute("SELECT * FROM events")]
        async with opened(old) as store:
            assert await store.unfinished() == ["web-1"]
            assert replay(await store.read("app-1")).phase is Phase.FAILED
            assert await store.deployments("app") == ["app-1"]
            await store.subscribe(["log"])
            assert await store.pending(["log"]) == []
            raised = AlertRaised("deploy-complete", "info", "done", alert_id="web-1:deploy-complete")
            (record,) = await store.append("web-1", "web", [(7.0, raised)])
            assert record.sequence == 7
            assert [delivery.alert.id for delivery in await store.pending(["log"])] == ["web-1:deploy-complete"]
            await store.put("rule", "a", {"x": 1})
        with closing(sqlite3.connect(old)) as database:
            after = [*database.execute("SELECT * FROM deployments"), *database.execute("SELECT * FROM events")]
            assert database.execute("PRAGMA user_version").fetchone() == (2,)
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                database.execute("DELETE FROM events")
        assert [row for row in after if row in before] == before
        assert len(after) == len(before) + 1

    async def test_it_becomes_the_same_as_a_new_one(self, old: Path, tmp_path: Path) -> None:
        async with opened(old):
            pass
        async with opened(tmp_path / "new.db"):
            pass
        described = []
        for file in (old, tmp_path / "new.db"):
            with closing(sqlite3.connect(file)) as database:
                described.append(set(database.execute("SELECT type, name, sql FROM sqlite_master")))
        assert described[0] == described[1]

    async def test_reading_it_changes_nothing(self, old: Path) -> None:
        before = old.read_bytes()
        async with opened(old, read_only=True) as store:
            assert await store.unfinished() == ["web-1"]
            with pytest.raises(StoreError, match="reading only"):
                await store.put("k", "a", {})
        assert old.read_bytes() == before

    async def test_an_interrupted_change_leaves_the_old_one(self, old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        broken = {**sqlite_schema._STATEMENTS_TO, 2: (*sqlite_schema._STATEMENTS_TO[2], "CREATE TABLE events (x)")}
        with monkeypatch.context() as patched:
            patched.setattr(sqlite_schema, "_STATEMENTS_TO", broken)
            with pytest.raises(StoreError):
                await SqliteEventStore(old).open()
        with closing(sqlite3.connect(old)) as database:
            assert database.execute("PRAGMA user_version").fetchone() == (1,)
            assert database.execute("SELECT name FROM sqlite_master WHERE name = 'alerts'").fetchall() == []
        async with opened(old) as store:
            assert await store.unfinished() == ["web-1"]


@pytest.mark.parametrize(
    "statement",
    ["UPDATE events SET at = 0", "DELETE FROM events", "DELETE FROM deployments"],
)
async def test_history_cannot_be_changed(path: Path, statement: str) -> None:
    async with opened(path) as store:
        written = await store.append("d1", "a", [(1.0, REQUESTED)])
    with closing(sqlite3.connect(path)) as intruder, pytest.raises(sqlite3.IntegrityError, match="append-only"):
        intruder.execute(statement)
    async with opened(path) as store:
        assert await store.read("d1") == written


class TestFaults:
    async def test_a_full_disk_writes_nothing_and_the_log_works_again_with_space(self, path: Path) -> None:
        entries: list[tuple[float, Event]] = [(2.0, ActionStarted("start", "x" * 2000))] * 50
        async with opened(path) as store:
            written = await store.append("d1", "a", [(1.0, REQUESTED)])
            pages = await store._run(lambda db: db.execute("PRAGMA page_count").fetchone()[0])
            await store._run(lambda db: db.execute(f"PRAGMA max_page_count = {pages}").fetchone())

            for deployment_id in ("d1", "d2"):
                with pytest.raises(StoreError, match="no space is left") as caught:
                    await store.append(deployment_id, "a", entries)
                assert "Free space" in caught.value.hint
            assert await store.read("d1") == written
            assert await store.unfinished() == ["d1"]

            await store._run(lambda db: db.execute("PRAGMA max_page_count = 100000").fetchone())
            assert len(await store.append("d1", "a", entries)) == 50
            assert len(await store.read("d1")) == 51

    async def test_a_lock_held_by_a_stranger_is_an_error_until_it_is_gone(self, path: Path) -> None:
        async with opened(path) as store:
            with closing(sqlite3.connect(path, isolation_level=None)) as stranger:
                stranger.execute("BEGIN IMMEDIATE")
                with pytest.raises(StoreError, match="another program holds it locked"):
                    await store.append("d1", "a", [(1.0, REQUESTED)])
                stranger.execute("ROLLBACK")
            assert len(await store.append("d1", "a", [(1.0, REQUESTED)])) == 1

    async def test_a_directory_that_is_not_there_is_named(self, path: Path) -> None:
        with pytest.raises(StoreError, match="cannot be made") as caught:
            await SqliteEventStore(path.parent / "missing" / "events.db").open()
        assert "missing" in caught.value.hint

    async def test_a_waiting_disk_does_not_stop_the_event_loop(self, path: Path) -> None:
        async with opened(path) as store:
            release = asyncio.Event()
            loop = asyncio.get_running_loop()
            hanging = asyncio.create_task(
                store._run(lambda _: asyncio.run_coroutine_threadsafe(release.wait(), loop).result(30))
            )
            await asyncio.sleep(0)
            append = asyncio.create_task(store.append("d1", "a", [(1.0, REQUESTED)]))
            ticks = 0
            while ticks < 5:
                await asyncio.sleep(0.001)
                ticks += 1
            assert not append.done()
            release.set()
            await hanging
            assert len(await append) == 1

    async def test_a_log_that_is_not_open_says_so(self, path: Path) -> None:
        store = SqliteEventStore(path)
        with pytest.raises(StoreError, match="not open"):
            await store.latest()
        await store.close()


class TestWriters:
    async def test_a_second_writer_is_told_who_has_the_log(self, path: Path) -> None:
        async with opened(path):
            with pytest.raises(StoreError, match=f"written to by process {os.getpid()};"):
                await SqliteEventStore(path).open()
        async with opened(path) as store:
            await fill(store, 1)

    async def test_a_reader_needs_no_lock_and_cannot_write(self, path: Path) -> None:
        async with opened(path) as writer, opened(path, read_only=True) as reader:
            written = await writer.append("d1", "a", [(1.0, REQUESTED)])
            assert await reader.read("d1") == written
            assert await reader.unfinished() == ["d1"]
            with pytest.raises(StoreError, match="reading only"):
                await reader.append("d1", "a", [(2.0, REQUESTED)])

    async def test_a_reader_makes_no_file(self, path: Path) -> None:
        with pytest.raises(StoreError, match="cannot be opened"):
            await SqliteEventStore(path, read_only=True).open()
        assert list(path.parent.iterdir()) == []

    @pytest.mark.parametrize("acknowledged", [3, 60, 300])
    async def test_a_killed_writer_leaves_whole_batches_and_no_lock(self, path: Path, acknowledged: int) -> None:
        command = [sys.executable, "-c", ENDLESS_WRITER, str(path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            try:
                for line in writer.stdout:
                    if int(line) >= acknowledged:
                        break
                with pytest.raises(StoreError, match=f"process {writer.pid};"):
                    await SqliteEventStore(path).open()
            finally:
                writer.send_signal(signal.SIGKILL)
            last_line = [int(line) for line in writer.stdout][-1:] or [acknowledged]

        async with opened(path) as store:
            records = await store.read("d1")
            assert len(records) >= last_line[0]
            assert len(records) % 3 == 0
            assert [record.event for record in records] == [
                ActionStarted("step", str(number)) for number in range(len(records))
            ]
            await store.append("d1", "a", [(1.0, DeploymentCompleted())])
            assert await store.unfinished() == []


async def test_a_large_log_is_opened_and_asked_without_reading_it_all(path: Path) -> None:
    """100,000 events of 1,000 services; the limit is generous because the machine may be busy."""
    async with opened(path) as store:
        await store._run(_fill_quickly)

    started = time.perf_counter()
    async with opened(path) as store:
        latest, unfinished = await store.latest(), await store.unfinished()
        newest, records = await store.deployments("service-7"), await store.read("d7500")
        elapsed = time.perf_counter() - started
        plans = await store._run(_query_plans)

    assert (len(latest), len(unfinished), len(newest), len(records)) == (1000, 1000, 8, 12)
    assert elapsed < 0.5
    assert not [step for step in plans if step.startswith("SCAN events")]


def _fill_quickly(database: sqlite3.Connection) -> None:
    deployments = [(f"d{n}", f"service-{n % 1000}", int(n < 7000)) for n in range(8000)]
    database.execute("BEGIN")
    database.executemany("INSERT INTO deployments (deployment_id, service, finished) VALUES (?, ?, ?)", deployments)
    database.executemany(
        "INSERT INTO events (deployment_id, service, at, kind, payload) VALUES (?, ?, 1.0, 'verified', '{}')",
        [(name, service) for name, service, _ in deployments for _ in range(12)],
    )
    database.execute("COMMIT")


def _query_plans(database: sqlite3.Connection) -> list[str]:
    query = "SELECT * FROM events WHERE deployment_id = 'd1' AND sequence > 5 ORDER BY sequence"
    return [row[3] for row in database.execute(f"EXPLAIN QUERY PLAN {query}")]
