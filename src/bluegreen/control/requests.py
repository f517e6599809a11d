"""Typed inputs of the operations. Field names are the parameter names that errors speak of.

The text under a field is its description in the MCP and OpenAPI schemas. `requested_by` and `expires_at` are for the
owner's command line; for everybody else the gate fills them in.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

_SCHEMA: dict[str, Any] = {"use_attribute_docstrings": True, "extra": "forbid", "allow_inf_nan": False}


@dataclass(frozen=True, slots=True)
class ServiceRequest:
    """`expires_at` (seconds since the epoch) is for who asks with little patience: a daemon that hung and wakes up
    later refuses the request instead of carrying out what was meant for another moment."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _SCHEMA

    service: str
    """Name of the service."""
    requested_by: str = ""
    """Who asks."""
    reason: str = ""
    """Why; it is kept in the history and sent with alerts."""
    expires_at: float | None = None
    """Seconds since the epoch after which the request is refused."""


@dataclass(frozen=True, slots=True)
class PlanRequest:
    __pydantic_config__: ClassVar[dict[str, Any]] = _SCHEMA

    service: str
    """Name of the service."""
    image: str = ""
    """repository:tag, or a bare tag of what runs. Not given: the configured image."""
    strategy: str = "blue-green"
    """blue-green moves all traffic at once; canary in steps (services.NAME.canary.steps), each watched beside the old
    version, which serves the rest."""
    overrides: dict[str, str] = field(default_factory=dict)
    """Configuration keys below the service for this deployment alone, for example {"replicas": "3",
    "policy.monitor_seconds": "600"}."""
    force: bool = False
    """Also when this image is what runs already."""
    requested_by: str = ""
    """Who asks."""


@dataclass(frozen=True, slots=True)
class DeployRequest(PlanRequest):
    note: str = ""
    """Kept in the event log."""


@dataclass(frozen=True, slots=True)
class StatusRequest:
    __pydantic_config__: ClassVar[dict[str, Any]] = _SCHEMA

    service: str = ""
    """Name of the service. Not given: all."""


@dataclass(frozen=True, slots=True)
class HistoryRequest:
    __pydantic_config__: ClassVar[dict[str, Any]] = _SCHEMA

    service: str
    """Name of the service."""
    limit: int = 20
    """At most this many deployments, newest first, 1 to 1000."""


@dataclass(frozen=True, slots=True)
class DeploymentRequest:
    __pydantic_config__: ClassVar[dict[str, Any]] = _SCHEMA

    deployment: str
    """Id of the deployment, from bluegreen_deploy or bluegreen_history."""


@dataclass(frozen=True, slots=True)
class ReportRequest:
    __pydantic_config__: ClassVar[dict[str, Any]] = _SCHEMA

    deployment: str
    """Id of the deployment, or the name of a service for its newest one."""
    points: int = 60
    """How many points each series may have, 0 (none) to 1000."""


@dataclass(frozen=True, slots=True)
class EventsRequest:
    __pydantic_config__: ClassVar[dict[str, Any]] = _SCHEMA

    deployment: str
    """Id of the deployment, from bluegreen_deploy or bluegreen_history."""
    after: int = 0
    """The last sequence number already seen."""
    wait_seconds: float = 0.0
    """How long to wait for something newer, at most 30."""


@dataclass(frozen=True, slots=True)
class WaitRequest:
    __pydantic_config__: ClassVar[dict[str, Any]] = _SCHEMA

    deployment: str
    """Id of the deployment, from bluegreen_deploy or bluegreen_history."""
    until: str = "ended"
    """ended (completed, rolled_back, failed, aborted), or the phase to wait for: awaiting_approval, monitoring,
    retaining. Ends early when that can't come any more, and when the deployment waits for approval."""
    timeout_seconds: float = 300.0
    """How long to wait at most, up to 3600; then the answer is the deployment as it stands."""


@dataclass(frozen=True, slots=True)
class LogsRequest:
    __pydantic_config__: ClassVar[dict[str, Any]] = _SCHEMA

    service: str
    """Name of the service."""
    slot: str = ""
    """blue or green. Not given: the side of the newest deployment's version."""
    lines: int = 100
    """How many of the last lines, 1 to 10000."""
    position: str = ""
    """Where an earlier answer ended: only what was written since."""


@dataclass(frozen=True, slots=True)
class ShutdownRequest:
    """`daemon_only` leaves router and workloads as they serve; `keep_workloads` stops the router too."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _SCHEMA

    keep_workloads: bool = False
    force: bool = False
    daemon_only: bool = False


@dataclass(frozen=True, slots=True)
class NoRequest:
    """For operations without parameters."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _SCHEMA
