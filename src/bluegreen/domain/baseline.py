"""What blue did before the switch: the record that green is measured by."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bluegreen.domain.collecting import counts
from bluegreen.domain.columns import LATENCY
from bluegreen.domain.latency import edge_at_least, quantile, slower_than
from bluegreen.domain.sample import Sample
from bluegreen.domain.sequential import Counted, surely_more, upper_share
from bluegreen.domain.unrest import unrest, worst_moments

RECORD_DOUBT = 0.001
"""A window's share is taken at its upper end: it was really higher with this probability at most."""
USUAL_QUANTILE = 0.99
"""Slower requests than this are what a worst moment is chosen by."""
EXCUSE_DOUBT = 0.05
"""What blue failed beyond what is allowed excuses green only if it was luck with this probability at most."""
RECORD_COLUMNS = ("seconds", "requests", "errors", *LATENCY)
"""What a record is made of."""


@dataclass(frozen=True, slots=True)
class Window:
    """`name` says which time: "the last minute", "the last 10 minutes", "the same time yesterday"."""

    name: str
    requests: int
    errors: int
    latency: tuple[int, ...] = ()
    """As `SlotTraffic.latency`; empty when it was not measured."""


def recorded(name: str, samples: Sequence[Sample], start: float, end: float) -> Window | None:
    """What these samples of one workload say of this time; None when nothing was measured in it."""
    (sums,) = counts([samples], ("requests", "errors", *LATENCY), (start, end), spread=True)
    if sums is None:
        return None
    requests, errors, *latency = (round(count) for count in sums)
    return Window(name, requests, errors, tuple(latency) if any(latency) else ())


def worst_of(samples: Sequence[Sample], usual: Window | None) -> tuple[Window, ...]:
    """The worst moments in these samples of one workload, each once. `usual` is what it does otherwise."""
    milliseconds = quantile(usual.latency, USUAL_QUANTILE) if usual is not None else None
    edge = edge_at_least(milliseconds) if milliseconds is not None else math.inf
    found: dict[tuple[int, ...], Window] = {}
    for seconds, sample in worst_moments(samples, edge):
        requests, errors, *latency = (round(sample[name] or 0.0) for name in ("requests", "errors", *LATENCY))
        window = Window(f"its worst {seconds:g} s", requests, errors, tuple(latency) if any(latency) else ())
        found.setdefault((requests, errors, *latency), window)
    return tuple(found.values())


@dataclass(frozen=True, slots=True)
class Baseline:
    """`worst` are the worst moments of the last ten minutes, of several lengths: by errors and by slow requests."""

    windows: tuple[Window, ...] = ()
    worst: tuple[Window, ...] = ()

    def error_unrest(self, limit: float, probability: float) -> float:
        """How much evidence blue's own worst moment would be against it, when that is enough to condemn it."""
        return unrest((Counted(window.requests, window.errors) for window in self.worst), limit, probability)

    def slow_unrest(self, milliseconds: float, share: float, probability: float) -> float:
        moments = (Counted(sum(window.latency), slower_than(window.latency, milliseconds)) for window in self.worst)
        return unrest(moments, share, probability)

    def error_share(self, minimum: int) -> float | None:
        """Of the window with the most requests; None when none has `minimum`."""
        best = max(self.windows, key=lambda window: window.requests, default=None)
        return best.errors / best.requests if best and best.requests >= minimum else None

    def error_limit(self, allowed: float, minimum: int) -> float:
        """What share of failed requests green may have: what is allowed, or what blue had when that was more, in any
        window of at least `minimum` requests. A service that failed 5 % before is not rolled back for failing 5 %."""
        shares = [
            upper_share(Counted(window.requests, window.errors), RECORD_DOUBT)
            for window in self.windows
            if window.requests >= minimum and window.errors > allowed * window.requests
        ]
        return max([allowed, *shares])

    def excused_errors(self, allowed: float, minimum: int) -> float:
        """What share of failed requests is no reason to keep green from passing: what is allowed, or what blue had in a
        window that shows beyond luck that it was more. `error_limit` gives green the benefit of every doubt, as who
        blames must; one error among twenty requests would let half of them fail."""
        failed = (Counted(window.requests, window.errors) for window in self.windows)
        return _surely(allowed, failed, minimum)

    def excused_slowness(self, milliseconds: float, allowed: float, minimum: int) -> float:
        """The same for requests that take longer than this."""
        slow = (Counted(sum(window.latency), slower_than(window.latency, milliseconds)) for window in self.windows)
        return _surely(allowed, slow, minimum)

    def slow_limit(self, share: float, increase: float, minimum: int) -> tuple[float, float] | None:
        """(milliseconds, share): green is slower than blue when more than this share of its requests take longer.

        The milliseconds are blue's quantile `1 - share` in its slowest window, raised by `increase` (0.2 is 20 %) and
        to the next edge of a bucket. The share is at least `share`, and as much above that edge as blue may well have
        had: a quantile of a hundred requests is a guess, and green is not blamed for it. None without a window of
        `minimum` requests.
        """
        found: list[tuple[float, Counted]] = []
        for window in self.windows:
            measured = sum(window.latency)
            usual = quantile(window.latency, 1.0 - share)
            if measured < minimum or usual is None:
                continue
            limit = edge_at_least(usual * (1.0 + increase))
            found.append((limit, Counted(measured, slower_than(window.latency, limit))))
        if not found:
            return None
        slowest = max(limit for limit, _ in found)
        records = [record for limit, record in found if limit == slowest]
        known_best = max(records, key=lambda record: record.requests)
        seen = (record.share or 0.0 for record in records)
        return slowest, max(share, upper_share(known_best, RECORD_DOUBT), *seen)


def _surely(allowed: float, records: Iterable[Counted], minimum: int) -> float:
    """What is allowed, or the share of a record that shows beyond luck that it was more."""
    sure = (of for of in records if of.requests >= minimum and surely_more(of, allowed, EXCUSE_DOUBT))
    return max([allowed, *(of.share or 0.0 for of in sure)])
