"""A stretch of time in steps."""

from __future__ import annotations

import math
from dataclasses import dataclass

from bluegreen.domain.errors import UsageError

MAX_POINTS = 10_000
DEFAULT_POINTS = 60
SHORTEST_STEP_SECONDS = 1.0
ROUND_STEPS = (1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1200, 1800, 3600, 7200, 14_400, 21_600, 43_200, 86_400)


@dataclass(frozen=True, slots=True)
class Window:
    """From `start` to `end`, seconds since the epoch. Steps begin and end at multiples of `step`, the first and the
    last cut by the window; without `step` it is one step."""

    start: float
    end: float
    step: float | None = None

    @property
    def edges(self) -> list[float]:
        """Beginnings and ends of the steps, ascending."""
        if self.step is None:
            return [self.start, self.end]
        first, last = math.floor(self.start / self.step) + 1, math.ceil(self.end / self.step)
        inner = (number * self.step for number in range(first, last))
        return [self.start, *(edge for edge in inner if self.start < edge < self.end), self.end]


def window(start: float, end: float, step: float | None) -> Window:
    """Raises UsageError when it is empty or would have too many points. No step: a round one, about 60 points."""
    if not start < end:
        raise UsageError("startTime: must be before endTime", hint="For the last five minutes: startTime -5m")
    width = end - start
    if step is None:
        least = width / DEFAULT_POINTS
        step = float(next((candidate for candidate in ROUND_STEPS if candidate >= least), math.ceil(least)))
    if step < SHORTEST_STEP_SECONDS:
        raise UsageError(f"step: must be at least {SHORTEST_STEP_SECONDS:g}s, got {step:g}s")
    if width / step > MAX_POINTS:
        raise UsageError(
            f"step: {step:g}s makes {math.ceil(width / step)} points of {width:.0f} s, the limit is {MAX_POINTS}",
            hint=f"Choose a step of at least {math.ceil(width / MAX_POINTS)}s, or none",
        )
    return Window(start, end, step)
