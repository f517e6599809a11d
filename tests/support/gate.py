"""A gate on a world of fakes, and the calls of tests through it."""

from __future__ import annotations

from typing import Any

from bluegreen.control.gate import Gate
from bluegreen.control.ports import AuditEntry
from bluegreen.control.schemas import to_plain
from bluegreen.domain.access import OWNER, Caller, Scope
from tests.simulation.world import World


class RecordingAudit:
    """An audit log in a list. `broken` makes every append fail."""

    def __init__(self) -> None:
        self.entries: list[AuditEntry] = []
        self.broken = False

    async def append(self, entry: AuditEntry) -> None:
        if self.broken:
            raise OSError("no space left on device")
        self.entries.append(entry)


def agent(
    scope: Scope, *, services: frozenset[str] | None = None, may_run_commands: bool = False, name: str = "agent"
) -> Caller:
    return Caller(name, "mcp", scope, services, may_run_commands, token_id="t1")


class Tools:
    """`await tools("workload_get", workloadId=…)` as the caller; the answer is plain data as a door sends it."""

    def __init__(self, world: World, caller: Caller = OWNER) -> None:
        self.audit = RecordingAudit()
        self.caller = caller
        self._world = world

    @property
    def gate(self) -> Gate:
        return Gate(self._world.fleet, audit=self.audit, clock=self._world.clock)

    async def __call__(self, name: str, /, **arguments: Any) -> Any:
        gate = self.gate
        try:
            view = await gate.call(name, arguments, self.caller)
        finally:
            await gate.close()
        return to_plain(gate.operation(name).response, view)

    def by(self, caller: Caller) -> Tools:
        other = Tools(self._world, caller)
        other.audit = self.audit
        return other
