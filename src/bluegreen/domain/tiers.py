"""Which tier of samples answers for which time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tier:
    """Samples at least `step_seconds` apart, for `kept_seconds`. They are stored in slices of `slice_seconds`, each of
    which is made from those of the finer tier."""

    step_seconds: float
    kept_seconds: float
    slice_seconds: float


TIERS = (
    Tier(1.0, 900.0, 5.0),
    Tier(10.0, 86_400.0, 300.0),
    Tier(60.0, 30 * 86_400.0, 3600.0),
)
"""Finest first; each step and each slice is a multiple of the finer ones."""


@dataclass(frozen=True, slots=True)
class Segment:
    """The samples of a tier with an `at` after `began` and until `ended`."""

    tier: int
    began: float
    ended: float


Covered = tuple[float, float] | None
"""From when to when a tier has samples; None when it has none."""


def segments(covered: Sequence[Covered], start: float, end: float, step_seconds: float) -> list[Segment]:
    """What to read of each tier so that nothing is read twice, ascending by time: the coarsest tier that is as fine as
    `step_seconds` for what it covers, finer ones for what is newer, coarser ones for what is older."""
    preferred = max((n for n, tier in enumerate(TIERS) if tier.step_seconds <= step_seconds), default=0)
    found: list[Segment] = []
    after, before = -math.inf, math.inf
    for number in range(preferred, -1, -1):
        if (span := covered[number]) is not None and span[1] > after:
            found.append(Segment(number, max(after, span[0]), span[1]))
            before, after = min(before, found[-1].began), span[1]
    for number in range(preferred + 1, len(TIERS)):
        if (span := covered[number]) is not None and span[0] < before:
            found.append(Segment(number, span[0], min(before, span[1])))
            before = span[0]
    wanted = [segment for segment in found if segment.ended > start and segment.began < end]
    return sorted(wanted, key=lambda segment: segment.began)
