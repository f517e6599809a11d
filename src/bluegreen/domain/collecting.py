"""From samples of several workloads to sums in each step of a window.

The router's counters say how many requests came between two readings, not when, so they are spread evenly over that
time. Health checks are few: each counts in the step in which it was seen. What has a level (requests in flight) is the
last value that is known at the end of a step.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from itertools import pairwise

from bluegreen.domain.columns import PLACE
from bluegreen.domain.sample import Sample, Value

HOLD_SECONDS = 15.0
"""How long the last value that was read is still believed when no other follows."""
LONGEST_GAP_SECONDS = 90.0
"""How far apart two values may be for the first to be believed until the second; the coarsest are 60 s apart."""

Workloads = Sequence[Sequence[Sample]]
"""The samples of each workload, ascending."""
Sums = list[float]
"""One for each of the columns that were asked for."""
SECONDS_OF = {"seconds": 1.0, "usage_milliseconds": 0.001}
"""Columns that say in how long a time counts came, and their unit in seconds."""


def counts(
    workloads: Workloads, names: Sequence[str], edges: Sequence[float], *, spread: bool, over: str = "seconds"
) -> list[Sums | None]:
    """What came in each step, all workloads together; None where the first of the columns was measured of none.
    `spread` evenly over the time that the column `over` tells, else all of it where its sample lies."""
    place_of_time, unit = PLACE[over], SECONDS_OF[over]
    found: list[Sums | None] = [None] * (len(edges) - 1)
    places = [PLACE[name] for name in names]
    for samples in workloads:
        for sample in samples:
            values = sample.values
            if values[places[0]] is None:
                continue
            came = [values[place] or 0.0 for place in places]
            seconds = (values[place_of_time] or 0.0) * unit if spread else 0.0
            _put(found, came, sample.at - seconds, sample.at, edges)
    return found


def _put(found: list[Sums | None], came: Sums, began: float, ended: float, edges: Sequence[float]) -> None:
    """Adds what came after `began` and until `ended` to the steps, each its part."""
    if ended <= edges[0] or (ended > edges[-1] and began >= edges[-1]):
        return
    last = bisect_left(edges, ended) - 1
    if ended <= edges[-1] and (began >= edges[last] or began >= ended):
        _add(found, last, came, 1.0)
        return
    step = max(0, bisect_right(edges, began) - 1)
    while step < len(found) and edges[step] < ended:
        part = min(ended, edges[step + 1]) - max(began, edges[step])
        _add(found, step, came, part / (ended - began))
        step += 1


def _add(found: list[Sums | None], step: int, came: Sums, part: float) -> None:
    sums = found[step]
    more = came if part == 1.0 else [value * part for value in came]
    found[step] = list(more) if sums is None else [a + b for a, b in zip(sums, more, strict=True)]


def levels(
    workloads: Workloads, name: str, edges: Sequence[float], combine: Callable[[list[float]], float] = sum
) -> list[Value]:
    """The value at the end of each step, of the workloads that have one together; None where none has."""
    found: list[list[float]] = [[] for _ in edges[1:]]
    for samples in workloads:
        for step, value in zip(found, _levels(samples, PLACE[name], edges), strict=True):
            if value is not None:
                step.append(value)
    return [combine(known) if known else None for known in found]


def _levels(samples: Sequence[Sample], place: int, edges: Sequence[float]) -> list[Value]:
    """What was read last, unless that is too long ago."""
    known = [(sample.at, value) for sample in samples if (value := sample.values[place]) is not None]
    found: list[Value] = []
    position = 0
    for begin, end in pairwise(edges):
        while position < len(known) and known[position][0] <= end:
            position += 1
        at, read = known[position - 1] if position else (-math.inf, 0.0)
        following = known[position][0] if position < len(known) else math.inf
        believed = at > begin or end - at <= HOLD_SECONDS or following - at <= LONGEST_GAP_SECONDS
        found.append(float(read) if believed else None)
    return found
