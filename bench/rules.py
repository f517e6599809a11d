"""The usual rules for rolling back, for many simulated deployments at once.

Each sees every request the moment it is answered, although a metrics system would show it one scrape later.
"""

from __future__ import annotations

import numpy as np
from scipy import stats

from bench.simulated_evidence import Counts, Floats
from bench.simulation import LOOK_SECONDS, Look, Scenario

NOBODY: Counts = np.zeros(0, np.int64)


def looks_in(seconds: float) -> int:
    return round(seconds / LOOK_SECONDS)


class _Interval:
    """Sums of what was counted since the interval began. `ended` is true with its last look."""

    def __init__(self, deployments: int, seconds: float) -> None:
        self._looks_each, self._looks = looks_in(seconds), 0
        self._sums = np.zeros((4, deployments), np.int64)
        self.requests, self.events, self.other_requests, self.other_events = self._sums

    def add(self, look: Look) -> bool:
        if self._looks % self._looks_each == 0:
            self._sums[:] = 0
        self._looks += 1
        self._sums += np.stack([look.requests, look.events, look.other_requests, look.other_events])
        return self._looks % self._looks_each == 0


class Threshold:
    """The share of failed requests in an interval, looked at when it is over. Rolled back after so many intervals above
    the limit, in a row or not. An interval without requests tells nothing."""

    def __init__(self, deployments: int, limit: float, *, interval_seconds: float, failures: int) -> None:
        self._interval = _Interval(deployments, interval_seconds)
        self._limit, self._failures = limit, failures
        self._failed = np.zeros(deployments, np.int64)

    def fail(self, look: Look) -> Counts:
        if not self._interval.add(look):
            return NOBODY
        self._failed += self._interval.events > self._limit * self._interval.requests
        return np.flatnonzero(self._failed >= self._failures)


class MannWhitney:
    """Are green's shares of failed requests, one for each interval, higher than blue's? Looked at every minute, with
    all intervals so far.

    As Kayenta's judge: high when the lower end of the 98 % confidence interval of the shift is above a quarter of its
    Hodges-Lehmann estimate, which is a one-sided test at 1 % of green's shares less that quarter. An interval without
    requests has the share 0. Blue's shares are those of the same intervals; where green gets all of the traffic at
    once, those of the five minutes before the switch, drawn here.
    """

    ALPHA = 0.01
    TOLERANCE = 0.25
    INTERVAL_SECONDS = 5.0
    EVERY_SECONDS = 60.0
    RECORD_SECONDS = 300.0

    def __init__(self, deployments: int, scenario: Scenario, seed: int) -> None:
        self._interval = _Interval(deployments, self.INTERVAL_SECONDS)
        self._green: list[Floats] = []
        self._concurrent = scenario.portion(0.0) < 1.0
        self._blue = [] if self._concurrent else self._record(deployments, scenario, np.random.default_rng(seed))
        self._failed = np.zeros(deployments, bool)

    def _record(self, deployments: int, scenario: Scenario, random: np.random.Generator) -> list[Floats]:
        nobody = np.zeros(deployments)
        rate, share = scenario.rate(0.0, nobody), (scenario.other_share or scenario.share)(0.0, nobody)
        shape = (round(self.RECORD_SECONDS / self.INTERVAL_SECONDS), deployments)
        requests = random.poisson(np.asarray(rate) * self.INTERVAL_SECONDS, shape)
        return list(_shares(random.binomial(requests, share), requests))

    def fail(self, look: Look) -> Counts:
        if self._interval.add(look) and (look.portion < 1.0 or not self._concurrent):
            now = self._interval
            self._green.append(_shares(now.events, now.requests))
            if self._concurrent:
                self._blue.append(_shares(now.other_events, now.other_requests))
        if round(look.seconds / LOOK_SECONDS) % looks_in(self.EVERY_SECONDS):
            return NOBODY
        self._judge()
        return np.flatnonzero(self._failed)

    def _judge(self) -> None:
        open_ones = np.flatnonzero(~self._failed)
        if not len(open_ones):
            return
        green, blue = (np.stack(shares, axis=1)[open_ones] for shares in (self._green, self._blue))
        suspects = np.flatnonzero(higher(green, blue) < self.ALPHA)
        if not len(suspects):
            return
        green, blue = green[suspects], blue[suspects]
        shift = np.median((green[:, :, None] - blue[:, None, :]).reshape(len(suspects), -1), axis=1)
        beyond = higher(green - self.TOLERANCE * np.abs(shift)[:, None], blue) < self.ALPHA
        self._failed[open_ones[suspects[beyond]]] = True


def _shares(events: Counts, requests: Counts) -> Floats:
    return np.asarray(events / np.maximum(1, requests), np.float64)


def higher(green: Floats, blue: Floats) -> Floats:
    """p of the one-sided Mann-Whitney test for each row; 1 where all values are the same."""
    with np.errstate(invalid="ignore", divide="ignore"):
        found = stats.mannwhitneyu(green, blue, alternative="greater", method="asymptotic", axis=1)
    return np.nan_to_num(np.asarray(found.pvalue, np.float64), nan=1.0)
