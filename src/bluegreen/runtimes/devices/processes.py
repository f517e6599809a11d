"""Whose a process is that computes on a GPU."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from pathlib import Path

from bluegreen.domain.gpu_inventory import Holding
from bluegreen.domain.gpus import GpuHolder
from bluegreen.runtimes.process.proc import PARENT, stat_fields

_CONTAINER_ID = re.compile(r"[0-9a-f]{64}")
_SERVER_OF_ALL = "nvidia-cuda-mps"
"""CUDA's Multi-Process Service stands on a device for its clients, which are found themselves. A name in
/proc is cut after 15 bytes."""


def owners_of(pids: Collection[int], holdings: Iterable[Holding]) -> dict[int, GpuHolder]:
    """The holder below whose processes or in whose container each runs, else a stranger that is named after it."""
    roots: dict[int, GpuHolder] = {}
    containers: dict[str, GpuHolder] = {}
    for holding in holdings:
        roots |= dict.fromkeys(holding.roots, holding.holder)
        containers |= dict.fromkeys(holding.containers, holding.holder)
    owners = {}
    for pid in pids:
        name = _content(pid, "comm")
        if not name.startswith(_SERVER_OF_ALL):
            owner = _above(pid, roots) or _around(pid, containers)
            owners[pid] = owner or GpuHolder(f"process {pid} ({name or 'out of sight'}, not bluegreen's)")
    return owners


def _above(pid: int, roots: dict[int, GpuHolder]) -> GpuHolder | None:
    seen: set[int] = set()
    while pid not in roots and pid not in seen and (fields := stat_fields(pid)):
        seen.add(pid)
        pid = int(fields[PARENT])
    return roots.get(pid)


def _around(pid: int, containers: dict[str, GpuHolder]) -> GpuHolder | None:
    """What `docker exec` starts is not below the container's first process, and is in its control group."""
    ids = _CONTAINER_ID.findall(_content(pid, "cgroup")) if containers else ()
    return next((containers[each] for each in ids if each in containers), None)


def _content(pid: int, name: str) -> str:
    """ "" when there is no such process, or it can't be seen."""
    try:
        return Path(f"/proc/{pid}/{name}").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
