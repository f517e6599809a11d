"""What the user declares of a service. Defaults live here, once; `spec` reads them from the file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bluegreen.domain.analysis_condition import ResultCondition
from bluegreen.domain.container import ContainerSettings
from bluegreen.domain.model import Resources


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """GET `path` on each replica every `interval_seconds`; `rise` good ones in a row make it healthy,
    `fall` bad ones unhealthy. `deadline_seconds` is how long a new version may take to become healthy."""

    path: str = "/health"
    interval_seconds: float = 1.0
    timeout_seconds: float = 2.0
    rise: int = 2
    fall: int = 3
    deadline_seconds: float = 60.0
    expect_status: int = 200


@dataclass(frozen=True, slots=True)
class SmokeTest:
    """One request to green, or one command run against it, before it gets traffic.

    Either `method` and `path` or `command` is set. `body` is sent as it is; `expect_json` maps JMESPath
    expressions to the values they must have.
    """

    name: str
    method: str = ""
    path: str = ""
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    expect_status: int = 200
    expect_json: Mapping[str, Any] = field(default_factory=dict)
    command: tuple[str, ...] = ()
    max_seconds: float = 10.0


@dataclass(frozen=True, slots=True)
class Analysis:
    """A question asked every `interval_seconds` while green is watched; `failure_limit` failing answers in a row are a
    failure.

    Either `query` (PromQL, with the placeholders of domain/promql.py) and `condition`, or `command` is set, or `smoke`:
    the name of a smoke test that is repeated.
    """

    name: str
    query: str = ""
    condition: ResultCondition | None = None
    command: tuple[str, ...] = ()
    smoke: str = ""
    interval_seconds: float = 5.0
    timeout_seconds: float = 5.0
    failure_limit: int = 1


@dataclass(frozen=True, slots=True)
class Policy:
    """How careful to be. Times in seconds, rates as shares from 0 to 1."""

    monitor_seconds: float = 300.0
    retain_seconds: float = 900.0
    drain_timeout_seconds: float = 60.0
    max_error_rate: float = 0.01
    min_requests: int = 20
    max_latency_ms: float | None = None
    """What `latency_quantile` of green's requests may take; None: not limited."""
    max_latency_increase: float | None = None
    """How much slower than blue that quantile may be, as a share: 0.2 is 20 %. `max_latency_ms` comes first."""
    latency_quantile: float = 0.99
    false_rollback_probability: float = 0.001
    """The chance that a good version is rolled back by the tests of a deployment, all of them together."""
    on_inconclusive: str = "hold"
    """What follows when `monitor_seconds` are over and the numbers do not tell: `hold`, `promote` or `rollback`."""
    inconclusive_seconds: float = 0.0
    """How much longer to wait for them before that."""
    max_restarts: int = 2
    auto_promote: bool = True
    approval_timeout_seconds: float = 0.0
    """How long a verified version may wait for approval before it is stopped; 0 is for ever."""
    auto_rollback: bool = True
    poll_seconds: float = 0.1
    smoke_interval_seconds: float = 0.0
    """How often the smoke tests are repeated while green is watched; 0 is never."""


@dataclass(frozen=True, slots=True)
class Canary:
    """How `--strategy canary` moves the traffic: `steps` are green's shares in percent, growing, the last one 100.

    `error_threshold` (a share) and `latency_threshold_ms` stand in for the policy's limits while both versions serve.
    `sticky` is `cookie:NAME` or `header:NAME`: requests with the same value stay on the same side; with `set_cookie`
    whoever comes without that cookie gets one from the router. Requests that have
    `force_header` or `force_cookie` with the value blue or green go to that side while it has a share.
    """

    steps: tuple[int, ...] = (10, 50, 100)
    observe_seconds: float = 60.0
    """How long each step but the last is watched; the last one for the policy's `monitor_seconds`."""
    error_threshold: float | None = None
    latency_threshold_ms: float | None = None
    sticky: str = ""
    set_cookie: bool = False
    force_header: str = ""
    force_cookie: str = ""


@dataclass(frozen=True, slots=True)
class ServiceSpec:
    """A service as declared: where its requests come from, what runs, and the policy of its deployments.

    `command` and `workdir` may hold `{port} {image} {repository} {tag} {color} {replica}`. `hosts` are Host
    header patterns: `api.example.com`, `*.example.com`, or `*` for all that no other service claims.
    """

    name: str
    hosts: tuple[str, ...]
    command: tuple[str, ...]
    image: str = ""
    workdir: str = "."
    env: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    environment: str = "production"
    replicas: int = 1
    resources: Resources = Resources()
    gpu_memory_mb: int = 0
    """What must be free on each GPU of a replica when it starts; 0: not asked."""
    gpu_sharing: bool = False
    """Whether the two slots may have the same GPUs."""
    stateful: bool = False
    state_handling: str = ""
    protocol: str = "http1"
    stop_grace_seconds: float = 10.0
    runtime: str = "process"
    """What runs it: `process` or `docker`."""
    container: ContainerSettings = ContainerSettings()
    health: HealthCheck | None = None
    smoke: tuple[SmokeTest, ...] = ()
    analyses: tuple[Analysis, ...] = ()
    policy: Policy = Policy()
    canary: Canary = Canary()

    @property
    def keeps_state(self) -> str:
        """Why two versions side by side could disturb each other; empty when they can't."""
        if self.stateful:
            return "it is stateful"
        written = ", ".join(mount.target for mount in self.container.writable) if self.runtime == "docker" else ""
        return f"both versions can write to {written}" if written else ""
