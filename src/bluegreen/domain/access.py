"""Who asks, and what they may do. Every door makes a Caller; the gate asks nothing else about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Scope(StrEnum):
    """What a token allows; each scope includes those before it.

    read    everything that changes nothing, plans included
    deploy  start a new version beside the running one; it waits for approval and gets no traffic
    switch  move traffic: approve, promote, roll back, and deployments that go all the way
    admin   stop what has the traffic, reload the configuration, commands of one's own
    """

    READ = "read"
    DEPLOY = "deploy"
    SWITCH = "switch"
    ADMIN = "admin"

    def includes(self, other: Scope) -> bool:
        order = list(Scope)
        return order.index(self) >= order.index(other)


@dataclass(frozen=True, slots=True)
class Caller:
    """`name` is what history and the audit log say; `door` is `socket`, `http` or `mcp`. `services` None means all."""

    name: str
    door: str = "socket"
    scope: Scope = Scope.ADMIN
    services: frozenset[str] | None = None
    may_run_commands: bool = False
    """Whether it may give a workload another command or environment than the configuration does."""
    token_id: str = ""
    """Empty for the owner, who came through the unix socket."""

    def may_use(self, service: str) -> bool:
        return self.services is None or service in self.services


OWNER = Caller("owner", may_run_commands=True)
"""Whoever may open the unix socket: the user who started the daemon."""


_SIZE = ("replicas", "gpus", "gpu_memory_mb", "cpus", "memory_mb")
_COMMANDS = ("command", "workdir")


def override_problem(key: str, caller: Caller) -> str:
    """Why this caller may not override this key of a service for a deployment; empty when it may.

    Sizes and labels are open to whoever may deploy. How carefully the traffic moves takes the scope that moves it,
    what counts as healthy takes admin, and what is run takes the right to run commands.
    """
    first = key.partition(".")[0]
    if first in _COMMANDS or first == "env":
        return "" if caller.may_run_commands else "takes a token that may run commands of its own"
    if first in _SIZE or first == "labels":
        return ""
    needed = Scope.SWITCH if first in ("policy", "canary") else Scope.ADMIN
    return "" if caller.scope.includes(needed) else f"takes scope {needed}"
