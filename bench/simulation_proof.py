"""The same simulated deployments through the domain's own code: Watch, judge_errors, judge_latency."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.simulation import Judges, Look, Scenario, looks
from bluegreen.domain.latency import EDGES_MILLISECONDS, edge_at_least
from bluegreen.domain.model import SlotTraffic
from bluegreen.domain.service import Policy
from bluegreen.domain.verdict import Answer, Verdict, judge_errors, judge_latency
from bluegreen.domain.watch import Watch, Yardstick


@dataclass(frozen=True, slots=True)
class Disagreement:
    """`seconds` until the rollback by the domain and by numpy (infinite: none), and how far the evidence was apart at
    worst over all looks."""

    domain_seconds: float
    numpy_seconds: float
    evidence: float


def disagreements(
    scenario: Scenario,
    limit: float,
    *,
    deployments: int,
    seed: int,
    measurement: str = "errors",
    probability: float = 0.001,
) -> Sequence[Disagreement]:
    by = Yardstick(limit, probability=probability)
    if measurement == "latency":
        by = Yardstick(1.0, slow_milliseconds=_slow_limit(scenario), slow_limit=limit, probability=probability)
    policy = Policy(max_error_rate=limit)
    folds = [_Fold(by, policy, measurement, number, scenario) for number in range(deployments)]
    judges = Judges(deployments, limit, probability, scenario, latency=measurement == "latency")
    first = np.full(deployments, np.inf)
    for look in looks(scenario, np.random.default_rng(seed), deployments):
        failed = judges.fail(look)
        first[failed] = np.minimum(first[failed], look.seconds)
        for fold, value in zip(folds, judges.values(), strict=True):
            fold.look(look, float(value))
    return [Disagreement(fold.seconds, float(first[fold.number]), fold.apart) for fold in folds]


def _slow_limit(scenario: Scenario) -> float:
    """Between the good answers and the slow ones."""
    return EDGES_MILLISECONDS[EDGES_MILLISECONDS.index(edge_at_least(1000 * scenario.event_seconds)) - 1]


class _Fold:
    """One deployment, from counters that only grow."""

    def __init__(self, by: Yardstick, policy: Policy, measurement: str, number: int, scenario: Scenario) -> None:
        self._watch = Watch(by)
        self._policy, self._measurement = policy, measurement
        self._limit = policy.max_error_rate
        self.number = number
        self._green, self._blue = (0, 0), (0, 0)
        self._portion = 0.0
        self._edges = tuple(
            EDGES_MILLISECONDS.index(edge_at_least(1000 * seconds))
            for seconds in (scenario.good_seconds, scenario.event_seconds)
        )
        self.seconds, self.apart = math.inf, 0.0

    def look(self, look: Look, value: float) -> None:
        number = self.number
        if self._portion and look.portion != self._portion:
            self._watch = self._watch.next_step()
        elif not self._portion and look.portion < 1.0:
            # The first reading of blue only says from where it counts.
            self._watch = self._watch.after(0.0, SlotTraffic(), SlotTraffic(), concurrent=True).next_step()
        self._portion = look.portion
        self._green = _sum(self._green, (int(look.requests[number]), int(look.events[number])))
        self._blue = _sum(self._blue, (int(look.other_requests[number]), int(look.other_events[number])))
        green = self._traffic(self._green, int(look.in_flight[number]))
        self._watch = self._watch.after(
            look.seconds, green, self._traffic(self._blue, 0), concurrent=look.portion < 1.0
        )
        if math.isinf(self.seconds) and self._verdict().answer is Answer.FAIL:
            self.seconds = look.seconds
        test = self._watch.slow if self._measurement == "latency" else self._watch.errors
        self.apart = max(self.apart, abs(test.value(self._limit) - value))

    def _traffic(self, counted: tuple[int, int], in_flight: int) -> SlotTraffic:
        requests, events = counted
        buckets = [0] * (len(EDGES_MILLISECONDS) + 1)
        good, bad = self._edges
        buckets[good] += requests - events
        buckets[bad] += events
        failed = events if self._measurement == "errors" else 0
        return SlotTraffic(requests, failed, in_flight, latency=tuple(buckets))

    def _verdict(self) -> Verdict:
        if self._measurement == "errors":
            return judge_errors(self._watch, self._policy)
        verdict = judge_latency(self._watch, self._policy)
        assert verdict is not None, "a limit is set"
        return verdict


def _sum(first: tuple[int, int], second: tuple[int, int]) -> tuple[int, int]:
    return first[0] + second[0], first[1] + second[1]
