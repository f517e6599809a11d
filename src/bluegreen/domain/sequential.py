"""Evidence that may be looked at after every request: how strongly the counts speak against "green is good enough".

Evidence is the logarithm of an e-value: a non-negative supermartingale that begins at 1 while green is good enough.
By Ville's inequality (1939) the chance that it ever reaches `ln(1/a)` is then at most `a`, however often one looks
and whenever one stops. Each step multiplies it by a likelihood ratio, so for a bad green it grows as fast as Wald's
sequential probability ratio test (1945), less what the mixture costs.

It is a mixture, for two things are not known: how much worse green is (ODDS_RATIOS) and since when. Most of the
stake is laid on "since the first request"; the rest on each later second, so that a green which breaks after minutes
of good answers is still noticed within seconds (Shiryaev 1963; for e-values Shin, Ramdas, Rinaldo, arXiv 2203.03532).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

ODDS_RATIOS = (1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0, 1000.0)
"""How many times worse green's odds of a failure may be."""
STAKES = (0.04, 0.08, 0.20, 0.30, 0.20, 0.08, 0.06, 0.04)
"""What is laid on each of them; they add up to 1."""
FIRST_STAKE = 0.75
"""What is laid on "since the first request"."""


@dataclass(frozen=True, slots=True)
class Counted:
    """Some requests, and those among them that were what is tested for: failed, or slow."""

    requests: int = 0
    events: int = 0

    def plus(self, other: Counted) -> Counted:
        return Counted(self.requests + other.requests, self.events + other.events)

    @property
    def share(self) -> float | None:
        """0 to 1; None without requests, for no requests is not a share of zero."""
        return self.events / self.requests if self.requests else None


@dataclass(frozen=True, slots=True)
class Evidence:
    """`paths` are the logarithms of what each stake on an odds ratio has become; `seconds` is the last second on
    which a stake was laid."""

    paths: tuple[float, ...] = tuple(math.log(FIRST_STAKE * stake) for stake in STAKES)
    seconds: int = 0

    def after(self, gains: Sequence[float], seconds: float) -> Evidence:
        """`gains` are the log likelihood ratios of what was counted up to `seconds` since the test began. A clock that
        went backwards lays no stake."""
        if not any(gains):
            return self
        whole = max(self.seconds, int(seconds))
        laid = unlaid(self.seconds) - unlaid(whole)
        paths = self.paths
        if laid > 0:
            paths = tuple(log_sum((path, math.log(laid * stake))) for path, stake in zip(paths, STAKES, strict=True))
        return Evidence(tuple(path + gain for path, gain in zip(paths, gains, strict=True)), whole)

    @property
    def value(self) -> float:
        """The logarithm of the e-value; 0 when nothing was counted."""
        return log_sum((*self.paths, math.log(unlaid(self.seconds))))


def unlaid(seconds: int) -> float:
    """The stake that is left for what begins later: 1/4, 1/8, 1/12, … It never ends, and needs no horizon."""
    return (1.0 - FIRST_STAKE) / (seconds + 1)


def log_sum(values: Iterable[float]) -> float:
    """The logarithm of the sum of the exponentials, without overflow."""
    known = tuple(values)
    highest = max(known)
    return highest + math.log(sum(math.exp(value - highest) for value in known))


def gains_against_limit(counted: Counted, limit: float) -> tuple[float, ...]:
    """Log likelihood ratio of each odds ratio against "a request is an event with probability `limit` at most".

    The Bernoulli likelihood ratio of p1 > limit is a supermartingale for every probability up to the limit. All are 0
    for a limit of 0 or 1: nothing can be tested there.
    """
    if not 0.0 < limit < 1.0 or not counted.requests:
        return (0.0,) * len(ODDS_RATIOS)
    events = min(counted.events, counted.requests)
    good = counted.requests - events
    gains = []
    for ratio in ODDS_RATIOS:
        # p1 = ratio * limit / normal, and 1 - p1 = (1 - limit) / normal.
        normal = 1.0 - limit + ratio * limit
        gains.append(events * math.log(ratio / normal) - good * math.log(normal))
    return tuple(gains)


def gains_against_other(mine: Counted, other: Counted) -> tuple[float, ...]:
    """Log likelihood ratio of each odds ratio against "events hit both sides alike", for requests of the same moments.

    Given that an event happened, it is mine with the probability of my share of the requests, whatever their number
    and however many fail (Lindon and Malek, arXiv 2011.03567). Drawing without replacement as here makes convex
    functions of it no larger (Hoeffding 1963), so the bound holds for large shares of events too.
    """
    requests = mine.requests + other.requests
    if not mine.requests or not other.requests:
        return (0.0,) * len(ODDS_RATIOS)
    share = mine.requests / requests
    events, others = min(mine.events, mine.requests), min(other.events, other.requests)
    gains = []
    for ratio in ODDS_RATIOS:
        normal = 1.0 - share + ratio * share
        gains.append(events * math.log(ratio / normal) - others * math.log(normal))
    return tuple(gains)


def worth(counted: Counted, limit: float) -> float:
    """The evidence that these requests are if the test had begun just before them."""
    gains = gains_against_limit(counted, limit)
    return log_sum(math.log(stake) + gain for stake, gain in zip(STAKES, gains, strict=True))


def bound(probability: float) -> float:
    """The evidence that good versions reach with this probability at most."""
    return math.log(1.0 / probability)


def divergence(share: float, limit: float) -> float:
    """Kullback-Leibler divergence of two Bernoulli variables in nats: what one request tells on average."""
    total = 0.0
    for mine, its in ((share, limit), (1.0 - share, 1.0 - limit)):
        if mine > 0.0:
            if its <= 0.0:
                return math.inf
            total += mine * math.log(mine / its)
    return max(0.0, total)


def requests_needed(share: float, limit: float, probability: float) -> float:
    """Wald's bound: the requests that any test with this chance of a false alarm needs on average to tell `share`
    from `limit`. Infinite when they are the same."""
    told = divergence(share, limit)
    return bound(probability) / told if told > 0.0 else math.inf


def surely_more(counted: Counted, share: float, probability: float) -> bool:
    """Whether more of them are events than would come by luck with this probability if each were one with `share`
    (Chernoff bound, for one look)."""
    observed = counted.share or 0.0
    return observed > share and counted.requests * divergence(min(1.0, observed), share) >= bound(probability)


def upper_share(counted: Counted, probability: float) -> float:
    """The largest share that is still plausible (Chernoff bound): the true one is above it with `probability` at most.
    1 without requests."""
    if not counted.requests:
        return 1.0
    observed = min(counted.events, counted.requests) / counted.requests
    told = bound(probability) / counted.requests
    low, high = observed, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        if divergence(observed, middle) > told:
            high = middle
        else:
            low = middle
    return high
