"""A day of samples in bounded memory, and no request lost by that."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bluegreen.domain.sample_ring import SampleRing
from bluegreen.domain.series import METRICS, Sample, Window, points

STEPS = st.lists(
    st.tuples(st.sampled_from([0.25, 1.0, 5.0, 60.0, 600.0]), st.integers(min_value=0, max_value=50)), max_size=300
)


def filled(steps: list[tuple[float, int]]) -> tuple[SampleRing, list[Sample]]:
    ring, given_samples, at, requests = SampleRing(), [], 1000.0, 0
    for pause, more in steps:
        at, requests = at + pause, requests + more
        given_samples.append(Sample(at, requests, 0, 0, 0, 0, 0))
        ring.add(given_samples[-1])
    return ring, given_samples


@given(STEPS)
def test_samples_come_back_in_order_and_the_newest_is_among_them(steps: list[tuple[float, int]]) -> None:
    ring, samples = filled(steps)
    found = ring.since(0.0)
    assert [sample.at for sample in found] == sorted({sample.at for sample in found})
    assert set(found) <= set(samples)
    if samples:
        assert found[-1] == samples[-1]
        assert ring.newest == samples[-1].at


@given(STEPS)
def test_no_request_is_lost_by_being_thinned_out(steps: list[tuple[float, int]]) -> None:
    ring, samples = filled(steps)
    if len(samples) < 2:
        return
    first, last = ring.since(0.0)[0], samples[-1]
    over = Window(first.at, last.at + 1.0, last.at + 1.0 - first.at)
    (point,) = points(METRICS["request_rate"], [ring.since(over.start)], over)
    counted = 0.0 if point.value is None else point.value * over.step
    assert counted == pytest.approx((last.requests or 0) - (first.requests or 0))


def test_a_week_of_seconds_takes_no_more_room_than_a_day() -> None:
    ring = SampleRing()
    for second in range(7 * 86_400 // 10):
        ring.add(Sample(second * 10.0, second, 0, 0, 0, 0, 0))
    kept = ring.since(0.0)
    assert len(kept) < 3000
    assert kept[-1].at - kept[0].at >= 86_400


def test_the_last_minutes_are_fine() -> None:
    ring = SampleRing()
    for second in range(3600):
        ring.add(Sample(float(second), second, 0, 0, 0, 0, 0))
    last_minute = [sample for sample in ring.since(3540.0) if sample.at > 3540.0]
    assert len(last_minute) >= 59
