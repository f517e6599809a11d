"""The token bucket. Times and rates are halves, quarters and so on, so that floats are exact here."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bluegreen.domain.rate_limit import Bucket, full, take

GAPS = st.lists(st.integers(0, 4096).map(lambda n: n / 1024), min_size=1, max_size=60)
RATES = st.sampled_from([0.25, 0.5, 1.0, 2.0, 8.0, 64.0])
BURSTS = st.integers(1, 20)


def allowed_at(gaps: list[float], rate: float, burst: int) -> list[float]:
    bucket, now, allowed = full(0.0, burst), 0.0, []
    for gap in gaps:
        now += gap
        taken = take(bucket, now, rate=rate, burst=burst)
        bucket = taken.bucket
        if taken.allowed:
            allowed.append(now)
    return allowed


@given(GAPS, RATES, BURSTS)
def test_never_more_than_burst_plus_rate_times_t_in_any_window(gaps: list[float], rate: float, burst: int) -> None:
    allowed = allowed_at(gaps, rate, burst)
    for first, begin in enumerate(allowed):
        for last in range(first, len(allowed)):
            assert last - first + 1 <= burst + rate * (allowed[last] - begin) + 1e-6


@given(GAPS, RATES, BURSTS)
def test_who_comes_back_when_told_is_let_in_and_not_a_moment_earlier(
    gaps: list[float], rate: float, burst: int
) -> None:
    bucket, now = full(0.0, burst), 0.0
    for gap in gaps:
        now += gap
        taken = take(bucket, now, rate=rate, burst=burst)
        bucket = taken.bucket
        assert taken.allowed == (taken.retry_after_seconds == 0)
        if not taken.allowed:
            assert take(bucket, now + taken.retry_after_seconds, rate=rate, burst=burst).allowed
            assert not take(bucket, now + taken.retry_after_seconds * 0.99, rate=rate, burst=burst).allowed


@given(st.floats(0, 1e9), st.floats(0.001, 1e5), st.floats(0, 100))
def test_the_same_holds_for_any_float(now: float, rate: float, level: float) -> None:
    taken = take(Bucket(level % 1.0, now), now, rate=rate, burst=1)
    if not taken.allowed:
        # The clock itself may not be able to show so small a step.
        later = max(now + taken.retry_after_seconds, now)
        assert take(taken.bucket, later + 1e-6, rate=rate, burst=1).allowed


@given(BURSTS, RATES)
def test_a_burst_is_let_in_at_once_and_the_next_is_not(burst: int, rate: float) -> None:
    assert len(allowed_at([0.0] * (burst + 3), rate, burst)) == burst


@given(RATES, BURSTS, st.integers(1, 4096))
def test_a_clock_that_goes_back_gives_nothing_away(rate: float, burst: int, back: int) -> None:
    bucket = Bucket(0.0, 100.0)
    taken = take(bucket, 100.0 - back / 1024, rate=rate, burst=burst)
    assert not taken.allowed
    assert taken.bucket == bucket
    assert take(taken.bucket, 100.0 - back / 1024 + taken.retry_after_seconds, rate=rate, burst=burst).allowed


def test_a_smaller_burst_counts_at_once() -> None:
    taken = take(full(0.0, 100), 0.0, rate=1.0, burst=1)
    assert taken.allowed
    assert not take(taken.bucket, 0.0, rate=1.0, burst=1).allowed
