"""Evidence in the order in which requests came: what is counted late blames nobody, and what is bad is still found."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bluegreen.domain.arrivals import MOST, RECENT_SECONDS, Arrivals
from bluegreen.domain.latency import EDGES_MILLISECONDS, slowest
from bluegreen.domain.model import SlotTraffic
from bluegreen.domain.sequential import Counted, Evidence, bound, gains_against_limit
from bluegreen.domain.service import Policy
from bluegreen.domain.verdict import Answer, judge_errors, judge_latency
from bluegreen.domain.watch import Watch, yardstick

POLICY = Policy(max_error_rate=0.01, min_requests=20)
LIMIT = 0.01

counts = st.integers(1, 500).flatmap(lambda n: st.builds(Counted, st.just(n), st.integers(0, min(n, 20))))
batches = st.lists(st.tuples(counts, st.integers(0, 200), st.integers(0, 90)), min_size=1, max_size=15).map(
    lambda some: sorted(some, key=lambda entry: entry[1])
)


def folded(some: list[tuple[Counted, int, int]]) -> Arrivals:
    """Counted, the second in which, and how long the events had taken."""
    arrivals = Arrivals()
    for counted, second, took in some:
        came = {max(0, second - took): counted.events} if counted.events else {}
        arrivals = arrivals.after(counted, came, float(second), LIMIT)
    return arrivals


@given(batches)
def test_without_delays_it_is_the_plain_evidence(some: list[tuple[Counted, int, int]]) -> None:
    plain = Evidence()
    for counted, second, _ in some:
        plain = plain.after(gains_against_limit(counted, LIMIT), float(second))
    assume(plain.value < MOST / 2)
    at_once = folded([(counted, second, 0) for counted, second, _ in some])
    assert at_once.value(LIMIT) == pytest.approx(plain.value, rel=1e-9, abs=1e-6)


@given(batches, st.integers(0, 1000), st.integers(0, 1000))
def test_what_came_earlier_or_waits_never_strengthens_it(
    some: list[tuple[Counted, int, int]], waiting: int, waited: int
) -> None:
    delayed, at_once = folded(some), folded([(counted, second, 0) for counted, second, _ in some])
    assert delayed.value(LIMIT) <= at_once.value(LIMIT) + 1e-9
    in_flight = replace(delayed, waiting=waiting, waited=waited).value(LIMIT)
    assert in_flight <= delayed.value(LIMIT) + 1e-9
    assert not math.isnan(in_flight)
    assert all(its.second >= delayed.recent[-1].second - RECENT_SECONDS for its in delayed.recent)


@given(batches, st.sampled_from([0.0, 1.0, 1e-12, 0.5, 1 - 1e-12]))
def test_it_is_a_number_at_every_limit(some: list[tuple[Counted, int, int]], limit: float) -> None:
    arrivals = Arrivals()
    for counted, second, _ in some:
        arrivals = arrivals.after(counted, {second: counted.events}, float(second), limit)
    assert math.isfinite(arrivals.value(limit))


@given(st.lists(st.integers(0, 50), max_size=22).map(tuple), st.integers(0, 1200))
def test_the_slowest_are_taken_from_above(histogram: tuple[int, ...], count: int) -> None:
    found = slowest(histogram, count)
    assert sum(found) == min(count, sum(histogram))
    touched = [position for position, number in enumerate(found) if number]
    if touched:
        assert found[touched[0] + 1 :] == histogram[touched[0] + 1 :]


def looked_at(readings: list[SlotTraffic], policy: Policy = POLICY) -> list[Watch]:
    watch, seen = Watch(yardstick(policy, None, concurrent=False)), []
    for number, reading in enumerate(readings, 1):
        watch = watch.after(number / 10, reading, None, concurrent=False)
        seen.append(watch)
    return seen


def slow_service(share_of_errors: float, *, in_flight_is_known: bool) -> list[SlotTraffic]:
    """200 requests a second for half a minute. Good answers take ten seconds; errors come at once."""
    readings = []
    for look in range(1, 301):
        came = 20 * look
        errors = int(came * share_of_errors)
        good = max(0, came - 2000) - int(max(0, came - 2000) * share_of_errors)
        in_flight = came - errors - good if in_flight_is_known else 0
        readings.append(SlotTraffic(errors + good, errors, in_flight))
    return readings


def test_errors_that_come_before_the_good_answers_of_their_time_are_no_reason() -> None:
    within = looked_at(slow_service(0.005, in_flight_is_known=True))
    assert Answer.FAIL not in {judge_errors(watch, POLICY).answer for watch in within}
    blind = looked_at(slow_service(0.005, in_flight_is_known=False))
    assert judge_errors(blind[50], POLICY).answer is Answer.FAIL, "this is what the requests in flight are needed for"


def test_a_slow_service_that_fails_too_often_is_found_before_its_good_answers_are_there() -> None:
    seen = looked_at(slow_service(0.05, in_flight_is_known=True))
    first = next(watch.seconds for watch in seen if judge_errors(watch, POLICY).answer is Answer.FAIL)
    assert first < 3.0


def test_a_steady_number_of_open_streams_does_not_hide_a_version_that_breaks() -> None:
    streams = 5_000
    readings = [SlotTraffic(20 * look, 0, min(streams, 20 * look)) for look in range(1, 1201)]
    readings += [SlotTraffic(24_000 + 20 * look, 2 * look, streams) for look in range(1, 101)]
    assert judge_errors(looked_at(readings)[-1], POLICY).answer is Answer.FAIL


def broken_streams(share: float, *, after_seconds: float = 0.0) -> list[SlotTraffic]:
    """200 streams a second for three minutes; each lasts ten seconds, and this share of them breaks off then."""
    readings = []
    for look in range(1, 1801):
        ended = max(0, look - 100 - round(10 * after_seconds)) * 20
        broken = int(ended * share)
        readings.append(SlotTraffic(20 * look, broken, min(2000, 20 * look), truncated=broken))
    return readings


def test_streams_that_break_off_are_errors_though_they_began_well() -> None:
    seen = looked_at(broken_streams(0.05))
    verdict = next(found for watch in seen if (found := judge_errors(watch, POLICY)).answer is Answer.FAIL)
    assert "of them by breaking off in the middle" in verdict.reason
    late = [watch.seconds for watch in looked_at(broken_streams(0.5, after_seconds=120)) if _fails(watch)]
    assert 130 < late[0] < 140


def test_streams_that_break_off_as_often_as_is_allowed_are_no_reason() -> None:
    assert not any(_fails(watch) for watch in looked_at(broken_streams(0.01)))


def test_a_stream_that_breaks_off_while_nobody_asks_is_counted() -> None:
    before = SlotTraffic(100, 0, 50)
    watch = looked_at([before, *(replace(before, errors=some, truncated=some) for some in range(1, 51))])[-1]
    assert (watch.errors.mine, watch.errors.alone.total) == (Counted(100, 50), Counted(100, 50))
    assert _fails(watch)


def _fails(watch: Watch) -> bool:
    return judge_errors(watch, POLICY).answer is Answer.FAIL


def histogram(fast: int, slow: int, took_milliseconds: float) -> tuple[int, ...]:
    buckets = [0] * (len(EDGES_MILLISECONDS) + 1)
    buckets[EDGES_MILLISECONDS.index(20)] = fast
    buckets[EDGES_MILLISECONDS.index(took_milliseconds)] += slow
    return tuple(buckets)


def after_a_burst(slow_share: float) -> list[SlotTraffic]:
    """A minute of 100 requests a second, two seconds of 1,000, then 10. Slow answers take two seconds."""
    rates = [10] * 600 + [100] * 20 + [1] * 100
    came = [sum(rates[:look]) for look in range(len(rates) + 1)]
    readings = []
    for look in range(1, len(rates) + 1):
        fast = round(came[look] * (1 - slow_share))
        slow = int(came[max(0, look - 20)] * slow_share)
        readings.append(SlotTraffic(fast + slow, slow, 0, histogram(fast, slow, 2000)))
    return readings


def test_slow_answers_that_are_counted_after_a_burst_are_no_reason() -> None:
    policy = replace(POLICY, max_latency_ms=500.0, max_error_rate=0.01)
    for watch in looked_at(after_a_burst(0.01), policy):
        for verdict in (judge_errors(watch, policy), judge_latency(watch, policy)):
            assert verdict is not None
            assert verdict.answer is not Answer.FAIL, verdict.reason


def test_a_burst_that_is_slow_is() -> None:
    policy = replace(POLICY, max_latency_ms=500.0)
    verdict = judge_latency(looked_at(after_a_burst(0.08), policy)[-1], policy)
    assert verdict is not None
    assert verdict.answer is Answer.FAIL


def test_evidence_far_beyond_any_bound_stays_a_number() -> None:
    arrivals = Arrivals()
    for second in range(100):
        arrivals = arrivals.after(Counted(1000, 1000), {second: 1000}, float(second), LIMIT)
    assert bound(1e-300) < arrivals.value(LIMIT) < math.inf
