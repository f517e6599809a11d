"""Typed outputs of the operations. `--json` prints exactly these; docs/json.md describes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bluegreen.domain.model import Resources


@dataclass(frozen=True, slots=True)
class SlotView:
    """One slot of a service; all null or empty when nothing is in it. `in_flight` null means unknown."""

    workload_id: str | None = None
    image: str | None = None
    version: str | None = None
    state: str | None = None
    replicas: int = 0
    replicas_healthy: int = 0
    gpus: int = 0
    endpoints: tuple[str, ...] = ()
    in_flight: int | None = None
    healthy: bool | None = None
    health: str = ""
    restarts: int = 0
    requests_per_second: float | None = None
    error_rate: float | None = None


@dataclass(frozen=True, slots=True)
class RouteView:
    generation: int
    weights: dict[str, int]


@dataclass(frozen=True, slots=True)
class DeploymentView:
    """A deployment as it stands. Times are seconds since the epoch, `elapsed_seconds` is since its phase began."""

    id: str
    service: str
    phase: str
    reason: str
    strategy: str
    image: str
    version: str
    previous_image: str | None
    requested_by: str
    requested_at: float
    phase_since: float
    elapsed_seconds: float
    ended_at: float | None
    switched_at: float | None
    switch_milliseconds: float | None
    rollback_milliseconds: float | None
    requests: int | None
    errors: int | None
    cause: str
    attention: str
    cut_requests: int
    blue: str | None
    green: str | None
    can_roll_back: bool
    rollback_until: float | None
    rollback_command: str
    logs: tuple[str, ...]
    exit_codes: tuple[str, ...]
    share: int
    steps: tuple[int, ...]

    @property
    def shares_traffic(self) -> bool:
        """Whether both versions serve users now: a canary step."""
        return 0 < self.share < 100

    @property
    def next_share(self) -> int:
        """What the next step gives to the new version; 100 when there is none."""
        return next((percent for percent in self.steps if percent > self.share), 100)


@dataclass(frozen=True, slots=True)
class ServiceView:
    name: str
    active: str | None
    slots: dict[str, SlotView]
    deployment: DeploymentView | None
    route: RouteView | None
    hosts: tuple[str, ...]
    image: str
    policy: dict[str, Any]


@dataclass(frozen=True, slots=True)
class StatusView:
    services: tuple[ServiceView, ...]
    router: str
    router_alive: bool
    listen: str
    pid: int
    version: str


@dataclass(frozen=True, slots=True)
class RequirementView:
    name: str
    met: bool
    detail: str


@dataclass(frozen=True, slots=True)
class PlanView:
    """What a deployment would do. `possible` is false when a requirement is not met."""

    service: str
    image: str
    strategy: str
    possible: bool
    requirements: tuple[RequirementView, ...]
    steps: tuple[str, ...]
    notes: tuple[str, ...]
    green_color: str
    replicas: int
    resources: Resources


@dataclass(frozen=True, slots=True)
class RollbackView:
    """`how` is `switch` (the traffic is back), `abort` (it had never moved) or `deploy` (a new walk began)."""

    how: str
    message: str
    milliseconds: float | None
    recorded: bool
    deployment: DeploymentView | None


@dataclass(frozen=True, slots=True)
class HistoryView:
    service: str
    deployments: tuple[DeploymentView, ...]


@dataclass(frozen=True, slots=True)
class EventView:
    sequence: int
    deployment: str
    service: str
    at: float
    kind: str
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class EventsView:
    events: tuple[EventView, ...]
    ended: bool
    phase: str


@dataclass(frozen=True, slots=True)
class LogsView:
    service: str
    slot: str
    workload_id: str
    lines: tuple[str, ...]
    files: tuple[str, ...]
    position: str = ""
    """Where the next answer can begin; empty where logs are files."""


@dataclass(frozen=True, slots=True)
class ServicesView:
    services: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ReloadView:
    applied: tuple[str, ...]
    needs_restart: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MessageView:
    message: str
