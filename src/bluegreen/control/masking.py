"""Values of environment variables are secrets until proven otherwise: nobody is shown one."""

from __future__ import annotations

from collections.abc import Mapping
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
