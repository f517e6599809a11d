"""Finds and ends what a command left running, wherever it hid.

Every process of a command inherits a mark in its environment. A process group would miss a child that made
itself a session of its own, and the number of a group whose leader is gone may by then mean strangers.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import suppress

import psutil

MARK_VARIABLE = "BLUEGREEN_SMOKE_RUN"
_MAX_ROUNDS = 10


def new_mark() -> str:
    return secrets.token_hex(16)


def kill_marked(mark: str) -> int:
    """SIGKILL to every process with the mark, until none is left or ten rounds are over; returns how many.

    Blocking, some 20 µs for each process of the machine. A process that forks faster than it is found would
    keep this busy for ever, hence the rounds.
    """
    killed = 0
    for _ in range(_MAX_ROUNDS):
        found = list(_marked(mark))
        if not found:
            break
        for process in found:
            # psutil compares the start time first, so a reused number is never hit.
            with suppress(psutil.Error):
                process.kill()
                killed += 1
        psutil.wait_procs(found, timeout=0.5)
    return killed


def _marked(mark: str) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.environ().get(MARK_VARIABLE) == mark and process.status() != psutil.STATUS_ZOMBIE:
                yield process
