"""Typed inputs of the tools for agents, with the parameter names of the six-tool procedure.

The text under a field is its description in the MCP and OpenAPI schemas.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

_SCHEMA: dict[str, Any] = {"use_attribute_docstrings": True, "extra": "forbid", "allow_inf_nan": False}

State = Literal["pending", "scheduled", "running", "succeeded", "failed", "cancelled"]
Severity = Literal["info", "warning", "critical"]


@dataclass(frozen=True, slots=True)
class WorkloadSubmitRequest:
    __pydantic_config__: ClassVar[dict[str, Any]] = _SCHEMA

    name: str
    """`inference-model-green` for a new version, `inference-model-service` to switch the traffic."""
    image: str = ""
    """What to run, as repository:tag, for example registry/inference-model:v2.0."""
    gpus: int | None = None
    """GPUs of each replica. Not given: as many as the running version has."""
    command: tuple[str, ...] | None = None
    """Program of a replica instead of the configured one; needs a token that may run commands."""
    args: tuple[str, ...] | None = None
    """Arguments that follow the command; needs a token that may run commands."""
    env: dict[str, str] | None = None
    """Environment variables beside the configured ones; needs a token that may run commands. Values are never shown."""
    cpuCores: float | None = None
    """CPU cores of each replica. Not given: as the running version."""
    memoryMb: int | None = None
    """Memory of each replica in MiB. Not given: as the running version."""
    gpuMemoryMb: int | None = None
    """MiB that must be free on each GPU of a replica when it starts. Not given: as the configuration says."""
    replicas: int | None = None
    """Copies that run at the same time. Not given: as the running version."""
    priority: int | None = None
    """0 to 100. All versions of services have the same right to what is free, so it changes nothing for them."""
    preemptible: bool = False
    """A version of a service is never stopped to make room, so true is refused for one."""
    maxRuntimeSeconds: float | None = None
    """How long it may wait for its traffic, at most what the policy allows, which is the default: a version that got
    none by then is stopped and its deployment aborted."""
    labels: dict[str, str] = field(default_factory=dict)
    """`app` (the service) with `deployment` (blue or green) for a new version, or with `activeDeployment` for the
    switch. `env` and `version` are checked when given; other labels stay with the workload."""


@dataclass(frozen=True, slots=True)
class WorkloadRequest:
    __pydantic_config__: ClassVar[dict[str, Any]] = _SCHEMA

    workloadId: str
    """The id from workload_submit or workload_list."""


@dataclass(frozen=True, slots=True)
class WorkloadListRequest:
    __pydantic_config__: ClassVar[dict[str, Any]] = _SCHEMA

    state: State | None = None
    """Only workloads in this state. Not given: all that are there, ended ones not."""
    nodeId: str = ""
    """Only workloads on this machine, by its name in `nodeId` of the answers."""
    labels: dict[str, str] = field(default_factory=dict)
    """Only workloads that have all these labels, for example {"app": "inference-model", "env": "production"}."""
    limit: int = 50
    """At most this many, 1 to 1000."""


@dataclass(frozen=True, slots=True)
class WorkloadStopRequest:
    __pydantic_config__: ClassVar[dict[str, Any]] = _SCHEMA

    workloadId: str
    """The id from workload_submit or workload_list."""
    gracePeriodSeconds: float = 30.0
    """How long requests under way may take to end before the workload is stopped."""
    force: bool = False
    """Stops even the side that has the traffic; needs scope admin. The service answers 503 from then on."""


@dataclass(frozen=True, slots=True)
class WorkloadScaleRequest:
    __pydantic_config__: ClassVar[dict[str, Any]] = _SCHEMA

    workloadId: str
    """The workload that has the traffic."""
    replicas: int
    """How many replicas the same version shall have, 1 to 64."""


@dataclass(frozen=True, slots=True)
class WorkloadLogsRequest:
    __pydantic_config__: ClassVar[dict[str, Any]] = _SCHEMA

    workloadId: str
    """The id from workload_submit or workload_list; also one that was stopped a while ago."""
    lines: int = 100
    """How many of the last lines, 1 to 10000."""


@dataclass(frozen=True, slots=True)
class MetricsQueryRequest:
    __pydantic_config__: ClassVar[dict[str, Any]] = _SCHEMA

    metric: str
    """health_check_success (share, 0 to 1), request_error_rate (share), request_connection_error_rate (share),
    request_rate (1/s), request_latency_p50, p90, p95 or p99 (milliseconds), requests_in_flight, restarts, cpu_usage
    (cores), memory_used (bytes), gpu_utilization (share), gpu_memory_used (bytes), gpu_temperature (degrees Celsius) or
    workload_duration (seconds)."""
    workloadId: str = ""
    """Of this workload alone; inference-model-service for all versions of a service."""
    nodeId: str = ""
    """Of workloads on this machine."""
    labels: dict[str, str] = field(default_factory=dict)
    """Of the workloads that have all these labels, taken together, for example {"app": "inference-model"}."""
    startTime: str = "-1h"
    """ISO 8601, or relative to now: -30s, -5m, -2h, -30d."""
    endTime: str = "now"
    """ISO 8601, now, or relative to now. Later than now means now."""
    step: str = ""
    """Width of a point, such as 10s or 1m. Not given: chosen so that there are about 60 points."""


@dataclass(frozen=True, slots=True)
class AlertCreateRequest:
    __pydantic_config__: ClassVar[dict[str, Any]] = _SCHEMA

    name: str
    """For example deploy-complete: letters, digits, dots, dashes and underscores."""
    severity: Severity
    """info, warning or critical."""
    message: str
    """What people are told: what happened, to which version, and what to do next."""
    condition: str = ""
    """Not given: delivered at once. Given, such as `request_error_rate > 0.05 for 2m`: a standing rule that fires when
    the condition holds that long, and is resolved when it ends."""
    labels: dict[str, str] = field(default_factory=dict)
    """Sent along; for a rule they also choose the workloads, for example {"app": "inference-model"}."""


@dataclass(frozen=True, slots=True)
class AlertListRequest:
    __pydantic_config__: ClassVar[dict[str, Any]] = _SCHEMA

    service: str = ""
    """Only alerts of this service."""
    limit: int = 50
    """At most this many alerts, newest first, 1 to 1000."""


@dataclass(frozen=True, slots=True)
class AlertSilenceRequest:
    __pydantic_config__: ClassVar[dict[str, Any]] = _SCHEMA

    name: str
    """Name of the alerts to keep quiet, as in alert_list; a rule of that name goes on being evaluated."""
    durationSeconds: float = 3600.0
    """For how long, at most 30 days; 0 ends a silence."""
    remove: bool = False
    """Removes the standing rule of that name for good."""
    reason: str = ""
    """Why; shown in alert_list."""
