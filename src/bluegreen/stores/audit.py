"""The audit log: one JSON object a line, each bound to the one before by its hash. Appended, never changed.

Beside `audit.jsonl` stand `audit.head`, which holds the place of the last entry, so that an end that was cut off is
noticed; `audit.lock`, held for each line, so that the daemon and the command line may both append; and
`audit.damaged`, with the half-written lines that a crash left behind.

The hashes show what was changed by accident, or by somebody who does not know them. Whoever may write both files can
compute a new chain: to be safe from the machine's own administrator, keep the output of `bluegreen audit verify`, which
names the last hash, somewhere else.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bluegreen.control.ports import AuditEntry
from bluegreen.domain.errors import StoreError
from bluegreen.stores import private_files
from bluegreen.stores.audit_chain import (
    LOST,
    MAX_LINE_BYTES,
    RECOVERED,
    ChainedEntry,
    Place,
    chained,
    head_of,
    line_of,
    parse_head,
    parse_line,
)

log = logging.getLogger(__name__)
_BLOCK_BYTES = 64 * 1024
_OURS = "bluegreen"
"""`who` of the entries that the log makes itself; no token may have this name."""


class AuditFile:
    """Any number of them, in any number of processes, may append to the same log."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._order = asyncio.Lock()
        self._end = Place()
        self._known: tuple[int, int] | None = None
        """Inode and size of the log after our last line: when they differ, somebody else has appended."""

    async def append(self, entry: AuditEntry) -> None:
        """On disk when it returns. Raises StoreError; then nothing was written."""
        async with self._order:
            await asyncio.to_thread(self.write, entry)

    def write(self, entry: AuditEntry) -> ChainedEntry:
        """The same, for whoever has no event loop."""
        try:
            with private_files.locked(lock_path(self.path)):
                flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
                descriptor = os.open(self.path, flags, private_files.MODE)
                try:
                    return self._write_locked(descriptor, entry)
                except BaseException:
                    self._known = None
                    raise
                finally:
                    os.close(descriptor)
        except OSError as error:
            raise private_files.explained("audit log", self.path, error) from error

    def _write_locked(self, descriptor: int, entry: AuditEntry) -> ChainedEntry:
        found = os.fstat(descriptor)
        private_files.require_private(self.path, found)
        if (found.st_ino, found.st_size) != self._known:
            for what, arguments in self._resume(descriptor, found.st_size):
                log.warning("audit log %s: %s %s", self.path, what, arguments)
                self._append(descriptor, AuditEntry(entry.at, _OURS, "daemon", what, arguments, "ok"))
        return self._append(descriptor, entry)

    def _append(self, descriptor: int, entry: AuditEntry) -> ChainedEntry:
        """The line and the head, or neither."""
        before = os.fstat(descriptor)
        made = chained(entry, self._end)
        line = line_of(made)
        try:
            private_files.write_all(descriptor, line)
            os.fsync(descriptor)
            private_files.replace(head_path(self.path), head_of(made.place))
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(descriptor, before.st_size)
            raise
        self._end, self._known = made.place, (before.st_ino, before.st_size + len(line))
        return made

    def _resume(self, descriptor: int, size: int) -> list[tuple[str, Mapping[str, Any]]]:
        """Finds the end of the chain and says what was wrong with it, as entries that are still to be appended."""
        head = read_head(self.path)
        notes: list[tuple[str, Mapping[str, Any]]] = []
        fragment_at = _last_newline(descriptor, size) + 1
        if fragment_at < size:
            notes.append((RECOVERED, self._set_aside(descriptor, fragment_at, size)))
            size = os.fstat(descriptor).st_size
        last, reason = _last_entry(descriptor, size)
        if last is None and size == 0 and head is None:
            private_files.replace(head_path(self.path), head_of(Place()))
            head = Place()
        # A last line that can't be read is followed by what the head says, so that the numbers go on.
        self._end = last.place if last else head if head and size else Place()
        reason = reason or broken_head(head, last)
        if reason:
            notes.append((LOST, {"reason": reason, "head": asdict(head) if head else None}))
        return notes

    def _set_aside(self, descriptor: int, start: int, end: int) -> Mapping[str, Any]:
        """A line that a crash cut short goes to `audit.damaged`; one that lacks its newline alone gets it."""
        with contextlib.suppress(ValueError):
            parse_line(os.pread(descriptor, min(end - start, MAX_LINE_BYTES), start) + b"\n")
            private_files.write_all(descriptor, b"\n")
            return {"reason": "the newline of the last line was missing; it was added"}
        aside = damaged_path(self.path)
        target = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, private_files.MODE)
        try:
            for offset in range(start, end, _BLOCK_BYTES):
                private_files.write_all(target, os.pread(descriptor, min(_BLOCK_BYTES, end - offset), offset))
            private_files.write_all(target, b"\n")
            os.fsync(target)
        finally:
            os.close(target)
        os.ftruncate(descriptor, start)
        return {"reason": f"a half-written line was moved to {aside.name}", "bytes": end - start}


def head_path(path: Path) -> Path:
    return path.with_suffix(".head")


def lock_path(path: Path) -> Path:
    return path.with_suffix(".lock")


def damaged_path(path: Path) -> Path:
    return path.with_suffix(".damaged")


def read_head(path: Path) -> Place | None:
    """None when there is none, or it can't be understood. Raises OSError."""
    try:
        return parse_head(head_path(path).read_bytes())
    except FileNotFoundError:
        return None


def broken_head(head: Place | None, last: ChainedEntry | None) -> str:
    """How the end of the log and what is known of it disagree, "" when they don't.

    The head is written after the line: killed between the two, the log is one entry ahead.
    """
    end = last.place if last else Place()
    if head is None:
        return "audit.head is missing or damaged, so an end that was cut off could not be noticed"
    if head == end or (last is not None and head == Place(last.sequence - 1, last.previous)):
        return ""
    if head.sequence > end.sequence:
        return f"entries {end.sequence + 1} to {head.sequence} are gone: the end was cut off"
    if head.sequence == end.sequence:
        return f"entry {end.sequence} is not the one that was written: it was replaced"
    return f"entries {head.sequence + 1} to {end.sequence} were not written by bluegreen: they were inserted"


def _last_newline(descriptor: int, end: int) -> int:
    """Where the last newline before `end` is, -1 when there is none."""
    while end > 0:
        start = max(0, end - _BLOCK_BYTES)
        found = os.pread(descriptor, end - start, start).rfind(b"\n")
        if found >= 0:
            return start + found
        end = start
    return -1


def _last_entry(descriptor: int, size: int) -> tuple[ChainedEntry | None, str]:
    """The last entry, or what is wrong with it. `size` ends with a newline or is 0."""
    if size == 0:
        return None, ""
    start = _last_newline(descriptor, size - 1) + 1
    try:
        return parse_line(os.pread(descriptor, min(size - start, MAX_LINE_BYTES), start)), ""
    except ValueError as error:
        return None, f"the last line {error}"


def unreadable(path: Path, error: OSError) -> StoreError:
    return StoreError(
        f"audit log {path} can't be read: {error.strerror or error}", hint=f"Look at it: ls -l {path.parent}"
    )
