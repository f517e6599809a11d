"""Reading the end of rotated log files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

BLOCK_BYTES = 65536


def generations(path: Path) -> list[Path]:
    """The file and its rotated predecessors, newest first."""
    found = [path] if path.exists() else []
    number = 1
    while (older := path.with_name(f"{path.name}.{number}")).exists():
        found.append(older)
        number += 1
    return found


def last_lines(path: Path, lines: int) -> list[str]:
    """The last `lines` lines of a rotated log, oldest first, read backwards from the end. Bytes that are not
    UTF-8 become replacement characters."""
    if lines <= 0:
        return []
    tail = b""
    for file_path in generations(path):
        try:
            with file_path.open("rb") as file:
                position = file.seek(0, 2)
                while position > 0 and tail.count(b"\n") <= lines:
                    step = min(BLOCK_BYTES, position)
                    position -= step
                    file.seek(position)
                    tail = file.read(step) + tail
        except OSError:
            continue  # Rotated away in this moment.
        if tail.count(b"\n") > lines:
            break
    return [line.decode(errors="replace").rstrip("\r") for line in tail.split(b"\n")[: _end(tail)][-lines:]]


def _end(tail: bytes) -> int | None:
    """Cuts off the empty piece after the last newline."""
    return -1 if tail.endswith(b"\n") or not tail else None


def fair_shares(available: Sequence[int], limit: int) -> list[int]:
    """How many lines to take of each source so that together they are at most `limit`; what a short one leaves goes
    to the others."""
    shares = [0] * len(available)
    left = limit
    open_sources = [index for index, count in enumerate(available) if count]
    while left > 0 and open_sources:
        for index in open_sources[:left]:
            shares[index] += 1
        left -= len(open_sources[:left])
        open_sources = [index for index in open_sources if shares[index] < available[index]]
    return shares
