"""Poisson numbers from a source of uniform ones, which is an argument: the domain has no randomness of its own."""

from __future__ import annotations

import math
from collections.abc import Callable

Uniform = Callable[[], float]
"""Numbers from 0 (included) to 1 (excluded), as `random.Random.random` gives them."""

SMALL_MEAN = 10.0
"""Below it multiplying is quicker than rejecting."""


def poisson(mean: float, uniform: Uniform) -> int:
    """How many of things come that come independently, `mean` on average. `mean` must not be negative."""
    if mean < SMALL_MEAN:
        return _by_products(mean, uniform)
    return _by_rejection(mean, uniform)


def _by_products(mean: float, uniform: Uniform) -> int:
    """Knuth, The Art of Computer Programming 2, 3.4.1: gaps between arrivals are exponential."""
    least = math.exp(-mean)
    count, product = 0, uniform()
    while product > least:
        count += 1
        product *= uniform()
    return count


def _by_rejection(mean: float, uniform: Uniform) -> int:
    """Hörmann, The transformed rejection method for generating Poisson random variables (1993), algorithm PTRS."""
    scale = 0.931 + 2.53 * math.sqrt(mean)
    slope = -0.059 + 0.02483 * scale
    hat = 1.1239 + 1.1328 / (scale - 3.4)
    surely = 0.9277 - 3.6224 / (scale - 2.0)
    while True:
        place, height = uniform() - 0.5, 1.0 - uniform()
        edge = 0.5 - abs(place)
        if edge <= 0.0:
            continue
        count = math.floor((2.0 * slope / edge + scale) * place + mean + 0.43)
        if edge >= 0.07 and height <= surely:
            return count
        if count < 0 or (edge < 0.013 and height > edge):
            continue
        accepted = count * math.log(mean) - mean - math.lgamma(count + 1)
        if math.log(height * hat / (slope / edge**2 + scale)) <= accepted:
            return count
