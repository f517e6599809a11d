"""All processes of the machine in one pass over /proc, which for many workloads is far less than asking for each."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_PARENT, _OWN_CPU, _REAPED_CPU, _START, _RESIDENT = 1, slice(11, 13), slice(13, 15), 19, 21
"""Where they stand in /proc/<pid>/stat after the name: proc(5) fields 4, 14 and 15, 16 and 17, 22, 24."""


@dataclass(frozen=True, slots=True)
class ProcessRow:
    """Times in clock ticks. `reaped_ticks` is what children used that ended and were waited for."""

    parent: int
    start_ticks: int
    own_ticks: int
    reaped_ticks: int
    resident_pages: int


@dataclass(frozen=True, slots=True)
class TreeUsage:
    cpu_seconds: float
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class ProcessTable:
    rows: Mapping[int, ProcessRow]
    children: dict[int, list[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for pid, row in self.rows.items():
            self.children.setdefault(row.parent, []).append(pid)

    def below(self, pid: int, start_ticks: int) -> TreeUsage | None:
        """What everything below this process uses and used, itself left out; None when it is gone. What a process below
        it started and nobody waited for is missing once that has ended."""
        root = self.rows.get(pid)
        if root is None or root.start_ticks != start_ticks:
            return None
        ticks, pages = root.reaped_ticks, 0
        for row in self._descendants(pid):
            ticks += row.own_ticks + row.reaped_ticks
            pages += row.resident_pages
        return TreeUsage(ticks / TICKS_PER_SECOND, pages * PAGE_BYTES)

    def _descendants(self, pid: int) -> Iterator[ProcessRow]:
        """Each once, whatever pids were reused while the table was read."""
        seen, queue = {pid}, [pid]
        while queue:
            for child in self.children.get(queue.pop(), ()):
                if child not in seen:
                    seen.add(child)
                    queue.append(child)
                    yield self.rows[child]


def read_process_table(proc: Path = Path("/proc")) -> ProcessTable:
    """Processes that end meanwhile are left out."""
    rows = {}
    for name in os.listdir(proc):  # noqa: PTH208 - a Path for each of thousands would double the price.
        if name.isdigit() and (row := _read(f"{proc}/{name}/stat")):
            rows[int(name)] = row
    return ProcessTable(rows)


def _read(path: str) -> ProcessRow | None:
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fields = os.read(file, 4096).rpartition(b")")[2].split()
    except OSError:
        return None
    finally:
        os.close(file)
    try:
        return ProcessRow(
            parent=int(fields[_PARENT]),
            start_ticks=int(fields[_START]),
            own_ticks=sum(map(int, fields[_OWN_CPU])),
            reaped_ticks=sum(map(int, fields[_REAPED_CPU])),
            resident_pages=int(fields[_RESIDENT]),
        )
    except (IndexError, ValueError):
        return None
