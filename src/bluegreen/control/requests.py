"""Typed inputs of the operations. Field names are the parameter names that errors speak of."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ServiceRequest:
    """`expires_at` (seconds since the epoch) is for who asks with little patience: a daemon that hung and wakes up
    later refuses the request instead of carrying out what was meant for another moment."""

    service: str
    requested_by: str = ""
    reason: str = ""
    expires_at: float | None = None


@dataclass(frozen=True, slots=True)
class PlanRequest:
    """`image` empty means the configured one; `overrides` are configuration keys below the service."""

    service: str
    image: str = ""
    strategy: str = "blue-green"
    overrides: dict[str, str] = field(default_factory=dict)
    force: bool = False
    requested_by: str = ""


@dataclass(frozen=True, slots=True)
class DeployRequest(PlanRequest):
    note: str = ""


@dataclass(frozen=True, slots=True)
class StatusRequest:
    service: str = ""


@dataclass(frozen=True, slots=True)
class HistoryRequest:
    service: str
    limit: int = 20


@dataclass(frozen=True, slots=True)
class DeploymentRequest:
    deployment: str


@dataclass(frozen=True, slots=True)
class EventsRequest:
    """`after` is the last sequence number already seen; waits up to `wait_seconds` for something newer."""

    deployment: str
    after: int = 0
    wait_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class LogsRequest:
    """`slot` is blue or green; empty means the side of the newest deployment's version."""

    service: str
    slot: str = ""
    lines: int = 100


@dataclass(frozen=True, slots=True)
class ShutdownRequest:
    """`daemon_only` leaves router and workloads as they serve; `keep_workloads` stops the router too."""

    keep_workloads: bool = False
    force: bool = False
    daemon_only: bool = False


@dataclass(frozen=True, slots=True)
class NoRequest:
    """For operations without parameters."""
