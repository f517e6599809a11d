"""Which server line of a backend holds which endpoint. Pure.

A backend has a fixed number of server lines, some without an endpoint (in maintenance), so that endpoints come
and go without a reload. An endpoint keeps its line: its connections and its health are not disturbed.
"""

from __future__ import annotations

from collections.abc import Sequence

from bluegreen.domain.model import Endpoint

Slots = tuple[Endpoint | None, ...]


def slot_count(endpoints: int) -> int:
    """A power of two with room to spare: a restarted replica comes back on a new port before the old line is free."""
    count = 2
    while count < endpoints + 1:
        count *= 2
    return count


def assign(current: Slots, wanted: Sequence[Endpoint]) -> Slots | None:
    """The lines after the change, or None when there are more endpoints than lines. Free lines are used before
    those whose endpoint goes away, because the latter may still be finishing requests."""
    if len(wanted) > len(current):
        return None
    arriving = [endpoint for endpoint in dict.fromkeys(wanted) if endpoint not in current]
    free = [index for index, endpoint in enumerate(current) if endpoint is None]
    leaving = [index for index, endpoint in enumerate(current) if endpoint is not None and endpoint not in wanted]
    result: list[Endpoint | None] = [endpoint if endpoint in wanted else None for endpoint in current]
    for index, endpoint in zip(free + leaving, arriving, strict=False):
        result[index] = endpoint
    return tuple(result)


def grown(current: Slots, count: int) -> Slots:
    return current + (None,) * (count - len(current))
