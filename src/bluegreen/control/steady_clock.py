"""A clock for samples: seconds since the epoch as they were believed at its beginning, then never a jump."""

from __future__ import annotations

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
        return round(self._began + self._clock.monotonic(), 3)

    @property
    def shift(self) -> float:
        return round(self._clock.now() - self._clock.monotonic() - self._began, 3)

    def of_monotonic(self, monotonic: float) -> float:
        """`at` as it was at that moment of the monotonic clock."""
        return round(self._began + monotonic, 3)
