"""From counters to points: nothing negative, nothing lost, nothing made up."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bluegreen.domain.errors import UsageError
from bluegreen.domain.sample_ring import SampleRing
from bluegreen.domain.series import (
    DEFAULT_POINTS,
    MAX_POINTS,
    METRICS,
    Point,
    Sample,
    Tally,
    Window,
    growth,
    points,
    summary,
    window,
)

RATE, ERRORS, HEALTH = METRICS["request_rate"], METRICS["request_error_rate"], METRICS["health_check_success"]
IN_FLIGHT, RESTARTS = METRICS["requests_in_flight"], METRICS["restarts"]


def values(found: list[Point]) -> list[float | None]:
    return [point.value for point in found]


def counted(*requests: int | None, every: float = 1.0, errors: int = 0) -> list[Sample]:
    return [
        Sample(number * every, requests=count, errors=None if count is None else min(count, errors))
        for number, count in enumerate(requests)
    ]


# -- windows ---------------------------------------------------------------------------------------------------------


@given(st.floats(0, 1e9), st.floats(0.001, 1e8))
def test_without_a_step_there_are_few_points_and_the_last_ends_at_the_end(start: float, width: float) -> None:
    over = window(start, start + max(width, 0.001), None)
    edges = over.edges
    assert len(edges) - 1 <= DEFAULT_POINTS
    assert over.step >= 1
    assert (edges[0], edges[-1]) == (over.start, over.end)
    assert all(a < b for a, b in itertools.pairwise(edges))


@given(st.floats(0, 1e9), st.floats(1, 1e5), st.floats(1, 1e4))
def test_all_steps_but_the_first_are_as_wide_as_asked(start: float, width: float, step: float) -> None:
    if width / step > MAX_POINTS:
        return
    edges = window(start, start + width, step).edges
    widths = [b - a for a, b in itertools.pairwise(edges)]
    assert all(math.isclose(found, step, rel_tol=1e-6, abs_tol=1e-6) for found in widths[1:])
    assert 0 < widths[0] <= step * (1 + 1e-6)


@pytest.mark.parametrize(
    ("start", "end", "step", "problem"),
    [
        (10, 10, None, "startTime: must be before endTime"),
        (11, 10, None, "startTime: must be before endTime"),
        (0, 86_400, 1.0, "step: 1s makes 86400 points of 86400 s, the limit is 10000"),
        (0, 10, 0.5, "step: must be at least 1s, got 0.5s"),
    ],
)
def test_windows_that_are_refused(start: float, end: float, step: float | None, problem: str) -> None:
    with pytest.raises(UsageError) as caught:
        window(start, end, step)
    assert caught.value.message.startswith(problem)
    if "points" in problem:
        assert "9s" in caught.value.hint


@pytest.mark.parametrize(("width", "step"), [(60, 1), (120, 2), (300, 5), (3600, 60), (86_400, 1800)])
def test_default_steps_are_round(width: float, step: float) -> None:
    assert window(0, width, None).step == step


# -- counters --------------------------------------------------------------------------------------------------------

readings = st.lists(st.tuples(st.floats(0.01, 30), st.one_of(st.none(), st.integers(0, 1000))), max_size=40)


def as_samples(drawn: list[tuple[float, int | None]]) -> list[Sample]:
    at, samples = 0.0, []
    for gap, count in drawn:
        at += gap
        errors = None if count is None else count // 3
        samples.append(Sample(at, requests=count, errors=errors, checks=count, checks_passed=errors))
    return samples


def total_growth(samples: list[Sample]) -> int:
    known = [sample.requests for sample in samples if sample.requests is not None]
    return sum(growth(a, b) for a, b in itertools.pairwise(known))


@given(readings, st.floats(1, 60))
def test_points_times_their_width_are_all_requests_whatever_was_reset(
    drawn: list[tuple[float, int | None]], step: float
) -> None:
    samples = as_samples(drawn)
    over = Window(0.0, max([1.0, *(sample.at for sample in samples)]), step)
    found = points(RATE, [samples], over)
    assert all(point.value is None or point.value >= 0 for point in found)
    assert sum((point.value or 0) * point.weight for point in found) == pytest.approx(total_growth(samples), abs=1e-6)


@given(readings, readings, st.floats(1, 60))
def test_shares_are_shares_and_their_average_is_the_share_of_all(
    one: list[tuple[float, int | None]], other: list[tuple[float, int | None]], step: float
) -> None:
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
def test_workloads_together_are_the_sum_of_each(
    one: list[tuple[float, int | None]], other: list[tuple[float, int | None]], step: float
) -> None:
    workloads = [as_samples(one), as_samples(other)]
    over = Window(0.0, 600.0, step)
    both = values(points(RATE, workloads, over))
    first, second = (values(points(RATE, [samples], over)) for samples in workloads)
    for together, a, b in zip(both, first, second, strict=True):
        known = [value for value in (a, b) if value is not None]
        assert together == (pytest.approx(sum(known)) if known else None)


@given(st.lists(st.integers(0, 10_000)))
def test_a_tally_never_shrinks_and_misses_nothing(counts: list[int]) -> None:
    tally = Tally()
    totals = [tally.add(count) for count in counts]
    assert totals == sorted(totals)
    assert (totals or [0])[-1] == sum(growth(a, b) for a, b in zip([0, *counts], counts, strict=False))


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
    samples = [
        Sample(0, requests=0, errors=0),
        Sample(10, requests=100, errors=100),
        Sample(20, requests=200, errors=100),
    ]
    assert summary(points(ERRORS, [samples], Window(10, 20, 5.0))).max == 0.0


def test_no_requests_have_no_error_rate() -> None:
    samples = [Sample(at, requests=at // 10 * 10, errors=at // 10 * 5) for at in (0, 5, 10, 15)]
    found = points(ERRORS, [samples], Window(0, 15, 5.0))
    assert values(found) == [None, 0.5, None]
    told = summary(found)
    assert (told.latest, told.avg) == (0.5, 0.5)


def test_the_average_of_error_rates_weighs_by_requests() -> None:
    samples = [Sample(0, requests=0, errors=0), Sample(10, requests=90, errors=0), Sample(20, requests=100, errors=10)]
    told = summary(points(ERRORS, [samples], Window(0, 20, 10.0)))
    assert (told.min, told.max, told.latest) == (0.0, 1.0, 1.0)
    assert told.avg == pytest.approx(0.1)


def test_errors_of_two_workloads_are_added_before_they_are_divided() -> None:
    busy = [Sample(0, requests=0, errors=0), Sample(10, requests=990, errors=0)]
    broken = [Sample(0, requests=0, errors=0), Sample(10, requests=10, errors=10)]
    assert values(points(ERRORS, [busy, broken], Window(0, 10, 10.0))) == [pytest.approx(0.01)]


# -- checks and gauges -----------------------------------------------------------------------------------------------


def test_a_step_without_a_check_has_no_health() -> None:
    samples = [Sample(0, checks=0, checks_passed=0), Sample(1, checks=1, checks_passed=1),
               Sample(2, checks=1, checks_passed=1), Sample(3, checks=3, checks_passed=2)]  # fmt: skip
    found = points(HEALTH, [samples], Window(0, 3, 1.0))
    assert values(found) == [1.0, None, 0.5]
    assert summary(found).avg == pytest.approx(2 / 3)


def test_a_gauge_is_the_last_value_of_the_step_and_is_believed_for_a_while() -> None:
    samples = [Sample(0.5, in_flight=3), Sample(0.9, in_flight=1), Sample(5.5, in_flight=7)]
    assert values(points(IN_FLIGHT, [samples], Window(0, 8, 1.0))) == [1, 1, 1, 1, 1, 7, 7, 7]
    assert values(points(IN_FLIGHT, [samples], Window(20, 30, 5.0))) == [None, None]


def test_a_value_is_not_believed_over_a_long_outage() -> None:
    samples = [Sample(0, in_flight=3), Sample(1000, in_flight=1)]
    assert values(points(IN_FLIGHT, [samples], Window(400, 600, 100.0))) == [None, None]


def test_restarts_are_those_since_the_workload_began() -> None:
    samples = [Sample(at, restarts=at // 2) for at in range(10)]
    assert values(points(RESTARTS, [samples], Window(5, 9, 2.0))) == [3, 4]


def test_nothing_measured_makes_an_empty_summary() -> None:
    for metric in METRICS.values():
        found = points(metric, [], Window(0, 10, 1.0))
        assert values(found) == [None] * 10
        assert summary(found) == summary([])


# -- the ring --------------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.floats(0.05, 400), st.integers(0, 50)), min_size=2, max_size=400), st.floats(0, 1))
def test_a_ring_loses_no_request_however_it_thins_out(drawn: list[tuple[float, int]], fraction: float) -> None:
    ring, at, total = SampleRing(), 0.0, 0
    for gap, more in drawn:
        at += gap
        total += more
        ring.add(Sample(at, requests=total))
    kept = ring.since(0.0)
    assert [sample.at for sample in kept] == sorted(sample.at for sample in kept)
    assert (kept[0].requests, kept[-1].requests, kept[-1].at) == (drawn[0][1], total, at)
    start = at * fraction
    tail = ring.since(start)
    assert tail == kept[len(kept) - len(tail) :]
    assert tail[0].at <= start or len(tail) == len(kept)


def test_a_ring_is_bounded_and_still_knows_a_day() -> None:
    ring = SampleRing()
    for second in range(0, 2 * 86_400, 5):
        ring.add(Sample(float(second), requests=second))
    kept = ring.since(0.0)
    assert len(kept) <= 2 * (600 + 360 + 730)
    newest = kept[-1]
    assert newest == Sample(2 * 86_400 - 5.0, requests=2 * 86_400 - 5)
    assert kept[0].at <= 86_400
    assert len(ring.since(newest.at - 100)) >= 20
    found = points(RATE, [ring.since(newest.at - 86_400)], window(newest.at - 86_400, newest.at, 600.0))
    assert values(found) == pytest.approx([1.0] * 144)


def test_what_could_not_be_read_hides_nothing_that_was() -> None:
    ring = SampleRing()
    for tenth in range(100):
        ring.add(Sample(tenth / 10, requests=tenth if tenth % 2 else None, restarts=1))
    assert ring.since(0.0)[-1].requests == 99
    assert all(sample.requests is not None for sample in ring.since(0.0)[1:])
