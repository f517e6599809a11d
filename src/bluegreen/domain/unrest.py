"""The old version's worst moments. A service that fails one request in ten for a second, again and again, would find a
version that does the same beyond any limit at that moment: what the old version does too is nobody's fault.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate

from bluegreen.domain.columns import LATENCY, PLACE
from bluegreen.domain.latency import slower_than
from bluegreen.domain.sample import Sample, merged
from bluegreen.domain.sequential import Counted, bound, worth

STRETCHES_SECONDS = (1.0, 3.0, 10.0, 30.0)
MOST_UNREST = 20.0
"""What is forgiven at most, as a multiple of the bound: an outage of the old version excuses no long one."""
DEVIATIONS = 2.0
"""The next bad moment may have more events than the worst of few that were seen, by so many standard deviations."""
_TOLERANCE_SECONDS = 0.5
_FIRST_BUCKET, _LAST_BUCKET = PLACE[LATENCY[0]], PLACE[LATENCY[-1]]


def worst_moments(samples: Sequence[Sample], usual_milliseconds: float) -> Iterator[tuple[float, Sample]]:
    """(seconds, sample): of each length, what had the most errors, and what had the most requests that were slower
    than usual. Nothing where there was neither. `samples` ascending, from one workload."""
    known = [sample for sample in samples if sample["requests"] and (sample["seconds"] or 0.0) > 0.0]
    for counted in (_errors, lambda sample: _slower(sample, usual_milliseconds)):
        sums = [0.0, *accumulate(counted(sample) for sample in known)]
        for length in STRETCHES_SECONDS:
            first, end = max(_stretches(known, length), key=lambda ends: sums[ends[1]] - sums[ends[0]], default=(0, 0))
            if sums[end] > sums[first]:
                # Without the good ones before and after it.
                first = max(place for place in range(first, end) if sums[place] == sums[first])
                end = min(place for place in range(first, end + 1) if sums[place] == sums[end])
                yield length, merged(known[first:end])


def _stretches(samples: Sequence[Sample], seconds: float) -> Iterator[tuple[int, int]]:
    """(first, one past the last) of each, as long as fits; a sample that is longer itself is in none."""
    first = 0
    for last, sample in enumerate(samples):
        while first <= last and sample.at - _began(samples[first]) > seconds + _TOLERANCE_SECONDS:
            first += 1
        if first <= last:
            yield first, last + 1


def _began(sample: Sample) -> float:
    return sample.at - (sample["seconds"] or 0.0)


def _errors(sample: Sample) -> float:
    return sample["errors"] or 0.0


def _slower(sample: Sample, milliseconds: float) -> float:
    return slower_than([round(value or 0.0) for value in sample.values[_FIRST_BUCKET : _LAST_BUCKET + 1]], milliseconds)


def unrest(moments: Iterable[Counted], limit: float, probability: float) -> float:
    """The evidence that another moment like the worst of these would be, in nats. 0 when those that were seen would
    not condemn the old version itself: then it is a steady service, and the bound holds as it is."""
    enough = bound(probability)
    condemning = [moment for moment in moments if worth(moment, limit) >= enough]
    most = max((worth(_next_like(moment), limit) for moment in condemning), default=0.0)
    return min(most, MOST_UNREST * enough)


def _next_like(moment: Counted) -> Counted:
    events = moment.events + math.ceil(DEVIATIONS * math.sqrt(moment.events))
    return Counted(moment.requests, min(moment.requests, events))
