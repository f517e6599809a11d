"""Samples of one workload in bounded memory, finer the younger they are."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from bluegreen.domain.sample import Sample, bucket, merged


@dataclass(frozen=True, slots=True)
class Kept:
    """Samples at least `step_seconds` apart, for `seconds`."""

    step_seconds: float
    seconds: float


RECENT = (Kept(1.0, 120.0), Kept(10.0, 900.0))
"""What is kept in memory, to be at hand whatever the disk does: at most 211 samples of about 500 bytes."""
UNWRITTEN = (Kept(1.0, 300.0), Kept(10.0, 900.0), Kept(60.0, 7200.0), Kept(600.0, 86_400.0))
"""What waits for a disk that can't be written: at most 640 samples."""


@dataclass(slots=True)
class _Filled:
    kept: Kept
    samples: deque[Sample] = field(default_factory=deque)

    def add(self, sample: Sample) -> None:
        if self.samples:
            last = self.samples[-1]
            if bucket(last.at, self.kept.step_seconds) == bucket(sample.at, self.kept.step_seconds):
                self.samples[-1] = merged((last, sample))
                return
        self.samples.append(sample)

    def too_old(self, newest: float) -> Sample | None:
        """Takes the oldest out when it is no longer kept."""
        if self.samples and newest - self.samples[0].at > self.kept.seconds:
            return self.samples.popleft()
        return None


class SampleRing:
    """What grows too old for a tier is merged into the next coarser one; out of the last it is dropped."""

    def __init__(self, tiers: Sequence[Kept] = RECENT) -> None:
        self._tiers = [_Filled(tier) for tier in tiers]
        self.newest = -math.inf
        """When the last sample was taken; minus infinity without one."""

    def __len__(self) -> int:
        return sum(len(tier.samples) for tier in self._tiers)

    @property
    def oldest(self) -> float:
        """The time of the oldest sample that is left; infinite without one."""
        return next((tier.samples[0].at for tier in reversed(self._tiers) if tier.samples), math.inf)

    def add(self, sample: Sample) -> None:
        """`at` must not be before the newest: take it from a clock that never goes back."""
        self.newest = sample.at
        self._tiers[0].add(sample)
        for finer, coarser in zip(self._tiers, self._tiers[1:], strict=False):
            while (old := finer.too_old(self.newest)) is not None:
                coarser.add(old)
        while self._tiers[-1].too_old(self.newest) is not None:
            pass

    def since(self, start: float) -> list[Sample]:
        """All with an `at` after `start`, ascending."""
        return [sample for tier in reversed(self._tiers) for sample in tier.samples if sample.at > start]

    def finest_since(self, step_seconds: float) -> float:
        """From when on samples are at most this far apart; infinite when none are."""
        fine = [tier.samples[0].at for tier in self._tiers if tier.samples and tier.kept.step_seconds <= step_seconds]
        return min(fine, default=math.inf)

    def drain(self) -> list[Sample]:
        """All of them, ascending; afterwards there are none."""
        found = self.since(-math.inf)
        for tier in self._tiers:
            tier.samples.clear()
        return found
