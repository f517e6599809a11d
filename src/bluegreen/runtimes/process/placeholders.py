"""`{image}` and its kind in commands, work directories and environment values. No shell, no expressions."""

from __future__ import annotations

import re
from collections.abc import Mapping

from bluegreen.domain.errors import UsageError

NAMES = ("port", "image", "repository", "tag", "color", "replica")
_TOKEN = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")


def fill(text: str, values: Mapping[str, str], *, where: str) -> str:
    """`text` with each `{name}` replaced by its value, once: what a value contains is not looked at again.

    `{{` and `}}` stand for braces. Raises UsageError, naming `where`, for an unknown name or a lone brace.
    """

    def replace(match: re.Match[str]) -> str:
        token, name = match.group(0), match.group(1)
        if token in ("{{", "}}"):
            return token[0]
        if name is not None and name in values:
            return values[name]
        problem = f"unknown placeholder {token!r}" if name is not None else f"a lone {token!r}"
        known = " ".join(f"{{{known_name}}}" for known_name in values)
        raise UsageError(
            f"{where}: {problem} in {text!r}",
            hint=f"Known are {known}; write a brace that is meant literally as {{{{ or }}}}.",
        )

    if "\0" in text:
        raise UsageError(f"{where}: contains a NUL character, which no argument can carry")
    return _TOKEN.sub(replace, text)
