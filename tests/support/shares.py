"""Whether counted requests can come from a router that splits traffic as it was told."""

from __future__ import annotations

import math

CHANCE = 1e-7
"""A good router is suspected at most so often, for each of the two sides that a share can be wrong on."""


def assert_share(hits: int, requests: int, percent: int) -> None:
    """Raises AssertionError when so many (or so few) of the requests would be on a side with `percent` by a chance
    below `CHANCE`. Each request is drawn for itself, so the number is binomial."""
    assert requests > 0, "nothing was counted"
    share = percent / 100
    least = sum(_probability(count, requests, share) for count in range(hits + 1))
    most = sum(_probability(count, requests, share) for count in range(hits, requests + 1))
    assert least > CHANCE, f"only {hits} of {requests} requests at {percent} %"
    assert most > CHANCE, f"as many as {hits} of {requests} requests at {percent} %"


def _probability(count: int, requests: int, share: float) -> float:
    ways = math.lgamma(requests + 1) - math.lgamma(count + 1) - math.lgamma(requests - count + 1)
    return math.exp(ways + count * math.log(share) + (requests - count) * math.log1p(-share))
