"""Values of environment variables are secrets until proven otherwise: nobody is shown one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

MASK = "***"


def masked(value: Any) -> Any:
    """A copy with `***` for every environment value: below the key `env`, and of overrides `env.NAME`."""
    if isinstance(value, Mapping):
        return {key: _masked_entry(str(key), item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [masked(item) for item in value]
    return value


def _masked_entry(key: str, value: Any) -> Any:
    if key == "env" and isinstance(value, Mapping):
        return dict.fromkeys(value, MASK)
    if key.startswith("env.") and value:
        return MASK
    return masked(value)


def masked_environment(environment: Mapping[str, str]) -> dict[str, str]:
    return dict.fromkeys(environment, MASK)


SHORTEST_SECRET = 6
"""Shorter values (`1`, `true`, `8080`) are in too many texts to be taken out of them."""


def cleaner(secrets: Iterable[str], *, public: Iterable[str] = ()) -> Callable[[str], str]:
    """A function that puts `***` where one of these values stands in a text. `public` values stay, for everybody knows
    them."""
    known = set(public)
    hidden = {secret for secret in secrets if len(secret) >= SHORTEST_SECRET and secret not in known}
    if not hidden:
        return lambda text: text
    # The longest first: one may be a part of another.
    pattern = re.compile("|".join(re.escape(secret) for secret in sorted(hidden, key=len, reverse=True)))
    return lambda text: pattern.sub(MASK, text)


def cleaned(value: Any, clean: Callable[[str], str]) -> Any:
    """A copy of plain data with each text cleaned."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, Mapping):
        return {key: cleaned(item, clean) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [cleaned(item, clean) for item in value]
    return value
