"""A token bucket: how often something may happen. Values in, values out; time is an argument.

A bucket holds at most `burst` tokens and gains `rate` a second. What happens takes one; without one it has to wait.
So in any stretch of t seconds it happens at most `burst + rate × t` times.
"""

from __future__ import annotations

from dataclasses import dataclass

ALMOST_ONE = 1.0 - 1e-9
"""Who comes back after exactly `retry_after_seconds` must not be sent away by the last digit of a float."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """`level` is how many tokens there were at `at` (seconds of a clock that does not go back)."""

    level: float
    at: float


@dataclass(frozen=True, slots=True)
class Taken:
    """`retry_after_seconds` is 0 when it was allowed."""

    bucket: Bucket
    allowed: bool
    retry_after_seconds: float = 0.0


def full(now: float, burst: float) -> Bucket:
    return Bucket(float(burst), now)


def take(bucket: Bucket, now: float, *, rate: float, burst: float) -> Taken:
    """Takes one token if there is one. `rate` is above 0 and `burst` at least 1; they may differ from call to call."""
    at = max(now, bucket.at)
    level = min(float(burst), bucket.level + (at - bucket.at) * rate)
    if level >= ALMOST_ONE:
        return Taken(Bucket(level - 1.0, at), True)
    return Taken(Bucket(level, at), False, (1.0 - level) / rate + (at - now))
