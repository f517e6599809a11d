"""Which samples answer for which time: nothing twice, nothing left out that there is."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bluegreen.domain.tiers import TIERS, Covered, Segment, segments

FINE, MIDDLE, COARSE = (9000.0, 9900.0), (3600.0, 9900.0), (0.0, 7200.0)


def test_a_coarse_step_reads_what_is_coarse_and_the_rest_finer() -> None:
    assert segments([(9300.0, 9999.0), MIDDLE, COARSE], 0, 9999, 60.0) == [
        Segment(2, 0, 7200),
        Segment(1, 7200, 9900),
        Segment(0, 9900, 9999),
    ]


def test_a_fine_step_reads_what_is_fine_and_the_rest_coarser() -> None:
    assert segments([(9300.0, 9999.0), MIDDLE, COARSE], 0, 9999, 1.0) == [
        Segment(2, 0, 3600),
        Segment(1, 3600, 9300),
        Segment(0, 9300, 9999),
    ]


def test_what_has_nothing_to_say_of_the_time_is_left_alone() -> None:
    assert segments([FINE, MIDDLE, COARSE], 9950, 9999, 1.0) == []
    assert segments([FINE, MIDDLE, COARSE], 9100, 9200, 1.0) == [Segment(0, 9000, 9900)]
    assert segments([None, None, None], 0, 9999, 60.0) == []
    assert segments([None, None, COARSE], 0, 9999, 1.0) == [Segment(2, 0, 7200)]


@st.composite
def coverages(draw: st.DrawFn) -> list[Covered]:
    """As the store has them: each tier is made from the finer one, which is dropped at the beginning."""
    ended = draw(st.integers(1, 1000))
    found: list[Covered] = []
    began = ended
    for _ in TIERS:
        began = draw(st.integers(0, began))
        found.append((float(began), float(ended)) if began < ended else None)
        ended = draw(st.integers(began, ended))
    return found


@given(coverages(), st.sampled_from([1.0, 10.0, 60.0, 3600.0]))
def test_every_moment_that_any_tier_has_is_read_exactly_once(covered: list[Covered], step: float) -> None:
    found = segments(covered, -1, 2000, step)
    for moment in range(1001):
        at = moment + 0.5
        times = sum(segment.began < at <= segment.ended for segment in found)
        there = any(span is not None and span[0] < at <= span[1] for span in covered)
        assert times == there
