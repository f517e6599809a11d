"""Samples in bounded memory, and no request lost by that."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bluegreen.domain.sample import Sample
from bluegreen.domain.sample_ring import RECENT, UNWRITTEN, Kept, SampleRing

SMALL = (Kept(1.0, 20.0), Kept(10.0, 120.0), Kept(60.0, 100_000.0))
STEPS = st.lists(
    st.tuples(st.sampled_from([0.25, 1.0, 5.0, 60.0, 600.0]), st.integers(min_value=0, max_value=50)), max_size=300
)


def filled(steps: list[tuple[float, int]], ring: SampleRing) -> list[Sample]:
    given_samples: list[Sample] = []
    at = 1000.0
    for pause, requests in steps:
        at += pause
        given_samples.append(Sample.of(at, seconds=pause, requests=requests, restarts=len(given_samples)))
        ring.add(given_samples[-1])
    return given_samples


def total(samples: list[Sample]) -> float:
    return sum(sample["requests"] or 0 for sample in samples)


@given(STEPS)
def test_samples_come_back_in_order_and_none_that_is_kept_is_lost(steps: list[tuple[float, int]]) -> None:
    ring = SampleRing(SMALL)
    samples = filled(steps, ring)
    found = ring.since(0.0)
    times = [sample.at for sample in found]
    assert times == sorted(set(times))
    assert total(found) == total(samples)
    assert len(ring) == len(found)
    if samples:
        assert ring.newest == samples[-1].at == times[-1]
        assert found[-1]["restarts"] == samples[-1]["restarts"]
        assert ring.oldest == times[0]
    tail = ring.since(1100.0)
    assert tail == [sample for sample in found if sample.at > 1100.0]


@given(STEPS)
def test_drained_and_filled_again_nothing_is_lost(steps: list[tuple[float, int]]) -> None:
    ring = SampleRing(SMALL)
    samples = filled(steps, ring)
    taken = ring.drain()
    assert (len(ring), ring.since(0.0)) == (0, [])
    for sample in taken:
        ring.add(sample)
    assert total(ring.since(0.0)) == total(samples)


@pytest.mark.parametrize("tiers", [RECENT, UNWRITTEN])
def test_a_week_takes_no_more_room_than_is_promised(tiers: tuple[Kept, ...]) -> None:
    ring = SampleRing(tiers)
    for second in range(0, 7 * 86_400, 3):
        ring.add(Sample.of(float(second), seconds=3, requests=1))
    bound = sum(tier.seconds / tier.step_seconds for tier in tiers) + len(tiers)
    assert len(ring) <= bound
    assert ring.newest - ring.oldest >= tiers[-1].seconds - tiers[-1].step_seconds


def test_the_last_minutes_are_fine() -> None:
    ring = SampleRing()
    for second in range(3600):
        ring.add(Sample.of(float(second), requests=1))
    assert len(ring.since(3540.0)) == 59
