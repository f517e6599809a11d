# ruff: noqa: PTH110, PTH123, PTH208
# pathlib and contextlib would cost every shim milliseconds and memory.
"""What the kernel says about processes: /proc, read without a library because the shim starts with every replica."""

from __future__ import annotations

import os

PARENT, GROUP, START_TICKS = 1, 2, 19
"""Where they stand in `stat_fields`: parent pid, process group, start time in clock ticks since boot."""


def boot_id() -> str:
    """Changes with every boot of the machine."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()


def stat_fields(pid: int) -> list[str] | None:
    """The fields of /proc/<pid>/stat from the third (state) on; None when there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].decode().split()
    except OSError:
        return None


def children_of(pid: int) -> list[int]:
    """Direct children, zombies too."""
    found: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children", "rb") as file:
                found += [int(child) for child in file.read().split()]
    except OSError:
        if os.path.exists(f"/proc/self/task/{os.getpid()}/children"):
            return found
        processes = [int(name) for name in os.listdir("/proc") if name.isdigit()]
        return [process for process in processes if (stat_fields(process) or ["", ""])[1] == str(pid)]
    return found


def descendants_of(pid: int) -> list[int]:
    found: list[int] = []
    queue = [pid]
    while queue:
        children = children_of(queue.pop())
        found += children
        queue += children
    return found
