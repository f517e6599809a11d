"""Reading the audit log: is it as it was written, and what stands at its end."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from bluegreen.stores import private_files
from bluegreen.stores.audit import broken_head, lock_path, read_head, unreadable
from bluegreen.stores.audit_chain import LOST, MAX_LINE_BYTES, ChainedEntry, Place, parse_line


@dataclass(frozen=True, slots=True)
class Verification:
    """`entries` follow each other faultlessly from the first on, up to `end`. `line` (from 1) is the first bad one."""

    entries: int
    end: Place
    line: int | None = None
    problem: str = ""

    @property
    def ok(self) -> bool:
        return not self.problem


@dataclass(frozen=True, slots=True)
class Latest:
    """`unreadable_lines` stood among the last ones and are no entries."""

    entries: tuple[ChainedEntry, ...] = ()
    unreadable_lines: int = 0


def verify(path: Path) -> Verification:
    """Checks every line. The daemon may go on appending meanwhile. Raises StoreError when it can't be read."""
    try:
        size, head = _end(path)
        if size is None:
            lost = head is not None and head.sequence > 0
            return Verification(0, Place(), 1, "is gone: there is an audit.head, and no log") if lost else _NOTHING
        with path.open("rb") as file:
            return _verified(file, size, head)
    except OSError as error:
        raise unreadable(path, error) from error


def latest(path: Path, count: int) -> Latest:
    """The last entries, oldest first. Raises StoreError when it can't be read."""
    try:
        size, _ = _end(path)
        if size is None:
            return Latest()
        with path.open("rb") as file:
            lines = list(deque(_lines(file, size), maxlen=count))
    except OSError as error:
        raise unreadable(path, error) from error
    entries = []
    for line in lines:
        with contextlib.suppress(ValueError):
            entries.append(parse_line(line))
    return Latest(tuple(entries), len(lines) - len(entries))


_NOTHING = Verification(0, Place())


def _end(path: Path) -> tuple[int | None, Place | None]:
    """Size of the log, None without one, and its head: of one moment, between two entries."""
    lock = lock_path(path)
    with private_files.locked(lock, shared=True) if lock.exists() else contextlib.nullcontext():
        try:
            return path.stat().st_size, read_head(path)
        except FileNotFoundError:
            return None, read_head(path)


def _lines(file: BinaryIO, size: int) -> Iterator[bytes]:
    """A line that is longer than any of ours comes in pieces, none of which is an entry."""
    while size > 0 and (line := file.readline(min(size, MAX_LINE_BYTES))):
        size -= len(line)
        yield line


def _verified(file: BinaryIO, size: int, head: Place | None) -> Verification:
    last: ChainedEntry | None = None
    number, end = 0, Place()
    lines = _lines(file, size)
    for number, line in enumerate(lines, 1):
        try:
            entry = parse_line(line)
        except ValueError as error:
            cut = not line.endswith(b"\n") and len(line) < MAX_LINE_BYTES
            half = "is half-written: a crash, or an end that was cut off. The next entry sets it aside"
            return Verification(number - 1, end, number, half if cut else str(error))
        problem = _misplaced(entry, end, lines)
        if not problem and head and entry.sequence == head.sequence and entry.hash != head.hash:
            problem = "is not the entry that was written: it or one before it was replaced"
        if not problem and entry.what == LOST:
            problem = f"says that there was a fault before it: {entry.arguments.get('reason', 'unknown')}"
        if problem:
            return Verification(number - 1, end, number, problem)
        last, end = entry, entry.place
    problem = broken_head(head, last)
    first = min(head.sequence, number) + 1 if problem and head else None
    return Verification(number, end, first, problem)


def _misplaced(entry: ChainedEntry, end: Place, rest: Iterator[bytes]) -> str:
    expected = end.sequence + 1
    if entry.sequence <= end.sequence:
        return f"was inserted: entry {entry.sequence} stood there before"
    if entry.sequence > expected:
        if any(_sequence(line) == expected for line in rest):
            return f"was reordered: it is entry {entry.sequence}, and entry {expected} comes later"
        upto = f" to {entry.sequence - 1}" if entry.sequence - 1 > expected else ""
        return f"comes too early: entry {expected}{upto} before it was removed"
    if entry.previous != end.hash:
        return "does not follow the line before it: one of the two was replaced"
    return ""


def _sequence(line: bytes) -> int | None:
    try:
        return parse_line(line).sequence
    except ValueError:
        return None
