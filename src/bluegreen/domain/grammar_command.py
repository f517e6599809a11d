"""The command line that does what an operation with these arguments does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_OPTIONS = {
    "image": "--image",
    "strategy": "--strategy",
    "note": "--note",
    "reason": "--reason",
    "limit": "--limit",
    "slot": "--slot",
    "lines": "--lines",
}
_SWITCHES = {"force": "--force"}


def command_words(operation: str, arguments: Mapping[str, Any], *, detach: bool = False) -> tuple[str, ...]:
    """`("deploy", "api", "--image", "v2", "--set", "replicas=3")`, without `bluegreen` before it."""
    words = [operation]
    if subject := arguments.get("service") or arguments.get("deployment"):
        words.append(subject)
    for name, option in _OPTIONS.items():
        if name in arguments:
            value = str(arguments[name])
            # A value that begins with a dash would be taken for an option.
            words += [f"{option}={value}"] if value.startswith("-") else [option, value]
    for key, value in arguments.get("overrides", {}).items():
        words += ["--set", f"{key}={value}"]
    words += [switch for name, switch in _SWITCHES.items() if arguments.get(name)]
    if detach and operation == "deploy":
        words.append("--detach")
    return tuple(words)
