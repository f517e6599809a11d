"""Values as a person would write them in the file, short enough for one line of an error."""

from __future__ import annotations

import datetime
import json
from typing import Any

MAX_TEXT_LENGTH = 60
_BIGGEST_NUMBER_BITS = 256


def toml_text(value: Any) -> str:
    """`"text"`, `3`, `true`; tables and lists that hold something are only named."""
    if isinstance(value, str):
        short = value if len(value) <= MAX_TEXT_LENGTH else value[: MAX_TEXT_LENGTH - 1] + "…"
        return json.dumps(short, ensure_ascii=False)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        # Python refuses to write out numbers of thousands of digits, and nobody wants to read them.
        return str(value) if value.bit_length() <= _BIGGEST_NUMBER_BITS else "a very large number"
    if isinstance(value, float):
        return f"{value:g}" if value.is_integer() and abs(value) < 1e15 else repr(value)
    if not value and isinstance(value, (dict, list)):
        return "{}" if isinstance(value, dict) else "[]"
    return type_name(value)


def type_name(value: Any) -> str:
    """What kind of value it is, for places where the value itself may be a secret."""
    names: tuple[tuple[type, str], ...] = (
        (str, "a text"),
        (bool, "true or false"),
        (int, "a whole number"),
        (float, "a number"),
        (dict, "a table"),
        (list, "a list"),
        (datetime.date, "a date"),
        (datetime.time, "a time"),
    )
    return next((name for kind, name in names if isinstance(value, kind)), "something else")
