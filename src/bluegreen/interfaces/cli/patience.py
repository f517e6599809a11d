"""Waiting for a daemon that is away: it may be restarting, and takes everything up again where it was."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from bluegreen.domain.errors import DaemonUnreachable

PATIENCE_SECONDS = 10.0
RETRY_SECONDS = 0.2

Answer = TypeVar("Answer")


def patiently(act: Callable[[], Answer], on_trouble: Callable[[DaemonUnreachable], None] = lambda _: None) -> Answer:
    """Tries again for PATIENCE_SECONDS while the daemon is unreachable; `on_trouble` hears of each attempt.

    Raises the last DaemonUnreachable when it stays away.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return act()
        except DaemonUnreachable as error:
            if time.monotonic() > deadline:
                raise
            on_trouble(error)
            time.sleep(RETRY_SECONDS)
