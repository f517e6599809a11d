"""How things are written: errors, JSON, times and rates. Without rich, so that it costs nothing to load."""

from __future__ import annotations

import json
import os
import re
import sys
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bluegreen.domain.errors import BluegreenError

if TYPE_CHECKING:
    from rich.console import Console

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells expect it."""
BROKEN_PIPE = 141
"""Exit code when the reader of our output has gone (`| head`)."""

WIDTH_WITHOUT_TERMINAL = 200
_CONTROL = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def print_error(error: BluegreenError) -> None:
    note(f"error: {error.message}", error.hint)


def note(*lines: str) -> None:
    """Lines for the person, on stderr: never part of what a program reads. Empty ones are left out."""
    sys.stdout.flush()
    for line in lines:
        if line:
            print(line, file=sys.stderr, flush=True)


def print_unexpected(error: Exception, log_path: Path | None) -> None:
    """A defect of ours: one line, and the traceback only when it was asked for."""
    if os.environ.get("BLUEGREEN_DEBUG") == "1":
        traceback.print_exception(error)
    note(
        f"error: unexpected {type(error).__name__}: {error}",
        f"This is a defect of bluegreen. Traceback: BLUEGREEN_DEBUG=1"
        f"{f'   Daemon log: {log_path}' if log_path else ''}",
    )


def print_json(data: Any) -> None:
    """One indented document."""
    print(json.dumps(data, indent=2, ensure_ascii=False), flush=True)


def print_json_line(data: Any) -> None:
    """One document on one line."""
    print(json.dumps(data, ensure_ascii=False, separators=(", ", ": ")), flush=True)


def is_interactive() -> bool:
    """Whether there is a person at both ends: somebody to ask, and a screen to draw on."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def can_redraw() -> bool:
    """Whether stdout is a terminal that can move its cursor."""
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def console() -> Console:
    from rich.console import Console

    return Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH_WITHOUT_TERMINAL)


def printable(text: str) -> str:
    """Without what would steer the terminal: workloads write what they like into their logs."""
    return _CONTROL.sub("", text.replace("\t", "    "))


_STYLES = {"good": "32", "bad": "31;1", "warn": "33;1", "dim": "2", "bold": "1"}


def styled(text: str, style: str) -> str:
    """The text in colour where there is a screen that wants colours."""
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return text
    return f"\x1b[{_STYLES[style]}m{text}\x1b[0m"


def duration(seconds: float) -> str:
    """`0.4 s`, `12 s`, `3 min 20 s`, `2 h 5 min`."""
    if seconds < 0:
        seconds = 0.0
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s" if whole % 60 else f"{whole // 60} min"
    return f"{whole // 3600} h {whole % 3600 // 60} min" if whole % 3600 // 60 else f"{whole // 3600} h"


def milliseconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} ms"


def clock_time(epoch_seconds: float) -> str:
    """Local time; with the date when it is not today."""
    moment = time.localtime(epoch_seconds)
    today = moment[:3] == time.localtime()[:3]
    return time.strftime("%H:%M:%S" if today else "%Y-%m-%d %H:%M:%S", moment)


def rate(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def share(value: float | None) -> str:
    return "-" if value is None else f"{value:.2%}".replace("%", " %")


def count(value: int | None) -> str:
    return "-" if value is None else str(value)


def plural(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
