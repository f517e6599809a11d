"""What this machine has: processors, memory, GPUs, and ports that outgoing connections leave alone."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from bluegreen.domain.model import Resources
from bluegreen.runtimes.devices.survey import GpuSurvey

FIRST_PORT, LAST_PORT = 20000, 29999
INHERITED_VARIABLES = (
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LANGUAGE",
    "LC_ALL",
    "LC_CTYPE",
    "TZ",
    "TMPDIR",
    "LD_LIBRARY_PATH",
)
"""What a replica gets of the controller's environment; everything else must be declared."""


def detect_resources(*, gpus: int | None = None) -> Resources:
    """Processors that this process may use, memory of the machine or of our control group, GPUs of the driver unless
    their number is known."""
    return Resources(
        gpus=len(GpuSurvey().detect()) if gpus is None else gpus,
        cpus=float(len(os.sched_getaffinity(0))),
        memory_mb=_memory_bytes() // 2**20,
    )


def _memory_bytes() -> int:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii").strip()
    except OSError:
        return total
    return min(total, int(limit)) if limit.isdigit() else total


def ephemeral_ports() -> tuple[int, int]:
    """First and last port that the kernel gives to outgoing connections."""
    try:
        first, last = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split()
    except OSError:
        return 32768, 60999
    return int(first), int(last)


def choose_port_range(ephemeral: tuple[int, int]) -> tuple[int, int]:
    """First and last port for replicas: 20000 to 29999, unless the proxy's outgoing connections use these up under
    load; then the largest gap beside the ephemeral range, as far as there is one of 100 ports."""
    low, high = ephemeral
    if high < FIRST_PORT or low > LAST_PORT:
        return FIRST_PORT, LAST_PORT
    gaps = [(1024, low - 1), (high + 1, 65535)]
    first, last = max(gaps, key=lambda gap: gap[1] - gap[0])
    if last - first < 100:
        return FIRST_PORT, LAST_PORT
    return max(first, last - 9999), last


def base_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The part of ours that every replica gets."""
    return {name: environment[name] for name in INHERITED_VARIABLES if name in environment}
