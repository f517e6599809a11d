"""Many deployments at once, as the router's counters would show them, and what the verdicts make of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from bench.simulated_evidence import RATIOS, Arrived, Counts, Evidences, Floats
from bluegreen.domain.arrivals import RECENT_SECONDS
from bluegreen.domain.latency import edge_at_least
from bluegreen.domain.sequential import bound

Curve = Callable[[float, Floats], "Floats | float"]
"""Seconds since the switch, and a number from 0 to 1 that each deployment has for itself -> value."""

LOOK_SECONDS = 0.1
DEPLOYMENT_SECONDS = 300.0
AT_ONCE = 2_000


def constant(value: float) -> Curve:
    return lambda seconds, own: value


@dataclass(frozen=True, slots=True)
class Scenario:
    """Requests arrive at random (Poisson) with `rate` per second. Each is an event, a failed or a slow one, with the
    chance `share`, blue's with `other_share`. `portion` of them goes to green: all after a blue-green switch.
    An answer is counted `good_seconds` or `event_seconds` after its request came. `own` are the numbers that each
    deployment has for itself; without them they are drawn."""

    name: str
    rate: Curve
    share: Curve
    other_share: Curve | None = None
    portion: Callable[[float], float] = lambda seconds: 1.0
    good_seconds: float = 0.0
    event_seconds: float = 0.0
    own: Floats | None = None
    seconds: float = DEPLOYMENT_SECONDS


@dataclass(frozen=True, slots=True)
class Look:
    """What the router counted since the look before, and green's requests without an answer yet; one number for each
    deployment."""

    seconds: float
    portion: float
    requests: Counts
    events: Counts
    other_requests: Counts
    other_events: Counts
    in_flight: Counts


class Rule(Protocol):
    """When many deployments are rolled back."""

    def fail(self, look: Look) -> Counts:
        """Those that fail at this look; some may have failed before."""


class _Answers:
    """Requests that came are answered some looks later, the good ones and the events each after their own time."""

    def __init__(
        self, random: np.random.Generator, deployments: int, good_seconds: float, event_seconds: float
    ) -> None:
        self._random, self._deployments = random, deployments
        nothing = np.zeros(deployments, np.int64)
        self._good = deque([nothing] * round(good_seconds / LOOK_SECONDS))
        self._events = deque([nothing] * round(event_seconds / LOOK_SECONDS))
        self.in_flight = nothing.copy()

    def after(self, rate: Floats | float, share: Floats | float) -> tuple[Counts, Counts]:
        """(requests, events) that are answered in this look."""
        coming = np.asarray(rate, np.float64) * LOOK_SECONDS
        good = self._random.poisson(coming * (1.0 - np.asarray(share)), self._deployments)
        events = self._random.poisson(coming * np.asarray(share), self._deployments)
        self._good.append(good)
        self._events.append(events)
        answered, failed = self._good.popleft(), self._events.popleft()
        self.in_flight = self.in_flight + good + events - answered - failed
        return answered + failed, failed


def looks(scenario: Scenario, random: np.random.Generator, deployments: int) -> Iterator[Look]:
    own = random.random(deployments) if scenario.own is None else scenario.own
    delays = scenario.good_seconds, scenario.event_seconds
    green, blue = (_Answers(random, deployments, *delays) for _ in range(2))
    nothing = np.zeros(deployments, np.int64)
    other_share = scenario.other_share or scenario.share
    for number in range(round(scenario.seconds / LOOK_SECONDS)):
        middle = (number + 0.5) * LOOK_SECONDS
        rate, portion = scenario.rate(middle, own), scenario.portion(middle)
        requests, events = green.after(rate * portion, scenario.share(middle, own))
        others, other_events = nothing, nothing
        if portion < 1.0:
            others, other_events = blue.after(rate * (1.0 - portion), other_share(middle, own))
        end = (number + 1) * LOOK_SECONDS
        yield Look(end, portion, requests, events, others, other_events, green.in_flight)


class Judges:
    """Judges many deployments at each look, by the rule of `domain.verdict`: against the limit, and against blue too
    while both get traffic. `latency`: the events are slow answers, not failed ones."""

    def __init__(
        self,
        deployments: int,
        limit: float | Floats,
        probability: float,
        scenario: Scenario,
        *,
        latency: bool = False,
        forgiven: float | Floats = 0.0,
    ) -> None:
        """`limit` and `forgiven`, the evidence that blue's own bad moments excuse, are one for all or one for each."""
        self._limit, self._scenario = limit, scenario
        self._all, self._waiting = np.arange(deployments), np.zeros(deployments, np.int64)
        self._latency, self._portion, self._last_seconds = latency, 1.0, 0.0
        self._alone, self._beside = self._new(), Evidences(deployments)
        self._bound = np.broadcast_to(bound(probability) + np.asarray(forgiven), deployments)
        # In milliseconds, as the histogram shows them: good answers and events.
        self._good_edge, self._event_edge = (
            edge_at_least(1000 * seconds) for seconds in (scenario.good_seconds, scenario.event_seconds)
        )

    def _new(self) -> Arrived:
        took = self._scenario.good_seconds, self._scenario.event_seconds
        waits = not self._latency and max(took) > 0.0
        keep = RECENT_SECONDS if waits else edge_at_least(1000 * max(took)) / 1000
        waited = np.zeros_like(self._all) if self._latency else self._waiting
        return Arrived(len(self._all), self._limit, self._scenario.seconds, keep, waited)

    def fail(self, look: Look) -> Counts:
        """Those that fail at this look."""
        if look.portion >= 1.0 > self._portion:
            self._alone = self._new()
        changed, self._portion = look.portion != self._portion, look.portion
        # Slow answers are not those that come first: for them nothing that waits counts.
        self._waiting = np.zeros_like(self._all) if self._latency else look.in_flight
        self._alone.add(look.requests, look.events, self._came(look), look.seconds, self._waiting)
        self._last_seconds = look.seconds
        suspects = self._all if self._waiting.any() else np.flatnonzero(look.events > 0)
        if look.portion < 1.0:
            if not changed:
                touched = (look.events + look.other_events > 0) & (look.requests * look.other_requests > 0)
                which = np.flatnonzero(touched)
                self._beside.add(which, _against_other(look, which), look.seconds)
            suspects = suspects[self._beside.values(suspects) >= self._bound[suspects]] if len(suspects) else suspects
        return self._alone.beyond(suspects, self._bound[suspects]) if len(suspects) else suspects

    def _came(self, look: Look) -> list[tuple[int, Counts]]:
        """As Watch does it, the slowest answers of a look are taken for the events."""
        good = look.requests - look.events
        slower_good = (
            np.minimum(look.events, good) if self._good_edge > self._event_edge and not self._latency else 0 * good
        )
        edges = ((self._good_edge, slower_good), (self._event_edge, look.events - slower_good))
        return [(int(max(0.0, self._last_seconds - edge / 1000)), some) for edge, some in edges]

    def values(self) -> Floats:
        """Of the evidence against the limit, of all."""
        return self._alone.values(self._all)


def _against_other(look: Look, which: Counts) -> Floats:
    mine, others = look.requests[which], look.other_requests[which]
    share = mine / np.maximum(1, mine + others)
    normal = 1.0 - share + RATIOS * share
    gains = look.events[which] * np.log(RATIOS / normal) - look.other_events[which] * np.log(normal)
    return np.asarray(gains, np.float64)


@dataclass(frozen=True, slots=True)
class Outcomes:
    """`seconds` since the switch until the rollback was decided, NaN where it was not; `requests` and `events` are what
    green had answered by then."""

    seconds: Floats
    requests: Counts
    events: Counts

    @property
    def rolled_back(self) -> int:
        return int(np.isfinite(self.seconds).sum())

    def within(self, seconds: float) -> float:
        """Share of the deployments that were rolled back by then."""
        return float((self.seconds <= seconds + LOOK_SECONDS / 2).mean())

    def percentile(self, percent: float) -> float:
        """Of the seconds; infinite when fewer were rolled back."""
        return float(np.percentile(np.where(np.isnan(self.seconds), np.inf, self.seconds), percent, method="lower"))


def simulate(
    scenario: Scenario,
    limit: float | Floats,
    *,
    deployments: int,
    seed: int,
    probability: float = 0.001,
    latency: bool = False,
    rule: Callable[[Scenario, int], Rule] | None = None,
    forgiven: float | Floats = 0.0,
) -> Outcomes:
    """The same seed gives the same outcomes, and every rule the same deployments. `rule` makes one for so many of
    them; without it they are judged as the daemon does, by `limit` and `probability`."""
    parts = []
    starts = range(0, deployments, AT_ONCE)
    for start, own_seed in zip(starts, np.random.SeedSequence(seed).spawn(len(starts)), strict=True):
        some = slice(start, min(start + AT_ONCE, deployments))
        count = some.stop - some.start
        its = scenario if scenario.own is None else replace(scenario, own=scenario.own[some])
        own_limit, own_forgiven = (of if isinstance(of, float) else of[some] for of in (limit, forgiven))
        judges = (
            rule(its, count)
            if rule
            else Judges(count, own_limit, probability, its, latency=latency, forgiven=own_forgiven)
        )
        parts.append(_walk(looks(its, np.random.default_rng(own_seed), count), judges, count))
    return Outcomes(*(np.concatenate(values) for values in zip(*parts, strict=True)))


def _walk(seen: Iterator[Look], judges: Rule, count: int) -> tuple[Floats, Counts, Counts]:
    at = np.full(count, np.nan)
    requests, events = np.zeros(count, np.int64), np.zeros(count, np.int64)
    for look in seen:
        open_ones = np.isnan(at)
        requests += look.requests * open_ones
        events += look.events * open_ones
        failed = judges.fail(look)
        failed = failed[open_ones[failed]] if len(failed) else failed
        at[failed] = look.seconds
        if len(failed) and not np.isnan(at).any():
            break
    return at, requests, events
