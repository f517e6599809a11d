"""A clock for samples: seconds since the epoch as they were believed at its beginning, then never a jump."""

from __future__ import annotations

import math

from bluegreen.control.ports import Clock


class SteadyClock:
    """`at` only grows; `shift` is how far the wall clock has gone from it since: about zero until it is set anew. What
    is shown is `at` plus the shift of now, so that a wrong wall clock neither loses what was measured nor mixes it up.
    Both are whole milliseconds, the unit of the files."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._began = clock.now() - clock.monotonic()

    @property
    def at(self) -> float:
        return _whole_milliseconds(self._began + self._clock.monotonic())

    @property
    def shift(self) -> float:
        return _whole_milliseconds(self._clock.now() - self._clock.monotonic() - self._began)

    def of_monotonic(self, monotonic: float) -> float:
        """`at` as it was at that moment of the monotonic clock."""
        return round(self._began + monotonic, 3)


def _whole_milliseconds(seconds: float) -> float:
    """Rounded down: a sample that was taken for a question must not lie in the future of it. The microsecond makes up
    for what a float of seconds since the epoch can't hold."""
    return math.floor(seconds * 1000 + 0.001) / 1000
