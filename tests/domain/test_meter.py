"""From counters to what came between two readings."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from bluegreen.domain.columns import LATENCY, STATUSES
from bluegreen.domain.meter import LONGEST_SECONDS, Meter, Reading, came, growth
from bluegreen.domain.model import SlotTraffic
from tests.domain.samples import read

counts = st.integers(0, 10_000)


@given(st.lists(counts))
def test_growth_is_never_negative_and_misses_nothing_since_the_counter_began_anew(readings: list[int]) -> None:
    for before, after in itertools.pairwise(readings):
        assert growth(before, after) >= 0
        assert growth(before, after) in (after - before, after)


def test_a_counter_that_began_anew_took_all_the_others_with_it() -> None:
    before = SlotTraffic(100, 10, latency=(5, 95), statuses=(0, 90, 0, 0, 10), retries=1)
    after = SlotTraffic(8, 12, latency=(8, 0), statuses=(0, 0, 0, 0, 8), retries=3)
    assert came(before, after) == after


def test_everything_that_is_counted_is_in_the_sample() -> None:
    histogram = tuple(range(22))
    first = SlotTraffic(10, 1, 2, histogram, (0, 9, 0, 0, 1), 1, 2, 3)
    second = SlotTraffic(15, 2, 7, tuple(n + 1 for n in histogram), (0, 13, 0, 0, 2), 2, 4, 6)
    _, sample = read([(10.0, first), (12.5, second)])
    assert (sample.at, sample["seconds"], sample["requests"], sample["errors"]) == (12.5, 2.5, 5, 1)
    assert (sample["in_flight"], sample["connection_errors"], sample["aborted"], sample["retries"]) == (7, 1, 2, 3)
    assert [sample[name] for name in LATENCY] == [1] * 22
    assert [sample[name] for name in STATUSES] == [0, 4, 0, 0, 1]


def test_the_first_reading_counts_only_for_what_has_just_begun() -> None:
    (young,), (old,) = (read([(10.0, SlotTraffic(50))], born=born) for born in (4.0, None))
    assert (young["requests"], young["seconds"]) == (50, 6.0)
    assert (old["requests"], old["seconds"], old["in_flight"]) == (None, None, 0)


def test_a_reading_that_failed_hides_nothing_that_came() -> None:
    first, failed, last = read([(0.0, SlotTraffic(5)), (1.0, None), (2.0, SlotTraffic(9))])
    assert (failed["requests"], failed["seconds"], failed["in_flight"]) == (None, None, None)
    assert (last["requests"], last["seconds"]) == (4, 2.0)
    assert first["requests"] is None


def test_a_router_without_histograms_has_none_and_not_zeros() -> None:
    _, sample = read([(0.0, SlotTraffic(5)), (1.0, SlotTraffic(6))])
    assert sample[LATENCY[0]] is None and sample[STATUSES[1]] is None


def test_requests_are_not_spread_over_more_than_an_hour() -> None:
    _, sample = read([(0.0, SlotTraffic()), (86_400.0, SlotTraffic(9))])
    assert sample["seconds"] == LONGEST_SECONDS


def test_checks_and_restarts_begin_anew_without_a_step_back() -> None:
    meter = Meter(None)
    readings = [Reading(None, 3, 2, 1), Reading(None, 5, 4, 4), Reading(None, 2, 1, 1), Reading(None, 2, 1, None)]
    found = [meter.read(float(at), reading) for at, reading in enumerate(readings)]
    assert [sample["checks"] for sample in found] == [3, 2, 2, 0]
    assert [sample["checks_passed"] for sample in found] == [2, 2, 1, 0]
    assert [sample["restarts"] for sample in found] == [1, 4, 5, None]


def test_what_the_machine_says_has_columns_like_the_rest() -> None:
    sample = Meter(None).read(1.0, Reading(machine={"in_flight": 3.5}))
    assert sample["in_flight"] == 3.5
