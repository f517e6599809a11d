"""A deployment rehearsed with imagined traffic: how soon would the real engine notice a bad version?

Requests come as a Poisson process and fail independently of each other. What is noticed is decided by the very
`Watch` and verdicts that decide in earnest. Randomness is an argument.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from bluegreen.domain.latency import EDGES_MILLISECONDS
from bluegreen.domain.model import SlotTraffic
from bluegreen.domain.poisson import Uniform, poisson
from bluegreen.domain.service import Policy
from bluegreen.domain.verdict import Answer, Verdict, combined, judge_errors, judge_latency
from bluegreen.domain.watch import Watch, Yardstick

LOOK_GROWTH = 0.08
"""After the first seconds, looks are this share of the time since the switch apart: a rehearsal looks some hundred
times, not thousands. It notices by at most this share later than the daemon, which looks every `poll_seconds`."""
_BUCKETS = len(EDGES_MILLISECONDS) + 1


@dataclass(frozen=True, slots=True)
class Behavior:
    """Shares of a version's requests that fail, and that take longer than the limit."""

    failing: float
    slow: float = 0.0


@dataclass(frozen=True, slots=True)
class Look:
    """`seconds` since the switch; until then green was on this step (from 0). `last` is that of a step, and `ends`
    marks the end of the time to watch."""

    seconds: float
    step: int
    last: bool = False
    ends: bool = False


@dataclass(frozen=True, slots=True)
class Stage:
    """A step: green's share of the traffic, what it is watched by, and what both sides do to users meanwhile."""

    percent: int
    policy: Policy
    yardstick: Yardstick
    green: Behavior
    blue: Behavior


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """`rate` is what the service gets in requests per second, both sides together."""

    stages: tuple[Stage, ...]
    rate: float
    looks: tuple[Look, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """`seconds` is when it was noticed, None when it was not by the last look. `requests` and `failed` are green's
    until then. `at_the_end` is the verdict when the time to watch was over, or that of the step which held before; None
    when it was noticed before."""

    seconds: float | None
    requests: int
    failed: int
    verdict: Verdict
    at_the_end: Verdict | None


def looks_of(policies: Sequence[Policy], *, beyond_seconds: float = 0.0) -> tuple[Look, ...]:
    """Every `poll_seconds` first, then ever rarer; always at the end of each step, which takes the `monitor_seconds` of
    its policy. `beyond_seconds` is how long it is looked on after that as if nothing had been decided."""
    ends = list(accumulate(policy.monitor_seconds for policy in policies))
    stretches = list(enumerate(ends))
    if beyond_seconds > 0:
        stretches.append((len(policies) - 1, ends[-1] + beyond_seconds))
    found: list[Look] = []
    seconds = 0.0
    for step, end in stretches:
        while seconds < end:
            seconds = min(end, seconds + max(policies[step].poll_seconds, LOOK_GROWTH * seconds))
            found.append(Look(seconds, step, last=seconds >= end, ends=seconds == ends[-1]))
    return tuple(found)


def rehearse(rehearsal: Rehearsal, uniform: Uniform) -> Outcome:
    """One deployment, from the switch to the moment when it is noticed or to the last look. A step that can't tell
    holds: from then on green keeps its share."""
    stages = rehearsal.stages
    watch = Watch(stages[0].yardstick).after(0.0, SlotTraffic(), SlotTraffic(), concurrent=stages[0].percent < 100)
    green, blue = SlotTraffic(), SlotTraffic()
    verdict = _judged(watch, stages[0].policy)
    before, step, at_the_end, over = 0.0, 0, None, False
    for look in rehearsal.looks:
        stage = stages[step]
        came = rehearsal.rate * (look.seconds - before)
        before = look.seconds
        bad = green.errors, _slow(green)
        green = _more(green, came * stage.percent / 100, stage.green, uniform)
        blue = _more(blue, came * (100 - stage.percent) / 100, stage.blue, uniform)
        if (green.errors, _slow(green)) == bad and not look.last:
            continue  # Good requests are no evidence against it; they are counted with the next ones.
        watch = watch.after(look.seconds, green, blue, concurrent=stage.percent < 100)
        verdict = _judged(watch, stage.policy)
        if verdict.answer is Answer.FAIL:
            return Outcome(look.seconds, green.requests, green.errors, verdict, at_the_end if over else None)
        over = over or look.ends
        if look.last and at_the_end is None:
            if look.ends or verdict.answer is not Answer.PASS:
                at_the_end = verdict
            else:
                step += 1
                watch = watch.next_step(stages[step].yardstick)
    return Outcome(None, green.requests, green.errors, verdict, at_the_end)


def _judged(watch: Watch, policy: Policy) -> Verdict:
    latency = judge_latency(watch, policy)
    return combined([judge_errors(watch, policy), *([latency] if latency else [])])


def _slow(traffic: SlotTraffic) -> int:
    return traffic.latency[-1] if traffic.latency else 0


def _more(counted: SlotTraffic, mean: float, behavior: Behavior, uniform: Uniform) -> SlotTraffic:
    """With what came of `mean` requests on average: each kind is a Poisson process of its own."""
    if mean <= 0.0:
        return counted
    failing, slow = behavior.failing, behavior.slow
    good = poisson(mean * (1 - failing) * (1 - slow), uniform)
    failed = poisson(mean * failing * (1 - slow), uniform)
    late = late_failed = 0
    if slow:
        late = poisson(mean * (1 - failing) * slow, uniform)
        late_failed = poisson(mean * failing * slow, uniform)
    quick = (counted.latency[0] if counted.latency else 0) + good + failed
    return SlotTraffic(
        requests=counted.requests + good + failed + late + late_failed,
        errors=counted.errors + failed + late_failed,
        latency=(quick, *(0,) * (_BUCKETS - 2), _slow(counted) + late + late_failed),
    )
