"""What it costs to keep samples: our blocks in SQLite beside a row for each sample in SQLite and in DuckDB, and
beside the same blocks packed with numpy.

Each candidate gets the same samples, of 1,000 busy slots once a second, in the writes of five seconds that the daemon
makes. Rows are written as they are, once: what it takes to thin them out later would come on top.
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.processes import temporary_directory
from bench.table import Row, information, median, unavailable
from bluegreen.control.metric_ports import Batch, Stretch
from bluegreen.domain.columns import COLUMNS, LATENCY, STATUSES
from bluegreen.domain.meter import Meter, Reading
from bluegreen.domain.model import Color, Resources, SlotTraffic, Workload
from bluegreen.domain.sample import Sample
from bluegreen.domain.series import METRICS, described
from bluegreen.domain.tiers import TIERS
from bluegreen.domain.window import window
from bluegreen.stores.sample_blocks import encode
from bluegreen.stores.samples import SqliteSampleStore

SLOTS = 1000
WRITE_SECONDS = 5
SECONDS = 330
"""As long as it takes for a slice of the next tier to be made of all slots."""
ROW_SECONDS = 30
DAY_SECONDS = 86_400
QUERIES = 9
EPOCH = 1_800_000_000
METRIC = METRICS["request_latency_p99"]
"""It reads the most columns."""
MOST_CORES, MOST_BYTES, MOST_QUERY_SECONDS = 0.1, 1_000_000_000, 0.1


def workload(number: int) -> Workload:
    return Workload(f"app{number}-blue-1", f"app{number}", Color.BLUE, "app:v1", "v1", 2, Resources(), {"app": "app"})


class Traffic:
    """Samples of a slot with about 20 requests a second, 1 % of them errors, and use of the machine every five."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._usual = min(15, max(2, int(self._random.gauss(7, 2))))

    def sample(self, at: float) -> Sample:
        draw = self._random
        requests = max(0, int(draw.gauss(20, 5)))
        errors = sum(draw.random() < 0.01 for _ in range(requests))
        latency = [0] * len(LATENCY)
        for _ in range(requests):
            latency[min(len(LATENCY) - 1, max(0, int(draw.gauss(self._usual, 1.5))))] += 1
        statuses = dict.fromkeys(STATUSES, 0) | {STATUSES[1]: requests - errors, STATUSES[4]: errors}
        usage: dict[str, float] = {}
        if at % 5 == 0:
            usage = {"usage_milliseconds": 5000, "cpu_milliseconds": int(draw.gauss(900, 90)), "age_seconds": at % 1e6,
                     "memory_bytes": int(draw.gauss(2e8, 1e6)) // 4096 * 4096}  # fmt: skip
        return Sample.of(
            at,
            seconds=round(draw.gauss(1.0, 0.002), 3),
            requests=requests,
            errors=errors,
            in_flight=int(draw.expovariate(1)),
            checks=int(at % 5 == 0),
            checks_passed=int(at % 5 == 0),
            restarts=0,
            connection_errors=0,
            aborted=0,
            retries=0,
            **statuses,
            **dict(zip(LATENCY, latency, strict=True)),
            **usage,
        )


def writes(seconds: int) -> Iterator[list[Batch]]:
    """What the daemon writes every five seconds. A hundred slots are drawn, each of which stands for ten."""
    drawn = [Traffic(seed) for seed in range(SLOTS // 10)]
    for first in range(1, seconds + 1, WRITE_SECONDS):
        lists = [[one.sample(EPOCH + first + second) for second in range(WRITE_SECONDS)] for one in drawn]
        yield [Batch(workload(number), lists[number % len(lists)]) for number in range(SLOTS)]


@dataclass(frozen=True, slots=True)
class Cost:
    cores: float
    day_bytes: float
    month_bytes: float
    query: tuple[float, float]
    """Seconds of CPU, and on the clock."""


def _since(began: tuple[float, float]) -> tuple[float, float]:
    return time.process_time() - began[0], time.perf_counter() - began[1]


def _middle(taken: Sequence[tuple[float, float]]) -> tuple[float, float]:
    return median([cpu for cpu, _ in taken]), median([clock for _, clock in taken])


async def _tidy(store: SqliteSampleStore) -> None:
    while await store.tidy():
        pass


async def _ours_cores(path: Path) -> float:
    """Writing and thinning out, of all slots."""
    store = SqliteSampleStore(path)
    await store.open()
    spent = 0.0
    for batches in writes(SECONDS):
        began = time.process_time()
        await store.append(batches, shift=0.0)
        await _tidy(store)
        spent += time.process_time() - began
    await store.close()
    return spent / SECONDS


async def _ours_day(path: Path) -> tuple[float, float, tuple[float, float]]:
    """Bytes of a day of one slot, those of them that are minutes, and how long a question about all of it takes."""
    store, traffic, own = SqliteSampleStore(path), Traffic(1), workload(1)
    await store.open()
    for first in range(1, DAY_SECONDS + 1, 300):
        samples = [traffic.sample(EPOCH + first + second) for second in range(300)]
        # In writes of five seconds, as they come: small blocks are what takes the room.
        for part in range(0, 300, WRITE_SECONDS):
            await store.append([Batch(own, samples[part : part + WRITE_SECONDS])], shift=0.0)
        await _tidy(store)
    taken = []
    over = window(EPOCH, EPOCH + DAY_SECONDS, 60.0)
    for _ in range(QUERIES):
        began = (time.process_time(), time.perf_counter())
        stretch = Stretch(over.start, over.end, 60.0)
        found = await store.read([own.id], stretch, {"seconds", *METRIC.columns}, shift=0.0)
        points, _ = described(METRIC, list(found.values()), over)
        taken.append(_since(began))
        assert sum(point.value is not None for point in points) >= 1440
    await store.close()
    with sqlite3.connect(path) as database:
        database.execute("VACUUM")
        minutes = "SELECT sum(length(data)) FROM blocks JOIN slices ON slices.id = slice WHERE tier = 2"
        (minute_bytes,) = database.execute(minutes).fetchone()
    return float(path.stat().st_size), float(minute_bytes), _middle(taken)


def _ours(directory: Path) -> Cost:
    cores = asyncio.run(_ours_cores(directory / "many.sqlite"))
    day_bytes, minute_bytes, query = asyncio.run(_ours_day(directory / "day.sqlite"))
    return Cost(cores, day_bytes * SLOTS, (day_bytes + 29 * minute_bytes) * SLOTS, query)


_NAMES = [column.name for column in COLUMNS]
_BUCKETS = ", ".join(f"sum({name})" for name in LATENCY)
_BY_MINUTE = f"SELECT floor(moment / 60), {_BUCKETS} FROM samples WHERE slot = 1 GROUP BY 1 ORDER BY 1"
_ROWS_OF_A_DAY = sum(min(DAY_SECONDS, tier.kept_seconds) / tier.step_seconds for tier in TIERS)
_ROWS_OF_A_MONTH = sum(tier.kept_seconds / tier.step_seconds for tier in TIERS)
"""Of one slot, if rows were thinned out as ours are."""
Insert = Callable[[Sequence[Batch]], None]


def _rows(batches: Sequence[Batch]) -> list[tuple[float | None, ...]]:
    return [(number, s.at, *s.values) for number, batch in enumerate(batches) for s in batch.samples]


def _row_cost(insert: Insert, ask: Callable[[], object], size: Callable[[], int]) -> Cost:
    """Of writing a while of all slots; then a day of one slot, by ten seconds, is written and asked for."""
    spent, written = 0.0, 0
    for batches in writes(ROW_SECONDS):
        began = time.process_time()
        insert(batches)
        spent += time.process_time() - began
        written += sum(len(batch.samples) for batch in batches)
    bytes_per_row = size() / written
    traffic = Traffic(1)
    day = [traffic.sample(EPOCH + at) for at in range(0, DAY_SECONDS, 10)]
    insert([Batch(workload(0), []), Batch(workload(1), day)])
    taken = []
    for _ in range(QUERIES):
        asked = (time.process_time(), time.perf_counter())
        ask()
        taken.append(_since(asked))
    per_row = bytes_per_row * SLOTS
    return Cost(spent / ROW_SECONDS, per_row * _ROWS_OF_A_DAY, per_row * _ROWS_OF_A_MONTH, _middle(taken))


def _sqlite_rows(directory: Path) -> Cost:
    path = directory / "rows.sqlite"
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")
    database.execute(
        f"CREATE TABLE samples (slot, moment, {', '.join(_NAMES)}, PRIMARY KEY (slot, moment)) WITHOUT ROWID"
    )
    marks = ", ".join("?" * (2 + len(_NAMES)))

    def insert(batches: Sequence[Batch]) -> None:
        database.execute("BEGIN")
        database.executemany(f"INSERT OR REPLACE INTO samples VALUES ({marks})", _rows(batches))
        database.execute("COMMIT")

    def size() -> int:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return path.stat().st_size

    cost = _row_cost(insert, lambda: database.execute(_BY_MINUTE).fetchall(), size)
    database.close()
    return cost


def _duckdb_rows(directory: Path) -> Cost:
    """Raises ImportError when it is not installed."""
    import duckdb

    path = directory / "rows.duckdb"
    database = duckdb.connect(str(path))
    database.execute("SET threads = 1")
    columns = ", ".join(f"{name} {'DOUBLE' if name == 'moment' else 'BIGINT'}" for name in ("slot", "moment", *_NAMES))
    database.execute(f"CREATE TABLE samples ({columns})")

    def insert(batches: Sequence[Batch]) -> None:
        arrays: Mapping[str, object] = {
            name: np.array([0 if value is None else value for value in values])
            for name, values in zip(("slot", "moment", *_NAMES), zip(*_rows(batches), strict=True), strict=True)
        }
        database.execute("INSERT INTO samples SELECT * FROM arrays")
        del arrays

    def size() -> int:
        database.execute("CHECKPOINT")
        return path.stat().st_size

    cost = _row_cost(insert, lambda: database.execute(_BY_MINUTE).fetchall(), size)
    database.close()
    return cost


def _with_numpy(samples: Sequence[Sample]) -> bytes:
    """The same blocks: each column in the smallest whole numbers that hold it, then zlib."""
    table = np.array([sample.values for sample in samples], dtype=float).T
    parts = []
    for number, column in enumerate(table):
        if np.isnan(column).all() or not column.any():
            continue
        whole = column.astype(np.uint64) if not np.isnan(column).any() else None
        kind = np.min_scalar_type(int(column.max())) if whole is not None and (whole == column).all() else column.dtype
        parts.append(bytes([number]) + column.astype(kind).tobytes())
    return zlib.compress(b"".join(parts), 6)


def _packing(samples: Sequence[Sample], pack: Callable[[Sequence[Sample]], bytes]) -> float:
    """Seconds of CPU for one block."""
    began = time.process_time()
    for _ in range(200):
        pack(samples)
    return (time.process_time() - began) / 200


def _measuring() -> float:
    """Cores for turning readings of all slots into samples, once a second."""
    meter, total = Meter(0.0), 2000
    statuses = [0, 0, 0, 0, 0]
    readings = []
    for number in range(total):
        statuses[1] += 20
        latency = tuple(number * place for place in range(len(LATENCY)))
        readings.append(Reading(SlotTraffic(20 * number, number, 3, latency, tuple(statuses)), number, number, 0))
    began = time.process_time()
    for number, reading in enumerate(readings):
        meter.read(float(number), reading)
    return (time.process_time() - began) / total * SLOTS


def _judged(name: str, cost: Cost, *, ours: bool) -> Iterator[Row]:
    figures = (
        ("cores", f"{SLOTS:,} busy slots at 1 s", f"<= {MOST_CORES:.0%} of a core", f"{cost.cores:.1%}",
         cost.cores <= MOST_CORES),
        ("a day on disk", f"{SLOTS:,} slots, from one", "<= 1 GB", f"{cost.day_bytes / 1e6:,.0f} MB",
         cost.day_bytes <= MOST_BYTES),
        ("a day by the minute", f"{METRIC.name} of a slot, median of {QUERIES}", "<= 100 ms",
         f"{cost.query[0] * 1000:.0f} ms of CPU, {cost.query[1] * 1000:.0f} ms on the clock",
         cost.query[0] <= MOST_QUERY_SECONDS),
    )  # fmt: skip
    for what, measured, target, result, met in figures:
        row = Row(f"{name}: {what}", measured, target, result, met)
        yield row if ours else information(row.name, measured, result)
    yield information(f"{name}: 30 days on disk", f"{SLOTS:,} slots, from a day", f"{cost.month_bytes / 1e6:,.0f} MB")


def measure() -> Sequence[Row]:
    rows: list[Row] = []
    with temporary_directory() as directory:
        ours = _ours(directory)
        rows += _judged("blocks in SQLite (ours)", ours, ours=True)
        rows += _judged("rows in SQLite", _sqlite_rows(directory), ours=False)
        try:
            rows += _judged("rows in DuckDB", _duckdb_rows(directory), ours=False)
        except ImportError:
            rows.append(unavailable("rows in DuckDB", "", "", "not installed: pip install duckdb"))
    traffic = Traffic(2)
    for count in (WRITE_SECONDS, 30, 60):
        samples = [traffic.sample(float(at)) for at in range(count)]
        plain, numpy = (_packing(samples, pack) for pack in (encode, _with_numpy))
        what = f"CPU time, {count} samples"
        rows.append(information("a block packed with numpy / without", what, f"{numpy / plain:.1f} x"))
    rows.append(information("measuring", f"readings of {SLOTS:,} slots to samples", f"{_measuring():.1%} of a core"))
    return rows
