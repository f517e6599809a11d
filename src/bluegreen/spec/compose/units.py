"""Durations, sizes and numbers as Compose writes them."""

from __future__ import annotations

import math
import re
from typing import Any

_DURATION = re.compile(r"(?:([0-9]{1,15}(?:\.[0-9]{1,9})?)(us|ms|s|m|h))")
_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_SIZE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?)\s*([kmgtp]?)(?:i?b)?", re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}


def seconds(value: Any) -> float | None:
    """`1m30s`, `500ms`; None when it is no duration."""
    text = str(value)
    found = _DURATION.findall(text)
    if not found or "".join(number + unit for number, unit in found) != text:
        return 0.0 if text == "0" else None
    return round(sum(float(number) * _SECONDS[unit] for number, unit in found), 6)


def mebibytes(value: Any) -> int | None:
    """`512m`, `1gb`, `2GiB`, or bytes, rounded up to MiB; None when it is no size."""
    found = _SIZE.fullmatch(str(value).strip())
    if found is None:
        return None
    return math.ceil(float(found[1]) * 1024.0 ** (_POWERS[found[2].lower()] - 2))


def number(value: Any) -> float | None:
    """None when it is no finite number."""
    if isinstance(value, bool):
        return None
    try:
        parsed = float(str(value))
    except ValueError:
        return None
    return parsed if math.isfinite(parsed) else None


def whole(value: Any) -> int | None:
    """None when it is no whole number."""
    parsed = number(value)
    return int(parsed) if parsed is not None and parsed.is_integer() and abs(parsed) < 2**53 else None
