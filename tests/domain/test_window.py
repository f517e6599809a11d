"""Windows in steps that are aligned to the clock."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bluegreen.domain.errors import UsageError
from bluegreen.domain.window import DEFAULT_POINTS, MAX_POINTS, Window, window


@given(st.floats(0, 2e9), st.floats(0.001, 1e8))
def test_without_a_step_there_are_few_points_and_the_last_ends_at_the_end(start: float, width: float) -> None:
    over = window(start, start + width, None)
    edges = over.edges
    assert len(edges) - 1 <= DEFAULT_POINTS + 1
    assert over.step is not None and over.step >= 1
    assert (edges[0], edges[-1]) == (over.start, over.end)
    assert all(a < b for a, b in itertools.pairwise(edges))


@given(st.floats(0, 2e9), st.floats(1, 1e5), st.floats(1, 1e4))
def test_all_steps_but_the_outer_ones_begin_and_end_at_multiples(start: float, width: float, step: float) -> None:
    if width / step > MAX_POINTS:
        return
    edges = window(start, start + width, step).edges
    assert all(math.isclose(edge / step, round(edge / step), abs_tol=1e-6) for edge in edges[1:-1])
    widths = [b - a for a, b in itertools.pairwise(edges)]
    assert all(0 < found <= step * (1 + 1e-6) for found in widths)


def test_two_questions_a_moment_apart_have_the_same_steps() -> None:
    assert Window(103.0, 131.0, 10.0).edges == [103, 110, 120, 130, 131]
    assert Window(104.5, 132.5, 10.0).edges == [104.5, 110, 120, 130, 132.5]
    assert Window(100.0, 120.0, 10.0).edges == [100, 110, 120]
    assert Window(100.0, 101.0, 10.0).edges == [100, 101]


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


@pytest.mark.parametrize(
    ("width", "step"), [(60, 1), (120, 2), (300, 5), (3600, 60), (86_400, 1800), (30 * 86_400, 43_200)]
)
def test_default_steps_are_round(width: float, step: float) -> None:
    assert window(0, width, None).step == step
