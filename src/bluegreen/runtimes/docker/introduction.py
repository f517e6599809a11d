"""Who an engine is, and whether it is where the configuration takes it to be. For `bluegreen doctor`."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bluegreen.runtimes.docker.engine import Engine

CONTAINERS_LOOKED_AT = 5


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """`product` is Docker or Podman, `machine` what it calls the machine that it is on."""

    product: str
    version: str
    api_version: str
    machine: str
    address: str
    """Where it publishes ports."""
    is_elsewhere_unsaid: bool
    """It is on another machine, or at least out of sight, and the configuration takes it to be on this one."""


async def introduce(engine: Engine) -> EngineFacts:
    """Raises RuntimeFailure."""
    version, info = await engine.introduction()
    unsaid = False
    if not engine.is_elsewhere:
        running = await engine.running(CONTAINERS_LOOKED_AT)
        unsaid = not (any(map(is_seen_here, running)) if running else calls_itself_this_machine(info))
    parts = " ".join(str(part.get("Name")) for part in version.get("Components") or ())
    return EngineFacts(
        product="Podman" if "Podman" in parts else "Docker Engine",
        version=str(version["Version"]),
        api_version=str(version["ApiVersion"]),
        machine=str(info["Name"]),
        address=engine.address,
        is_elsewhere_unsaid=unsaid,
    )


def is_seen_here(container: Mapping[str, Any]) -> bool:
    """Whether its first process is one of this machine's: the control group of a container has its id in its name."""
    try:
        groups = Path(f"/proc/{container['State']['Pid']}/cgroup").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return str(container["Id"]) in groups


def calls_itself_this_machine(info: Mapping[str, Any]) -> bool:
    """Without a container to look for: names alone are copied with the image of a machine, so the kernel must fit."""
    return (info.get("Name"), info.get("KernelVersion")) == (socket.gethostname(), os.uname().release)


def describe(facts: EngineFacts, host: str) -> Sequence[str]:
    """What it is and, when something is wrong, what to do."""
    who = f"{facts.product} {facts.version} (API {facts.api_version}) on {facts.machine}, {host}"
    if not facts.is_elsewhere_unsaid:
        return (f"{who}, ports on {facts.address}",)
    return (
        f"{who} is not on this machine, {socket.gethostname()}: its containers can't be reached on {facts.address}",
        'say where they are: [runtime] address = "ADDRESS OF THAT MACHINE"   (127.0.0.1 for an engine in a VM of ours)',
    )
