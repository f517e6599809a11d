"""Latency buckets: merging is exact, and a quantile comes from the merged counts."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bluegreen.domain.latency import EDGES_MILLISECONDS, edge_at_least, merged, quantile, slower_than

BUCKETS = len(EDGES_MILLISECONDS) + 1
histograms = st.lists(st.integers(0, 1000), min_size=BUCKETS, max_size=BUCKETS).map(tuple)


def histogram_of(*milliseconds: float) -> tuple[int, ...]:
    counts = [0] * BUCKETS
    for value in milliseconds:
        counts[next((i for i, edge in enumerate(EDGES_MILLISECONDS) if value <= edge), BUCKETS - 1)] += 1
    return tuple(counts)


@given(st.lists(st.floats(0.01, 100_000), min_size=1, max_size=200), st.floats(0.01, 0.999))
def test_a_quantile_lies_in_the_bucket_of_the_exact_one(values: list[float], share: float) -> None:
    exact = sorted(values)[max(0, math.ceil(share * len(values) - 1e-9) - 1)]
    found = quantile(histogram_of(*values), share)
    assert found is not None
    upper = edge_at_least(exact)
    if math.isinf(upper):
        assert found == EDGES_MILLISECONDS[-1]
        return
    position = EDGES_MILLISECONDS.index(upper)
    lower = EDGES_MILLISECONDS[position - 1] if position else 0.0
    assert lower <= found <= upper


@given(histograms, st.floats(0, 1), st.floats(0, 1))
def test_quantiles_are_in_order(histogram: tuple[int, ...], one: float, other: float) -> None:
    low, high = quantile(histogram, min(one, other)), quantile(histogram, max(one, other))
    assert (low is None) == (sum(histogram) == 0)
    assert low is None or high is None or low <= high


@given(histograms, histograms)
def test_merging_adds_up(first: tuple[int, ...], second: tuple[int, ...]) -> None:
    both = merged([first, second])
    assert sum(both) == sum(first) + sum(second)
    assert merged([first, ()]) == first
    for edge in EDGES_MILLISECONDS:
        assert slower_than(both, edge) == slower_than(first, edge) + slower_than(second, edge)


def test_limits_are_measured_at_an_edge() -> None:
    assert edge_at_least(500) == 500
    assert edge_at_least(501) == 750
    assert edge_at_least(70_000) == math.inf
    histogram = histogram_of(499, 500, 501, 60_001)
    assert slower_than(histogram, 500) == 2
    assert slower_than(histogram, 60_000) == 1
    assert slower_than((), 500) == 0


def test_nothing_measured_has_no_quantile() -> None:
    assert quantile((), 0.5) is None
    assert quantile((0,) * BUCKETS, 0.5) is None
    assert quantile(histogram_of(90_000), 0.5) == pytest.approx(60_000)
