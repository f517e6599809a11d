"""How often people are told how far a pull is."""

from __future__ import annotations

from dataclasses import dataclass

SHORTEST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 15.0
STEP_PERCENT = 10.0


@dataclass(frozen=True, slots=True)
class Told:
    """What was told last, and when (seconds by a clock that only grows)."""

    at: float
    percent: float


def worth_telling(last: Told | None, now: float, received_bytes: int, total_bytes: int) -> Told | None:
    """What to tell now; None when it can wait. At once when the size is known, then every ten percent, at most once a
    second; a slow pull every fifteen seconds. The share may shrink, as more of the image becomes known."""
    if total_bytes <= 0:
        return None
    told = Told(now, 100.0 * received_bytes / total_bytes)
    if last is None:
        return told
    waited, grown = now - last.at, told.percent - last.percent
    if waited >= SHORTEST_PAUSE_SECONDS and grown >= STEP_PERCENT:
        return told
    return told if waited >= LONGEST_PAUSE_SECONDS and grown else None
