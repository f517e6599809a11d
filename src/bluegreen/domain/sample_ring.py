"""Samples of one workload over a day, finer the younger they are.

Bounded: at most 2 x (600 + 360 + 730) samples of 56 bytes, 190 KB for a workload that was measured all day.
"""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass, field

from bluegreen.domain.series import HOLD_SECONDS, Sample

_FIELDS = ("requests", "errors", "in_flight", "checks", "checks_passed", "restarts")
_WIDTH = 1 + len(_FIELDS)


@dataclass(slots=True)
class _Tier:
    """Keeps at least `capacity` samples, at most twice as many, that are at least `every_seconds` apart."""

    every_seconds: float
    capacity: int
    values: array[float] = field(default_factory=lambda: array("d"))

    def __len__(self) -> int:
        return len(self.values) // _WIDTH

    def at(self, position: int) -> float:
        return self.values[position * _WIDTH]

    def add(self, row: array[float]) -> None:
        """The last one gives way when it came too soon after the one before: counters lose nothing by that. The very
        first stays, for it is what all growth is measured from."""
        count = len(self)
        if count >= 2 and self.at(count - 1) - self.at(count - 2) < self.every_seconds:
            given_way = self.values[-_WIDTH:]
            del self.values[-_WIDTH:]
            row = array("d", [old if math.isnan(new) else new for old, new in zip(given_way, row, strict=True)])
        self.values.extend(row)
        if len(self) > 2 * self.capacity:
            del self.values[: (len(self) - self.capacity) * _WIDTH]

    def sample(self, position: int) -> Sample:
        row = self.values[position * _WIDTH : (position + 1) * _WIDTH]
        known = {name: None if math.isnan(value) else int(value) for name, value in zip(_FIELDS, row[1:], strict=True)}
        return Sample(row[0], **known)


class SampleRing:
    """At least five minutes twice a second, an hour by ten seconds, a day by two minutes."""

    def __init__(self) -> None:
        self._tiers = (_Tier(0.5, 600), _Tier(10.0, 360), _Tier(120.0, 730))

    @property
    def newest(self) -> float:
        """When the last sample was taken; minus infinity without one."""
        fine = self._tiers[0]
        return fine.at(len(fine) - 1) if len(fine) else -math.inf

    def add(self, sample: Sample) -> None:
        """`at` must not be before the newest: take it from a clock that never goes back."""
        values = (getattr(sample, name) for name in _FIELDS)
        row = array("d", [sample.at, *(math.nan if value is None else float(value) for value in values)])
        for tier in self._tiers:
            tier.add(row)

    def since(self, start: float) -> list[Sample]:
        """Ascending, from a while before `start` on: a counter needs what it was before."""
        start -= HOLD_SECONDS
        found: list[Sample] = []
        until = math.inf
        for tier in self._tiers:
            for position in range(len(tier) - 1, -1, -1):
                at = tier.at(position)
                if at >= until:
                    continue
                found.append(tier.sample(position))
                if at <= start:
                    return found[::-1]
            until = found[-1].at if found else math.inf
        return found[::-1]
