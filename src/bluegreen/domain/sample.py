"""What was measured of one workload, a moment at a time; merging makes one coarser sample of several, losing nothing
that is counted."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from bluegreen.domain.columns import COLUMNS, PLACE, Kind

Value = float | None
_COUNTED = tuple(column.kind is Kind.COUNT for column in COLUMNS)
_NOTHING: tuple[Value, ...] = (None,) * len(COLUMNS)


@dataclass(frozen=True, slots=True)
class Sample:
    """`at` is the end of the time it speaks of, in seconds. `values` has one for each of `COLUMNS`, None for what was
    not measured."""

    at: float
    values: tuple[Value, ...]

    @classmethod
    def of(cls, at: float, **values: Value) -> Sample:
        """With the named columns; the others were not measured. Raises KeyError for a name that is no column."""
        filled = list(_NOTHING)
        for name, value in values.items():
            filled[PLACE[name]] = value
        return cls(at, tuple(filled))

    def __getitem__(self, name: str) -> Value:
        return self.values[PLACE[name]]

    def shifted(self, seconds: float) -> Sample:
        return Sample(self.at + seconds, self.values)


def merged(samples: Sequence[Sample]) -> Sample:
    """One for all of them, which must be ascending and at least one: counts are added, of the rest the last that is
    known stays."""
    if len(samples) == 1:
        return samples[0]
    values: list[Value] = []
    for counted, column in zip(_COUNTED, zip(*(sample.values for sample in samples), strict=True), strict=True):
        known = [value for value in column if value is not None]
        values.append((sum(known) if counted else known[-1]) if known else None)
    return Sample(samples[-1].at, tuple(values))


def bucket(at: float, seconds: float) -> int:
    """Number of the time of this width that `at` belongs to: number `n` ends at `n * seconds`, its end included."""
    return math.ceil(at / seconds)


def thinned(samples: Iterable[Sample], seconds: float) -> list[Sample]:
    """At most one for each bucket of this width; each keeps the time of its last sample. What was thinned to a divisor
    of `seconds` before comes out the same as what was not."""
    return [merged(list(group)) for _, group in groupby(samples, key=lambda sample: bucket(sample.at, seconds))]
