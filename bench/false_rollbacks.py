"""How often a good version is rolled back by luck: twenty thousand simulated deployments per scenario, five minutes
each, looked at ten times a second.

Where a request's chance of being an event is never above the limit, given all that happened before, the bound must
hold. The rows without a target break that: they show what follows when it is not so.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from bench.simulated_evidence import Floats
from bench.simulation import DEPLOYMENT_SECONDS, Curve, Outcomes, Scenario, constant, looks, simulate
from bench.table import Row, information
from bluegreen.domain.baseline import Baseline, Window, worst_of
from bluegreen.domain.latency import EDGES_MILLISECONDS
from bluegreen.domain.sample import Sample
from bluegreen.domain.service import Policy

DEFAULT_DEPLOYMENTS = 20_000
ALLOWED = Policy().max_error_rate
PROBABILITY = Policy().false_rollback_probability
RATE = 200.0
STEP_SECONDS = 100.0
SEED = 20_261_125


def number_of_deployments() -> int:
    return int(os.environ.get("BENCH_DEPLOYMENTS", str(DEFAULT_DEPLOYMENTS)))


@dataclass(frozen=True, slots=True)
class Case:
    """`limits` gives the limit and the scenario of each deployment where they come from blue's record, `unrest` the
    evidence that is forgiven for its bad moments. `latency`: the events are slow requests. `bound_holds` is whether the
    assumption is kept."""

    scenario: Scenario
    limits: Callable[[np.random.Generator, int], tuple[Floats, Scenario]] | None = None
    unrest: Callable[[np.random.Generator, int], Floats] | None = None
    latency: bool = False
    bound_holds: bool = True

    def simulate(self, deployments: int) -> Outcomes:
        limit: float | Floats = ALLOWED
        scenario = self.scenario
        if self.limits is not None:
            limit, scenario = self.limits(np.random.default_rng(SEED), deployments)
        return simulate(
            scenario,
            limit,
            deployments=deployments,
            seed=SEED,
            probability=PROBABILITY,
            latency=self.latency,
            forgiven=self.unrest(np.random.default_rng(SEED), deployments) if self.unrest is not None else 0.0,
        )


# -- traffic: requests per second -------------------------------------------------------------------------------------


def sinus(seconds: float, own: Floats) -> Floats:
    return np.asarray(RATE * (1.0 + 0.9 * np.sin(2 * np.pi * (seconds / 60.0 + own))))


def tripled_at_the_switch(seconds: float, own: Floats) -> float:
    return RATE * (1.0 + 2.0 * float(np.exp(-seconds / 30.0)))


def bursts(seconds: float, own: Floats) -> Floats:
    """Two seconds of ten times the traffic every half minute."""
    return np.where((seconds + 30.0 * own) % 30.0 < 2.0, 10.0 * RATE / 2, RATE / 2)


def falling_off(seconds: float, own: Floats) -> Floats:
    """From one moment to the next a hundredth of the traffic is left."""
    return np.where(seconds < 60.0 + 120.0 * own, RATE, RATE / 100)


# -- chances of an event ----------------------------------------------------------------------------------------------


def incident(height: float, length_seconds: float, *, usual: float = 0.001, until: float = 270.0) -> Curve:
    """Once, at a random moment."""

    def share(seconds: float, own: Floats) -> Floats:
        begin = own * (until - length_seconds)
        return np.where((seconds >= begin) & (seconds < begin + length_seconds), height, usual)

    return share


def again_and_again(height: float, length_seconds: float, every_seconds: float, *, usual: float = 0.0005) -> Curve:
    def share(seconds: float, own: Floats) -> Floats:
        return np.where((seconds + every_seconds * own) % every_seconds < length_seconds, height, usual)

    return share


def steps(seconds: float) -> float:
    """Green's portion of a canary."""
    return 0.1 if seconds < STEP_SECONDS else 0.5 if seconds < 2 * STEP_SECONDS else 1.0


# -- blue's record ----------------------------------------------------------------------------------------------------


def error_record(rate: float, share: float) -> Callable[[np.random.Generator, int], tuple[Floats, Scenario]]:
    """Blue failed that often before the switch, and green does the same."""

    def limits(random: np.random.Generator, deployments: int) -> tuple[Floats, Scenario]:
        requests = [random.poisson(rate * seconds, deployments) for seconds in (60.0, 540.0)]
        errors = [random.binomial(some, share) for some in requests]
        known = [
            Baseline(
                (Window("the last minute", n, k), Window("the last 10 minutes", n + before, k + k_before))
            ).error_limit(ALLOWED, Policy().min_requests)
            for n, before, k, k_before in np.stack([*requests, *errors], axis=1).tolist()
        ]
        return np.array(known), Scenario("", constant(rate), constant(share))

    return limits


def restless_record(scenario: Scenario) -> Callable[[np.random.Generator, int], Floats]:
    """Blue did the same in its last two minutes, whose samples are a second each."""

    def forgiven(random: np.random.Generator, deployments: int) -> Floats:
        before = replace(scenario, seconds=120.0, own=random.random(deployments))
        seen = [np.zeros((120, deployments), np.int64) for _ in range(2)]
        for look in looks(before, random, deployments):
            second = min(119, int(look.seconds - 1e-6))
            for counts, some in zip(seen, (look.requests, look.events), strict=True):
                counts[second] += some
        found = np.empty(deployments)
        for number, (requests, events) in enumerate(zip(*(counts.T.tolist() for counts in seen), strict=True)):
            samples = [
                Sample.of(second + 1.0, seconds=1.0, requests=n, errors=k)
                for second, (n, k) in enumerate(zip(requests, events, strict=True))
            ]
            window = Window("the last 2 minutes", sum(requests), sum(events))
            found[number] = Baseline((window,), worst_of(samples, window)).error_unrest(ALLOWED, PROBABILITY)
        return found

    return forgiven


def latency_record(rate: float, requests: int) -> Callable[[np.random.Generator, int], tuple[Floats, Scenario]]:
    """Green is as slow as blue, and may be 20 % slower at the 99th percentile. Latencies are log-normal, with a median
    anywhere between 20 and 200 ms."""

    def limits(random: np.random.Generator, deployments: int) -> tuple[Floats, Scenario]:
        medians = 20.0 * 10.0 ** random.random(deployments)
        limit, share = np.empty(deployments), np.empty(deployments)
        for number, middle in enumerate(medians):
            law = stats.norm(np.log(middle), 0.5)
            below = law.cdf(np.log(EDGES_MILLISECONDS))
            counted = random.multinomial(requests, np.diff(below, prepend=0.0, append=1.0))
            window = Window("the last minute", requests, 0, tuple(int(count) for count in counted))
            found = Baseline((window,)).slow_limit(0.01, 0.2, Policy().min_requests)
            assert found is not None, "there are enough requests"
            limit[number] = found[1]
            share[number] = 1.0 - below[EDGES_MILLISECONDS.index(found[0])]
        return limit, Scenario("", constant(rate), lambda seconds, own: own, own=share)

    return limits


def cases() -> Iterator[Case]:
    yield from _errors()
    yield from _latencies()
    yield from _canaries()
    yield from _beyond_the_bound()


def _errors() -> Iterator[Case]:
    at = Scenario("", constant(RATE), constant(ALLOWED))
    yield Case(replace(at, name="errors 0.1 %, 200/s", share=constant(0.001)))
    yield Case(replace(at, name="errors exactly at the limit, 200/s"))
    yield Case(replace(at, name="at the limit, 10/s", rate=constant(10.0)))
    yield Case(replace(at, name="at the limit, one a minute", rate=constant(1 / 60)))
    yield Case(replace(at, name="at the limit, sinus of 60 s, 20/s to 380/s", rate=sinus))
    yield Case(replace(at, name="at the limit, traffic x 3 at the switch", rate=tripled_at_the_switch))
    yield Case(replace(at, name="at the limit, traffic x 10 for 2 s every 30 s", rate=bursts))
    yield Case(replace(at, name="0.05 %, at the limit for 5 s every 20 s", share=again_and_again(ALLOWED, 5.0, 20.0)))
    yield Case(replace(at, name="at the limit, good answers take 10 s, errors none", good_seconds=10.0))
    yield Case(replace(at, name="at the limit, errors take 5 s, good answers none", event_seconds=5.0))
    for took in (5.0, 30.0):
        name = f"0.5 %, errors take {took:g} s, traffic falls to 1 % at once"
        yield Case(replace(at, name=name, share=constant(0.005), rate=falling_off, event_seconds=took))
    yield Case(Scenario("blue failed 5 % before, green too, 200/s", at.rate, at.share), error_record(RATE, 0.05))
    yield Case(Scenario("blue failed 5 % before, green too, 2/s", at.rate, at.share), error_record(2.0, 0.05))


def _latencies() -> Iterator[Case]:
    at = Scenario("", constant(RATE), constant(ALLOWED), event_seconds=0.5)
    yield Case(replace(at, name="latency: exactly at the limit, slow ones take 0.5 s"), latency=True)
    yield Case(replace(at, name="latency: at the limit, sinus", rate=sinus), latency=True)
    yield Case(
        replace(at, name="latency: at the limit, traffic x 3 at the switch", rate=tripled_at_the_switch), latency=True
    )
    name = "latency: at the limit, slow ones take 2 s, traffic x 10 for 2 s"
    yield Case(replace(at, name=name, rate=bursts, event_seconds=2.0), latency=True)
    for requests in (10_000, 500, 50):
        name = f"latency: as slow as blue, whose record has {requests:,} requests"
        yield Case(replace(at, name=name), latency_record(RATE, requests), latency=True)


def _canaries() -> Iterator[Case]:
    at = Scenario("", constant(RATE), constant(ALLOWED), portion=steps)
    yield Case(replace(at, name="canary 10, 50, 100 %: both sides at the limit"))
    for height in (0.05, 0.5, 1.0):
        share = incident(height, 20.0, until=2 * STEP_SECONDS)
        yield Case(replace(at, name=f"canary: {height:.0%} fail on both sides for 20 s", share=share))
    usual = constant(0.0005)
    yield Case(
        replace(at, name="canary: green 0.5 %, allowed 1 %, blue 0.05 %", share=constant(0.005), other_share=usual)
    )
    share = incident(0.05, 20.0, until=2 * STEP_SECONDS, usual=ALLOWED)
    yield Case(
        replace(at, name="canary: latency, 5 % slow on both sides for 20 s", share=share, event_seconds=0.5),
        latency=True,
    )


def _beyond_the_bound() -> Iterator[Case]:
    at = Scenario("", constant(RATE), constant(ALLOWED))
    for height, seconds in ((1.0, 0.1), (1.0, 1.0), (0.05, 5.0), (0.02, 30.0)):
        name = f"0.1 %, once {height:.0%} for {seconds:g} s, whoever's fault"
        yield Case(replace(at, name=name, share=incident(height, seconds)), bound_holds=False)
    for height, length, every in ((0.1, 1.0, 20.0), (1.0, 0.1, 20.0), (0.03, 10.0, 60.0)):
        name = f"{height:.0%} for {length:g} s every {every:g} s"
        restless = replace(at, name=name, share=again_and_again(height, length, every))
        yield Case(restless, bound_holds=False)
        known = replace(restless, name=f"{name}, as blue did before")
        yield Case(known, unrest=restless_record(known), bound_holds=False)
    share = incident(0.5, 20.0, until=DEPLOYMENT_SECONDS - 2 * STEP_SECONDS)
    late = replace(at, name="canary: 50 % for 20 s once green is alone", portion=steps)
    yield Case(replace(late, share=lambda s, own: share(s - 2 * STEP_SECONDS, own)), bound_holds=False)


def measure() -> Sequence[Row]:
    """One process for each core: a scenario's random numbers are its own, whichever simulates it."""
    with ProcessPoolExecutor(len(os.sched_getaffinity(0))) as processes:
        return list(processes.map(_row_of_number, range(len(list(cases())))))


def _row_of_number(number: int) -> Row:
    case = list(cases())[number]
    return _row(case, case.simulate(number_of_deployments()))


def _row(case: Case, outcomes: Outcomes) -> Row:
    deployments, found = len(outcomes.seconds), outcomes.rolled_back
    share = found / deployments
    low, high = stats.binomtest(found, deployments).proportion_ci(0.95, method="exact")
    what = f"{deployments:,} deployments of {DEPLOYMENT_SECONDS:.0f} s"
    if not case.bound_holds:
        return information(case.scenario.name, what, f"{share:.2%}")
    result = f"{found} ({share:.5f}; 95 %: {low:.5f} to {high:.5f})"
    return Row(case.scenario.name, what, f"<= {PROBABILITY}", result, share <= PROBABILITY)
