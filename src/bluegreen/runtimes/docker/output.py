"""Output of replicas: what ended runs left in our files, and what the engine still has of the current one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from bluegreen.domain.errors import UsageError
from bluegreen.runtimes.docker.observation import nanoseconds
from bluegreen.runtimes.process.logs import fair_shares, last_lines


def since(logged_until: int) -> str:
    """For the engine: everything after what was copied last."""
    after = logged_until + 1 if logged_until else 0
    return f"{after // 10**9}.{after % 10**9:09d}"


def without_times(output: str, logged_until: int) -> tuple[list[str], int]:
    """The lines of an output that has a time before each, and the time of the last."""
    lines, latest = [], logged_until
    for line in output.removesuffix("\n").split("\n") if output else ():
        moment, _, text = line.partition(" ")
        lines.append(text.rstrip("\r"))
        latest = max(latest, nanoseconds(moment))
    return lines, latest


def last_lines_of_all(directory: Path | None, live: dict[int, list[str]], lines: int) -> list[str]:
    """Of all replicas together at most `lines`, each `replica-0 | ...`, replica after replica. `live` are the lines
    that are not in the files yet."""
    if lines <= 0:
        return []
    files = {int(path.stem.partition("-")[2]): path for path in directory.glob("replica-*.log")} if directory else {}
    indices = sorted({*live, *files})
    tails = [
        ((last_lines(files[index], lines) if index in files else []) + live.get(index, []))[-lines:]
        for index in indices
    ]
    shares = fair_shares([len(tail) for tail in tails], lines)
    return [
        f"replica-{index} | {line}"
        for index, tail, share in zip(indices, tails, shares, strict=True)
        for line in (tail[-share:] if share else [])
    ]


def as_position(seen: Mapping[int, int]) -> str:
    """Where each replica's output was read to: `0:1764150000000000000,1:...`."""
    return ",".join(f"{index}:{moment}" for index, moment in sorted(seen.items()))


def positions(text: str) -> dict[int, int]:
    """Raises UsageError when that is none."""
    if not re.fullmatch(r"\d{1,4}:\d{1,20}(,\d{1,4}:\d{1,20})*", text):
        raise UsageError(f"position: {text!r} is none", hint="Take it from the answer before")
    pairs = (part.split(":") for part in text.split(","))
    return {int(index): int(moment) for index, moment in pairs}
