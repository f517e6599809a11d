"""The metrics store on a real disk: killed, damaged, full, too big."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from bluegreen.control.metric_ports import Batch
from bluegreen.domain.errors import StoreDamaged, StoreError
from bluegreen.stores.sample_schema import damaged_copies
from bluegreen.stores.samples import SqliteSampleStore
from tests.contract.test_sample_store_contract import everything, seconds, tidied, total, workload

WRITER = """
import asyncio, sys
from pathlib import Path
from bluegreen.control.metric_ports import Batch
from bluegreen.stores.samples import SqliteSampleStore
from tests.contract.test_sample_store_contract import seconds, workload

async def main():
    store = SqliteSampleStore(Path(sys.argv[1]))
    await store.open()
    first = 1
    while True:
        await store.append([Batch(workload(), seconds(first, 100))], shift=0.0)
        print(first + 99, flush=True)
        first += 100
        await store.tidy()

asyncio.run(main())
"""
FULL = """
import asyncio, resource, sys
from pathlib import Path
from bluegreen.control.metric_ports import Batch
from bluegreen.domain.errors import StoreError
from bluegreen.stores.samples import SqliteSampleStore
from tests.contract.test_sample_store_contract import everything, seconds, total, workload

async def main():
    store = SqliteSampleStore(Path(sys.argv[1]))
    await store.open()
    await store.append([Batch(workload(), seconds(1, 10))], shift=0.0)
    size = Path(sys.argv[1] + "-wal").stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 5000, resource.RLIM_INFINITY))
    first = 11
    try:
        for first in range(11, 100_000, 10):
            await store.append([Batch(workload(), seconds(first, 10))], shift=0.0)
    except StoreError as error:
        print(type(error).__name__, error.message)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    await store.append([Batch(workload(), seconds(first, 10))], shift=0.0)
    assert total(await everything(store)) == (first + 9) * 10, first
    await store.close()
    print("complete")

asyncio.run(main())
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "metrics.sqlite"


async def opened(path: Path, **options: int) -> SqliteSampleStore:
    store = SqliteSampleStore(path, **options)
    await store.open()
    return store


@pytest.mark.parametrize("acknowledged", [1, 7, 40])
async def test_what_was_acknowledged_survives_kill_9(path: Path, acknowledged: int) -> None:
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    try:
        last = [int(writer.stdout.readline()) for _ in range(acknowledged)][-1]
    finally:
        os.kill(writer.pid, signal.SIGKILL)
        rest = writer.stdout.read().split()
        writer.wait()
    last = int(rest[-1]) if rest else last
    store = await opened(path)
    await tidied(store)
    found = await everything(store)
    # One more may have been written that there was no time to say.
    assert total(found) in (last * 10, (last + 100) * 10)
    await store.append([Batch(workload(), seconds(1_000_000, 5))], shift=0.0)
    assert total(await everything(store)) == total(found) + 50
    await store.close()


@pytest.mark.parametrize("content", [b"this is no database " * 400, b"SQLite format 3\x00" + b"\x07" * 8000])
async def test_a_file_that_is_none_of_ours_is_moved_aside_and_said(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    store = SqliteSampleStore(path)
    with pytest.raises(StoreDamaged, match=r"was damaged .* moved to metrics\.sqlite\.damaged-"):
        await store.open()
    await store.append([Batch(workload(), seconds(1, 5))], shift=0.0)
    assert total(await everything(store)) == 50
    (kept,) = damaged_copies(path)
    assert kept.read_bytes() == content
    await store.close()


async def test_a_file_that_breaks_while_it_is_used_is_moved_aside(path: Path) -> None:
    store = await opened(path)
    for first in range(1, 4000, 100):
        await store.append([Batch(workload(), seconds(first, 100))], shift=0.0)
    await store.close()
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (size - 4096))
    store = SqliteSampleStore(path)
    with pytest.raises(StoreDamaged):
        await store.open()
        await everything(store)
        await tidied(store)
    await store.append([Batch(workload(), seconds(1, 5))], shift=0.0)
    assert total(await everything(store)) == 50
    await store.close()


async def test_one_damaged_file_is_kept_and_no_more(path: Path) -> None:
    for _ in range(3):
        path.write_bytes(b"x" * 5000)
        store = SqliteSampleStore(path)
        with pytest.raises(StoreDamaged):
            await store.open()
        await store.close()
    assert len(damaged_copies(path)) == 1


async def test_a_damaged_block_is_a_gap(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = await opened(path)
    for first in (1, 11, 21):
        await store.append([Batch(workload(), seconds(first, 10))], shift=0.0)
    await store.close()
    with sqlite3.connect(path) as database:
        database.execute("UPDATE blocks SET data = x'0102' WHERE slice = 2")
    store = await opened(path)
    assert total(await everything(store)) == 200
    assert "is shown as a gap" in caplog.text
    await store.close()


async def test_a_newer_file_is_left_alone(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 99")
    store = SqliteSampleStore(path)
    with pytest.raises(StoreError, match="newer bluegreen") as caught:
        await store.open()
    assert not isinstance(caught.value, StoreDamaged)
    assert damaged_copies(path) == []
    await store.close()


def test_a_full_disk_is_said_and_nothing_is_half_written(path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", FULL, str(path)], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1:] == ["complete"], done.stdout + done.stderr
    assert "StoreError metrics store" in done.stdout


async def test_it_never_grows_beyond_its_bound(path: Path) -> None:
    store = await opened(path, max_bytes=200_000)
    for first in range(1, 4000, 50):
        await store.append([Batch(workload(), seconds(first, 50, requests=first))], shift=0.0)
        await tidied(store)
    assert path.stat().st_size < 400_000
    assert (await everything(store))[-1] == seconds(4000, 1, requests=3951)[0]
    await store.close()
