"""From counters to points: nothing negative, nothing lost, nothing made up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bluegreen.domain.columns import LATENCY
from bluegreen.domain.latency import EDGES_MILLISECONDS
from bluegreen.domain.model import SlotTraffic
from bluegreen.domain.sample import Sample, thinned
from bluegreen.domain.series import METRICS, Point, described, points, summary
from bluegreen.domain.window import Window
from tests.domain.samples import counted, read, spread_over

RATE, ERRORS, HEALTH = METRICS["request_rate"], METRICS["request_error_rate"], METRICS["health_check_success"]
IN_FLIGHT, RESTARTS = METRICS["requests_in_flight"], METRICS["restarts"]


def values(found: list[Point]) -> list[float | None]:
    return [point.value for point in found]


# -- counters --------------------------------------------------------------------------------------------------------

readings = st.lists(st.tuples(st.integers(10, 30_000), st.one_of(st.none(), st.integers(0, 1000))), max_size=40)
Drawn = list[tuple[int, int | None]]


def as_samples(drawn: Drawn) -> list[Sample]:
    at, found = 0, []
    for gap, count in drawn:
        at += gap
        found.append((at / 1000, None if count is None else SlotTraffic(count, count // 3)))
    return read(found)


def total(samples: list[Sample]) -> float:
    return sum(sample["requests"] or 0 for sample in samples)


@given(readings, st.floats(1, 60))
def test_points_times_their_width_are_all_requests_whatever_was_reset(drawn: Drawn, step: float) -> None:
    samples = as_samples(drawn)
    over = Window(0.0, max([1.0, *(sample.at for sample in samples)]), step)
    found = points(RATE, [samples], over)
    assert all(point.value is None or point.value >= 0 for point in found)
    assert sum((point.value or 0) * point.weight for point in found) == pytest.approx(total(samples), abs=1e-6)


@given(readings, st.sampled_from([(1.0, 10.0), (10.0, 10.0), (10.0, 60.0), (60.0, 60.0)]))
def test_a_window_says_the_same_of_thinned_samples(drawn: Drawn, steps: tuple[float, float]) -> None:
    """Where no sample reaches over an edge of a step, thinned or not makes no difference at all; where one does, only
    which of its steps a part of it falls into."""
    thin, step = steps
    samples = as_samples(drawn)
    over = Window(0.0, max([step, *(sample.at for sample in samples)]), None)
    for metric in METRICS.values():
        (direct,), (later,) = (points(metric, [some], over) for some in (samples, thinned(samples, thin)))
        assert later.value == (None if direct.value is None else pytest.approx(direct.value, abs=1e-6))


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 21)), min_size=1, max_size=200))
def test_steps_drawn_from_seconds_and_from_ten_seconds_are_the_same(drawn: list[tuple[int, int]]) -> None:
    seconds = [spread_over({bucket: count}, at=float(at)) for at, (count, bucket) in enumerate(drawn, 1)]
    over = Window(0.0, 60.0 * (1 + len(seconds) // 60), 60.0)
    for name in ("request_rate", "request_error_rate", "request_latency_p50", "request_latency_p99"):
        fine = values(points(METRICS[name], [seconds], over))
        for step in (10.0, 60.0):
            coarse = values(points(METRICS[name], [thinned(seconds, step)], over))
            assert coarse == [None if value is None else pytest.approx(value) for value in fine]


@given(readings, readings, st.floats(1, 60))
def test_shares_are_shares_and_their_average_is_the_share_of_all(one: Drawn, other: Drawn, step: float) -> None:
    workloads = [as_samples(one), as_samples(other)]
    over = Window(0.0, max([1.0, *(sample.at for samples in workloads for sample in samples)]), step)
    for metric in (ERRORS, HEALTH):
        found = points(metric, workloads, over)
        assert all(point.value is None or 0 <= point.value <= 1 for point in found)
        told = summary(found)
        if told.avg is not None:
            assert told.min is not None and told.max is not None
            assert told.min <= told.avg <= told.max


@given(readings, readings, st.floats(1, 60))
def test_workloads_together_are_the_sum_of_each(one: Drawn, other: Drawn, step: float) -> None:
    workloads = [as_samples(one), as_samples(other)]
    over = Window(0.0, 600.0, step)
    both = values(points(RATE, workloads, over))
    first, second = (values(points(RATE, [samples], over)) for samples in workloads)
    for together, a, b in zip(both, first, second, strict=True):
        known = [value for value in (a, b) if value is not None]
        assert together == (pytest.approx(sum(known)) if known else None)


def test_a_rate_between_rare_samples_is_even_and_not_a_spike() -> None:
    found = points(RATE, [counted(0, 50, 100, every=5.0)], Window(0, 10, 1.0))
    assert values(found) == pytest.approx([10.0] * 10)
    assert summary(found).avg == pytest.approx(10.0)


def test_a_restarted_router_makes_no_negative_rate() -> None:
    assert values(points(RATE, [counted(100, 110, 4, 6)], Window(0, 3, 1.0))) == [10, 4, 2]


def test_nothing_is_known_where_nobody_could_read() -> None:
    found = points(RATE, [counted(None, 10, 20, None)], Window(0, 4, 1.0))
    assert values(found) == [None, 10, None, None]


def test_requests_before_the_start_are_not_counted() -> None:
    samples = [Sample.of(at, seconds=10, requests=100, errors=errors) for at, errors in ((10, 100), (20, 0))]
    assert summary(points(ERRORS, [samples], Window(10, 20, 5.0))).max == 0.0


def test_no_requests_have_no_error_rate() -> None:
    samples = [Sample.of(at, seconds=5, requests=n, errors=n // 2) for at, n in ((5, 0), (10, 10), (15, 0))]
    found = points(ERRORS, [samples], Window(0, 15, 5.0))
    assert values(found) == [None, 0.5, None]
    told = summary(found)
    assert (told.latest, told.avg) == (0.5, 0.5)


def test_the_average_of_error_rates_weighs_by_requests() -> None:
    samples = [Sample.of(10, seconds=10, requests=90, errors=0), Sample.of(20, seconds=10, requests=10, errors=10)]
    told = summary(points(ERRORS, [samples], Window(0, 20, 10.0)))
    assert (told.min, told.max, told.latest) == (0.0, 1.0, 1.0)
    assert told.avg == pytest.approx(0.1)


def test_errors_of_two_workloads_are_added_before_they_are_divided() -> None:
    busy = [Sample.of(10, seconds=10, requests=990, errors=0)]
    broken = [Sample.of(10, seconds=10, requests=10, errors=10)]
    assert values(points(ERRORS, [busy, broken], Window(0, 10, 10.0))) == [pytest.approx(0.01)]


def test_connection_errors_are_told_apart_from_errors() -> None:
    samples = [Sample.of(10, seconds=10, requests=100, errors=30, connection_errors=20)]
    assert values(points(METRICS["request_connection_error_rate"], [samples], Window(0, 10))) == [0.2]


# -- latency ---------------------------------------------------------------------------------------------------------


def test_a_quantile_comes_from_all_requests_together() -> None:
    """99 fast ones here and a slow one there: the median of both is fast, the average of two medians would not be."""
    fast, slow = [spread_over({0: 99}, at=10, seconds=10)], [spread_over({20: 1}, at=10, seconds=10)]
    over = Window(0, 10)
    (together,) = points(METRICS["request_latency_p50"], [fast, slow], over)
    assert together.value is not None and together.value <= 0.5
    assert together.weight == 100
    (high,) = points(METRICS["request_latency_p99"], [fast, slow[:0]], over)
    assert high.value is not None and high.value <= 0.5


def test_the_average_of_a_latency_is_that_of_the_whole_time() -> None:
    samples = [spread_over({0: 99}, at=10, seconds=10), spread_over({20: 1}, at=20, seconds=10)]
    found, told = described(METRICS["request_latency_p50"], [samples], Window(0, 20, 10.0))
    assert told.avg is not None and told.avg <= 0.5
    assert (told.latest or 0) > 30_000
    assert len(found) == 2


def test_latency_beyond_the_last_bucket_is_told_as_its_edge() -> None:
    samples = [spread_over({len(LATENCY) - 1: 5}, at=1)]
    assert values(points(METRICS["request_latency_p90"], [samples], Window(0, 1))) == [EDGES_MILLISECONDS[-1]]


def test_a_router_that_measures_no_latency_has_none() -> None:
    assert values(points(METRICS["request_latency_p90"], [counted(0, 10, 20)], Window(0, 2, 1.0))) == [None, None]


# -- checks and levels -----------------------------------------------------------------------------------------------


def test_a_step_without_a_check_has_no_health() -> None:
    samples = [
        Sample.of(at, checks=checks, checks_passed=1 if checks else 0) for at, checks in ((1, 1), (2, 0), (3, 2))
    ]
    found = points(HEALTH, [samples], Window(0, 3, 1.0))
    assert values(found) == [1.0, None, 0.5]
    assert summary(found).avg == pytest.approx(2 / 3)


def test_a_level_is_the_last_value_of_the_step_and_is_believed_for_a_while() -> None:
    samples = [Sample.of(0.5, in_flight=3), Sample.of(0.9, in_flight=1), Sample.of(5.5, in_flight=7)]
    assert values(points(IN_FLIGHT, [samples], Window(0, 8, 1.0))) == [1, 1, 1, 1, 1, 7, 7, 7]
    assert values(points(IN_FLIGHT, [samples], Window(20, 30, 5.0))) == [None, None]


def test_a_value_is_not_believed_over_an_outage() -> None:
    samples = [Sample.of(0, in_flight=3), Sample.of(1000, in_flight=1)]
    assert values(points(IN_FLIGHT, [samples], Window(400, 600, 100.0))) == [None, None]


def test_restarts_are_those_since_the_workload_began() -> None:
    samples = [Sample.of(at, restarts=at // 2) for at in range(10)]
    assert values(points(RESTARTS, [samples], Window(5, 9, 2.0))) == [3, 4, 4]


def test_nothing_measured_makes_an_empty_summary() -> None:
    for metric in METRICS.values():
        found, told = described(metric, [], Window(0, 10, 1.0))
        assert values(found) == [None] * 10
        assert told == summary([])
