"""How soon a service's policy would notice a bad version, and what it would make of a good one."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from bluegreen.domain.baseline import Baseline, Window
from bluegreen.domain.errors import UsageError
from bluegreen.domain.latency import EDGES_MILLISECONDS
from bluegreen.domain.rehearsal import Behavior, Outcome, Rehearsal, Stage, looks_of, rehearse
from bluegreen.domain.sequential import requests_needed
from bluegreen.domain.service import Policy, ServiceSpec
from bluegreen.domain.strategy import steps_of, watched_at
from bluegreen.domain.verdict import Answer
from bluegreen.domain.watch import Yardstick, yardstick

RECORD_SECONDS = 600.0
MOST_RUNS = 100_000
GOOD_RUNS_SHARE = 10
"""A good version is watched to the end, which takes long to rehearse: one run for so many of a bad one."""
LEAST_GOOD_RUNS = 50
BEYOND = 20.0
"""It is looked on for so many times the time to watch, or the time in which the least requests needed come, to tell how
long it would have taken to notice."""
LONGEST_SECONDS = 86_400.0
ASSUMPTIONS = (
    "requests come at random (Poisson) at a constant rate, and fail independently of each other",
    "latencies fall off exponentially above the given one",
    "the router's counters are read in time; the switch back takes milliseconds more",
    "health, restarts and own analyses are left out: they can only notice sooner",
)


@dataclass(frozen=True, slots=True)
class Imagined:
    """`latency_ms` is what the policy's `latency_quantile` of requests does not exceed; None: fast."""

    rate: float
    error_rate: float | None = None
    blue_error_rate: float | None = None
    latency_ms: float | None = None
    blue_latency_ms: float | None = None
    strategy: str = "blue-green"
    runs: int = 1000
    seed: int = 1


@dataclass(frozen=True, slots=True)
class SimulationView:
    """Of a bad version: `..._median` and `..._p90` until it was noticed, null when that took longer than
    `horizon_seconds`; shares of `runs`. Of a good one, which does what blue does: shares of `good_runs`."""

    service: str
    strategy: str
    rate: float
    error_rate: float
    slow_rate: float
    blue_error_rate: float
    runs: int
    seed: int
    monitor_seconds: float
    error_limit: float
    horizon_seconds: float
    seconds_median: float | None
    seconds_p90: float | None
    requests_median: int | None
    requests_p90: int | None
    failed_median: int | None
    failed_p90: int | None
    noticed_share: float
    passed_share: float
    held_share: float
    least_requests: float | None
    verdict: str
    good_runs: int
    good_rolled_back: int
    good_passed_share: float
    good_held_share: float
    good_verdict: str
    false_rollback_probability: float
    hints: tuple[str, ...] = ()
    assumptions: tuple[str, ...] = ASSUMPTIONS


def simulate(spec: ServiceSpec, imagined: Imagined) -> SimulationView:
    """The same for the same seed. Raises UsageError naming the parameter."""
    policy = spec.policy
    blue_errors = policy.max_error_rate / 10 if imagined.blue_error_rate is None else imagined.blue_error_rate
    errors = imagined.error_rate
    if errors is None:
        errors = 0.05 if imagined.latency_ms is None else blue_errors
    _check(imagined, policy, errors, blue_errors)
    stages = tuple(_stages(spec, imagined, errors, blue_errors))
    policies = [stage.policy for stage in stages]
    by, bad = stages[0].yardstick, stages[0].green
    until = sum(policy.monitor_seconds for policy in policies)
    draw = random.Random(imagined.seed).random  # noqa: S311 - a rehearsal is no secret
    least = _least(bad, by)
    beyond = 0.0 if least is None else min(LONGEST_SECONDS, BEYOND * max(until, least / imagined.rate))
    rehearsal = Rehearsal(stages, imagined.rate, looks_of(policies, beyond_seconds=beyond))
    bad_runs = [rehearse(rehearsal, draw) for _ in range(imagined.runs)]
    as_blue = tuple(replace(stage, green=stage.blue) for stage in stages)
    rehearsal = Rehearsal(as_blue, imagined.rate, looks_of(policies))
    count = min(imagined.runs, max(LEAST_GOOD_RUNS, imagined.runs // GOOD_RUNS_SHARE))
    good_runs = [rehearse(rehearsal, draw) for _ in range(count)]
    view = SimulationView(
        service=spec.name,
        strategy=imagined.strategy,
        rate=imagined.rate,
        error_rate=errors,
        slow_rate=bad.slow,
        blue_error_rate=blue_errors,
        runs=imagined.runs,
        seed=imagined.seed,
        monitor_seconds=until,
        error_limit=by.error_limit,
        horizon_seconds=until + beyond,
        **_noticed(bad_runs),
        noticed_share=_part(bad_runs, lambda run: run.seconds is not None and run.seconds <= until),
        passed_share=_part(bad_runs, _ended(Answer.PASS)),
        held_share=_part(bad_runs, _ended(Answer.INCONCLUSIVE)),
        least_requests=least,
        verdict=bad_runs[0].verdict.reason,
        good_runs=count,
        good_rolled_back=sum(run.seconds is not None for run in good_runs),
        good_passed_share=_part(good_runs, _ended(Answer.PASS)),
        good_held_share=_part(good_runs, _ended(Answer.INCONCLUSIVE)),
        good_verdict=good_runs[0].verdict.reason,
        false_rollback_probability=policy.false_rollback_probability,
    )
    return replace(view, hints=tuple(_hints(view, stages, imagined)))


def _stages(spec: ServiceSpec, imagined: Imagined, errors: float, blue_errors: float) -> Iterator[Stage]:
    """Each step with the times and limits that hold on it."""
    shares = steps_of(imagined.strategy, spec.canary)
    for percent in shares:
        policy = watched_at(percent, spec).policy
        by = yardstick(policy, _record(imagined, policy, blue_errors), concurrent=len(shares) > 1)
        good = Behavior(blue_errors, _slow_share(imagined.blue_latency_ms, by, policy))
        yield Stage(percent, policy, by, Behavior(errors, _slow_share(imagined.latency_ms, by, policy)), good)


def _check(imagined: Imagined, policy: Policy, errors: float, blue_errors: float) -> None:
    for name, share in (("--error-rate", errors), ("--blue-error-rate", blue_errors)):
        if not 0.0 <= share <= 1.0:
            raise UsageError(f"{name}: must be a share between 0 and 1, got {share:g}", hint="5 % is 0.05")
    if not 0.0 < imagined.rate <= 1e6:
        raise UsageError(f"--rate: must be above 0 and at most 1000000 requests per second, got {imagined.rate:g}")
    if not 1 <= imagined.runs <= MOST_RUNS:
        raise UsageError(f"--runs: must be between 1 and {MOST_RUNS}, got {imagined.runs}")
    for name, latency in (("--latency-ms", imagined.latency_ms), ("--blue-latency-ms", imagined.blue_latency_ms)):
        if latency is not None and not 0.0 < latency < math.inf:
            raise UsageError(f"{name}: must be above 0 milliseconds, got {latency:g}")
    compares = policy.max_latency_ms is None and policy.max_latency_increase is not None
    if compares and imagined.latency_ms is not None and imagined.blue_latency_ms is None:
        raise UsageError(
            "--blue-latency-ms: is needed, for policy.max_latency_increase compares with it",
            hint="What blue's requests take now: bluegreen metrics request_latency_p99",
        )


def _record(imagined: Imagined, policy: Policy, blue_errors: float) -> Baseline:
    """What blue did in ten minutes, on average."""
    requests = round(imagined.rate * RECORD_SECONDS)
    histogram: tuple[int, ...] = ()
    if imagined.blue_latency_ms is not None:
        latency = imagined.blue_latency_ms
        above = [1.0, *(_tail(edge, latency, policy) for edge in EDGES_MILLISECONDS), 0.0]
        histogram = tuple(round(requests * (more - less)) for more, less in pairwise(above))
    return Baseline((Window("the last 10 minutes", requests, round(requests * blue_errors), histogram),))


def _tail(milliseconds: float, latency_ms: float, policy: Policy) -> float:
    """The share of requests that take longer, when `latency_quantile` of them take `latency_ms` at most."""
    return math.exp(math.log1p(-policy.latency_quantile) * milliseconds / latency_ms)


def _slow_share(latency_ms: float | None, by: Yardstick, policy: Policy) -> float:
    if latency_ms is None or by.slow_milliseconds is None or math.isinf(by.slow_milliseconds):
        return 0.0
    return _tail(by.slow_milliseconds, latency_ms, policy)


def _noticed(runs: Sequence[Outcome]) -> dict[str, Any]:
    """Medians and 90th percentiles; a run in which nothing was noticed counts as endless."""
    noticed = [run for run in runs if run.seconds is not None]
    numbers: dict[str, Any] = {}
    for name, share in (("median", 0.5), ("p90", 0.9)):
        position = math.ceil(share * len(runs)) - 1
        for key in ("seconds", "requests", "failed"):
            values = sorted(getattr(run, key) for run in noticed)
            numbers[f"{key}_{name}"] = round(values[position], 3) if position < len(values) else None
    return numbers


def _part(runs: Sequence[Outcome], holds: Callable[[Outcome], bool]) -> float:
    return sum(map(holds, runs)) / len(runs)


def _ended(answer: Answer) -> Callable[[Outcome], bool]:
    """Whether the time to watch was over with this answer."""
    return lambda run: run.at_the_end is not None and run.at_the_end.answer is answer


def _least(bad: Behavior, by: Yardstick) -> float | None:
    """Wald's bound for the easier of the two questions; None when neither can be told."""
    beyond = [(bad.failing, by.error_limit), (bad.slow, by.slow_limit)]
    needed = [requests_needed(share, limit, by.probability) for share, limit in beyond if share > limit > 0.0]
    return round(min(needed), 1) if needed else None


def _hints(view: SimulationView, stages: Sequence[Stage], imagined: Imagined) -> Iterator[str]:
    """What the numbers mean for the policy, or for the canary's first step, on which a bad version is to be found."""
    policy, by = stages[0].policy, stages[0].yardstick
    canary = len(stages) > 1
    watched = "canary.observe_seconds" if canary else "monitor_seconds"
    rate = view.rate * stages[0].percent / 100
    bad = view.error_rate > by.error_limit or view.slow_rate > by.slow_limit
    if not bad:
        yield f"nothing is to be noticed: {view.error_rate:.2%} failing is accepted, up to {by.error_limit:.2%}"
    if by.error_limit > policy.max_error_rate:
        yield (
            f"blue fails {view.blue_error_rate:.2%}, more than max_error_rate ({policy.max_error_rate:.2%}), so that "
            f"{by.error_limit:.2%} is accepted of green"
        )
    if imagined.latency_ms is not None and by.slow_milliseconds is None:
        yield "slowness is not noticed: set policy.max_latency_ms or policy.max_latency_increase"
    if bad and view.seconds_p90 is None:
        yield (
            f"more than one such version in ten is not noticed within {view.horizon_seconds:.0f} s: "
            "consider a lower max_error_rate"
        )
    elif bad and view.seconds_p90 is not None and view.seconds_p90 > policy.monitor_seconds:
        yield (
            f"at {rate:g} requests/s{' to it' if canary else ''} it takes {view.seconds_p90:.0f} s until nine of ten "
            f"are noticed, and {'its first step' if canary else 'it'} is watched for {policy.monitor_seconds:g} s: "
            f"consider {watched} >= {_round_up(view.seconds_p90)}"
        )
    if view.good_held_share > 0.1:
        seconds = _round_up(1.5 * policy.min_requests / rate)
        yield (
            f"{view.good_held_share:.0%} of good versions can't be told in time (on_inconclusive = "
            f"{policy.on_inconclusive}): {rate * policy.monitor_seconds:.0f} requests come "
            f"{'on the first step' if canary else 'while it is watched'}, "
            f"min_requests is {policy.min_requests}: consider {watched} >= {seconds}"
        )
    if not policy.auto_rollback:
        yield "auto_rollback is off: people are told, and the traffic stays until one of them moves it"


def _round_up(seconds: float) -> int:
    """To a number that people would write."""
    unit = 10 if seconds < 300 else 60
    return math.ceil(seconds / unit) * unit
