"""`KEY=VALUE` options."""

from __future__ import annotations

import os
from collections.abc import Sequence

from bluegreen.domain.errors import UsageError


def pairs(option: str, given: Sequence[str], *, from_environment: bool = False) -> dict[str, str]:
    """Raises UsageError, without repeating a value. `from_environment`: NAME alone takes the shell's variable, so that
    a secret need not stand on the command line."""
    found = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not equals and from_environment and key in os.environ:
            value = os.environ[key]
        elif not equals or not key:
            raise UsageError(
                f"{option}: write it as KEY=VALUE" + (", or name a variable that is set" * from_environment)
            )
        found[key] = value
    return found
