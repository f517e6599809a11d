"""Asking the person at the terminal."""

from __future__ import annotations

import sys


def said_yes(prompt: str) -> bool:
    """Anything but `y` or `yes` means no, the end of the input too."""
    sys.stdout.write(prompt)
    sys.stdout.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")
