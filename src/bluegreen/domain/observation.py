"""Everything a decision may look at, as one immutable value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bluegreen.domain.baseline import Baseline
from bluegreen.domain.health import Health, WorkloadHealth
from bluegreen.domain.model import (
    Capacity,
    Color,
    Endpoint,
    Route,
    SlotTraffic,
    Workload,
    WorkloadStatus,
)
from bluegreen.domain.verdict import Verdict
from bluegreen.domain.watch import Watch


@dataclass(frozen=True, slots=True)
class Observation:
    """What was seen of one service at one moment.

    `elapsed_seconds` is how long the deployment has been in its phase by a clock that never jumps.
    `traffic` and `route` are None when they could not be read: unknown, not zero. `connected` is what
    the router was last told about each slot. `running` names the actions under way.
    """

    elapsed_seconds: float = 0.0
    workloads: Mapping[str, WorkloadStatus] = field(default_factory=dict)
    health: Mapping[str, WorkloadHealth] = field(default_factory=dict)
    traffic: Mapping[Color, SlotTraffic] | None = None
    route: Route | None = None
    connected: Mapping[Color, tuple[Endpoint, ...]] = field(default_factory=dict)
    capacity: Capacity | None = None
    router_problem: str = ""
    running: frozenset[str] = frozenset()
    superseded_by: str = ""
    """Id of a newer deployment that waits for the standby slot."""
    watch: Watch | None = None
    """What green did since the switch; None when the router's counters could not be read since."""
    analyses: tuple[Verdict, ...] = ()
    """The last answers of the service's own analyses: smoke tests, commands and queries."""
    baseline: Baseline | None = None
    """What blue did until now; None when nothing was measured."""
    restarts_before: Mapping[str, int] = field(default_factory=dict)
    """Restarts of each workload when the phase began."""

    def status(self, workload: Workload) -> WorkloadStatus | None:
        return self.workloads.get(workload.id)

    def health_of(self, workload: Workload) -> WorkloadHealth:
        return self.health.get(workload.id, WorkloadHealth())

    def is_healthy(self, workload: Workload) -> bool:
        return self.health_of(workload).verdict is Health.HEALTHY

    def is_ready(self, workload: Workload) -> bool:
        """Healthy, and nothing speaks against it right now: every replica listens and passed its last check."""
        status, health = self.status(workload), self.health_of(workload)
        return (
            status is not None
            and health.verdict is Health.HEALTHY
            and all(replica.listening for replica in status.replicas)
            and not any(replica.failed_in_a_row for replica in health.replicas)
        )

    def is_alive(self, workload: Workload) -> bool:
        """Whether at least one replica runs and listens."""
        status = self.status(workload)
        return status is not None and any(replica.listening for replica in status.replicas)

    def endpoints(self, workload: Workload) -> tuple[Endpoint, ...]:
        status = self.status(workload)
        return status.endpoints if status else ()

    def healthy_endpoints(self, workload: Workload) -> tuple[Endpoint, ...]:
        """Of the replicas that listen and are healthy each for itself."""
        status, checked = self.status(workload), self.health_of(workload).replicas
        return tuple(
            replica.endpoint
            for replica in (status.replicas if status else ())
            if replica.endpoint is not None
            and replica.listening
            and replica.index < len(checked)
            and checked[replica.index].verdict is Health.HEALTHY
        )

    def restarts_in_phase(self, workload: Workload) -> int:
        status = self.status(workload)
        return status.restarts - self.restarts_before.get(workload.id, 0) if status else 0

    def ends_in_phase(self, workload: Workload) -> str:
        """What is known beyond exit codes of replicas that ended in this phase: `; replica 0 was killed ...`, or ""."""
        status, restarts = self.status(workload), self.restarts_in_phase(workload)
        found = [replica for replica in (status.replicas if status else ()) if restarts or replica.pid is None]
        return "".join(f"; replica {replica.index} {replica.ended}" for replica in found if replica.ended)

    def slot_traffic(self, color: Color) -> SlotTraffic | None:
        return None if self.traffic is None else self.traffic.get(color)

    def occupant(self, color: Color) -> WorkloadStatus | None:
        """Another workload's id may stand in a slot until its clean-up is done."""
        found = [status for status in self.workloads.values() if status.workload.color is color]
        return found[0] if found else None
