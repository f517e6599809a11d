"""Moments and durations as people and agents write them. Nothing here asks a clock: now is an argument."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from bluegreen.domain.errors import UsageError

SECONDS_OF = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
LAST_MOMENT = 253_402_300_799.0
"""The end of the year 9999, the last that ISO 8601 can write."""
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?) ?([smhd])")
_EXAMPLES = "Write 2026-11-24T04:10:00Z, now, or a time before now: -5m (or 5m), -30s, -2h, -1d"


def parse_duration(parameter: str, text: str) -> float:
    """Seconds of `10s`, `5m`, `1.5h` or `2d`. Raises UsageError naming the parameter."""
    matched = _DURATION.fullmatch(text.strip())
    seconds = float(matched[1]) * SECONDS_OF[matched[2]] if matched else 0.0
    if seconds <= 0:
        raise UsageError(
            f"{parameter}: {text[:40]!r} is no duration", hint="Write a number and a unit: 10s, 5m, 2h, 1d"
        )
    return seconds


def parse_moment(parameter: str, text: str, now: float) -> float:
    """Seconds since the epoch of `now`, `-5m` or `5m` (both are five minutes ago), or an ISO 8601 moment (UTC when it
    has no offset), from 1970 to 9999. Raises UsageError naming the parameter."""
    text = text.strip()
    if text == "now":
        return now
    try:
        if _DURATION.fullmatch(ago := text.removeprefix("-")):
            seconds = now - parse_duration(parameter, ago)
        else:
            moment = datetime.fromisoformat(text)
            seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (UsageError, ValueError, OverflowError):
        raise UsageError(f"{parameter}: {text[:40]!r} is no moment", hint=_EXAMPLES) from None
    if not 0 <= seconds <= LAST_MOMENT:
        raise UsageError(f"{parameter}: {text[:40]!r} is not between the years 1970 and 9999", hint=_EXAMPLES)
    return seconds


def iso(epoch_seconds: float) -> str:
    """`2026-11-24T04:10:00.000Z`, to the millisecond. For moments as `parse_moment` gives them."""
    seconds, milliseconds = divmod(round(epoch_seconds * 1000), 1000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{milliseconds:03d}Z"
