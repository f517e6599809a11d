"""Latency as counts in buckets: cheap to count in the router, exact to merge. A quantile comes from merged counts,
never from an average of quantiles.

Latency is the time from a request's arrival at the router to the head of its answer.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import zip_longest

EDGES_MILLISECONDS: tuple[float, ...] = (
    *(0.5, 1, 2, 5, 10, 20, 30, 50, 75, 100, 150, 200, 300, 500, 750),
    *(1000, 2000, 5000, 10_000, 30_000, 60_000),
)
"""Bucket `i` counts latencies above edge `i - 1` and up to edge `i`; one more bucket counts what is above the last."""

Histogram = tuple[int, ...]
"""Requests per bucket; empty when nothing was measured."""


def bucket_of(milliseconds: float) -> int:
    """Which bucket counts it."""
    return bisect_left(EDGES_MILLISECONDS, milliseconds)


def counted(histogram: Sequence[int], milliseconds: float) -> Histogram:
    """The histogram with one more request in it."""
    counts = list(histogram or (0,) * (len(EDGES_MILLISECONDS) + 1))
    counts[bucket_of(milliseconds)] += 1
    return tuple(counts)


def merged(histograms: Iterable[Sequence[int]]) -> Histogram:
    """The histogram of all of them together."""
    return tuple(map(sum, zip_longest(*histograms, fillvalue=0)))


def edge_at_least(milliseconds: float) -> float:
    """The smallest edge that is not below: a limit is measured there. Infinite above the last one."""
    position = bisect_left(EDGES_MILLISECONDS, milliseconds)
    return EDGES_MILLISECONDS[position] if position < len(EDGES_MILLISECONDS) else float("inf")


def slower_than(histogram: Sequence[int], milliseconds: float) -> int:
    """Requests that were certainly slower; exact when `milliseconds` is an edge."""
    return sum(histogram[bisect_left(EDGES_MILLISECONDS, milliseconds) + 1 :])


def slowest(histogram: Sequence[int], count: int) -> Histogram:
    """The slowest `count` requests of the histogram, or all."""
    found = [0] * len(histogram)
    for position in range(len(histogram) - 1, -1, -1):
        found[position] = min(count, histogram[position])
        count -= found[position]
    return tuple(found)


def quantile(histogram: Sequence[float], share: float) -> float | None:
    """In milliseconds, interpolated within its bucket; None without requests. Above the last edge it is that edge:
    more is not known."""
    wanted = share * sum(histogram)
    passed = 0.0
    lower = 0.0
    for count, upper in zip(histogram, EDGES_MILLISECONDS, strict=False):
        if count and passed + count >= wanted:
            return lower + (upper - lower) * max(0.0, wanted - passed) / count
        passed += count
        lower = upper
    return EDGES_MILLISECONDS[-1] if sum(histogram) else None
