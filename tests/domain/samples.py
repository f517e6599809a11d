"""Samples drawn at random, and made from counters."""

from __future__ import annotations

from hypothesis import strategies as st

from bluegreen.domain.columns import COLUMNS, LATENCY, Kind
from bluegreen.domain.meter import Meter, Reading
from bluegreen.domain.model import SlotTraffic
from bluegreen.domain.sample import Sample


def read(readings: list[tuple[float, SlotTraffic | None]], *, born: float | None = None) -> list[Sample]:
    """What a meter makes of these readings of the router."""
    meter = Meter(born)
    return [meter.read(at, Reading(traffic)) for at, traffic in readings]


def counted(*requests: int | None, every: float = 1.0, errors: int = 0) -> list[Sample]:
    """Of a counter that was read at 0, `every`, 2 `every`…; None when it could not be read."""
    return read(
        [
            (number * every, None if count is None else SlotTraffic(count, min(count, errors)))
            for number, count in enumerate(requests)
        ]
    )


def spread_over(latencies: dict[int, int], *, at: float, seconds: float = 1.0) -> Sample:
    """A sample with so many requests in these buckets of latency."""
    buckets = dict.fromkeys(LATENCY, 0) | {LATENCY[bucket]: count for bucket, count in latencies.items()}
    total = sum(latencies.values())
    return Sample.of(at, seconds=seconds, requests=total, errors=0, **buckets)


@st.composite
def samples(draw: st.DrawFn, *, most: int = 60, longest_gap: float = 40.0) -> list[Sample]:
    """Ascending, whole milliseconds, any column missing now and then."""
    at, found = draw(st.integers(0, 10_000_000)), []
    for _ in range(draw(st.integers(0, most))):
        gap = draw(st.integers(1, int(longest_gap * 1000)))
        at += gap
        values: list[float | None] = [None] * len(COLUMNS)
        for place in draw(st.lists(st.integers(0, len(COLUMNS) - 1), max_size=8, unique=True)):
            column = COLUMNS[place]
            whole = draw(st.integers(0, 2**33))
            values[place] = whole if column.kind is Kind.COUNT else draw(st.floats(0, 1e12))
        values[0] = gap / 1000
        found.append(Sample(at / 1000, tuple(values)))
    return found
