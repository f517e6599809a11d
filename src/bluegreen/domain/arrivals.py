"""Evidence against a limit for requests in the order in which they came, though they are counted when answered.

A router counts a request with its answer, and failed or slow answers take another time than good ones. After a burst
the slow ones are still counted while the good ones are long done, and a share of answers says nothing then: a version
that is exactly as good as allowed would be blamed. So each event counts for the earliest second in which its request
can have come, and only for the stakes that were laid by then; good answers count at once. Both err to the safe side.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from bluegreen.domain.sequential import FIRST_STAKE, STAKES, Counted, gains_against_limit, log_sum, unlaid

RECENT_SECONDS = 60
"""An event whose request came longer ago counts for "since the first request" alone."""
MOST = 600.0
"""A path is not followed beyond this: e**600 is near the largest float, and long past any bound."""


@dataclass(frozen=True, slots=True)
class Second:
    """What was answered in it; the events are those whose requests came in it at the earliest. `in_flight` are the
    requests that waited for their answer at its end."""

    second: int
    counted: Counted = Counted()
    in_flight: int = 0


@dataclass(frozen=True, slots=True)
class Arrivals:
    """`total` is what the stake on "since the first request" has seen. `settled` are the logarithms of what one unit of
    the stakes on later seconds has become on each odds ratio, up to the second `last`; `recent` are the seconds after
    that, which may still get events. `waiting` is how many requests are in flight now, `waited` how many were at the
    beginning."""

    total: Counted = Counted()
    settled: tuple[float, ...] = (-math.inf,) * len(STAKES)
    last: Second = Second(0)
    recent: tuple[Second, ...] = ()
    waiting: int = 0
    waited: int = 0

    def after(
        self, counted: Counted, came: Mapping[int, int], seconds: float, limit: float, in_flight: int = 0
    ) -> Arrivals:
        """`counted` was answered until `seconds` since the test began; `came` has its events by the earliest second in
        which they can have come, those that are not in it can have come in any. A clock that went backwards adds to the
        newest second."""
        if not counted.requests:
            return replace(self, total=self.total.plus(counted), waiting=in_flight)
        known = {of.second: of for of in self.recent}
        newest = max(int(seconds), self.last.second, *known)
        good = known.get(newest, Second(newest)).counted.plus(Counted(max(0, counted.requests - sum(came.values()))))
        known[newest] = Second(newest, good, in_flight)
        for second, events in came.items():
            if second > self.last.second and second >= newest - RECENT_SECONDS:
                known[second] = self._with_events(known, second, events)
        settled, last = self.settled, self.last
        for second in sorted(known):
            if second < newest - RECENT_SECONDS:
                its = known.pop(second)
                settled = _settled(settled, unlaid(last.second) - unlaid(second), its.counted, limit)
                last = its
        recent = tuple(known[second] for second in sorted(known))
        return replace(
            self, total=self.total.plus(counted), settled=settled, last=last, recent=recent, waiting=in_flight
        )

    def _with_events(self, known: Mapping[int, Second], second: int, events: int) -> Second:
        if second not in known:
            before = max((of for of in known.values() if of.second < second), key=_number, default=self.last)
            return Second(second, Counted(events, events), before.in_flight)
        its = known[second]
        return replace(its, counted=its.counted.plus(Counted(events, events)))

    def value(self, limit: float) -> float:
        """The logarithm of the e-value if all requests without an answer turn out well: for each stake those by which
        they are more than when it was laid."""
        grown = max(0, self.waiting - self.waited)
        first = gains_against_limit(self.total.plus(Counted(grown)), limit)
        later = self._later(limit, grown)
        parts = [
            math.log(stake) + log_sum((math.log(FIRST_STAKE) + its_first, its_later))
            for stake, its_first, its_later in zip(STAKES, first, later, strict=True)
        ]
        return log_sum(parts)

    def _later(self, limit: float, grown: int) -> Sequence[float]:
        """What one unit of the stakes on later seconds has become on each odds ratio, those not laid yet included."""
        newest_first: list[tuple[float, int, int, int]] = []
        before = self.last
        for its in self.recent:
            stake, events = unlaid(before.second) - unlaid(its.second), its.counted.events
            since = max(0, self.waiting - before.in_flight)
            newest_first.insert(0, (stake, events, its.counted.requests - events, since))
            before = its
        bad = gains_against_limit(Counted(1, 1), limit)
        good = gains_against_limit(Counted(1, 0), limit)
        found = []
        for settled, its_bad, its_good in zip(self.settled, bad, good, strict=True):
            gain, total = 0.0, unlaid(before.second)
            for stake, events, others, since in newest_first:
                gain += events * its_bad + others * its_good
                total += stake * math.exp(min(gain + since * its_good, MOST))
            total += math.exp(min(settled + gain + grown * its_good, MOST))
            found.append(math.log(total))
        return found


def _number(of: Second) -> int:
    return of.second


def _settled(paths: Sequence[float], stake: float, counted: Counted, limit: float) -> tuple[float, ...]:
    """A second lays its stake, and multiplies what was laid until then."""
    if stake > 0.0:
        paths = [log_sum((path, math.log(stake))) for path in paths]
    gains = gains_against_limit(counted, limit)
    return tuple(path + gain for path, gain in zip(paths, gains, strict=True))
