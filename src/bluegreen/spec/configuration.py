"""A checked configuration: frozen, every path absolute, defaults filled in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bluegreen.domain.model import Endpoint, Resources
from bluegreen.domain.service import ServiceSpec
from bluegreen.spec.alert_settings import AlertSettings as AlertSettings
from bluegreen.spec.engine_host import parse_engine_host
from bluegreen.spec.metrics_settings import MetricsSettings


@dataclass(frozen=True, slots=True)
class DaemonSettings:
    state_dir: Path
    """Where the event log, routes and logs live."""
    log_level: str = "info"
    """debug, info, warning or error."""


@dataclass(frozen=True, slots=True)
class RouterSettings:
    listen: Endpoint
    """Where users' requests arrive. The host of an IPv6 address is without brackets."""
    kind: str = "haproxy"
    haproxy: Path | None = None
    """The binary: an absolute path, or a bare name to look for on PATH. None: the packaged one, then PATH."""
    certificate: Path | None = None
    """PEM file with certificate chain and key; TLS when set."""
    threads: int | None = None
    """None lets HAProxy decide."""


@dataclass(frozen=True, slots=True)
class RuntimeSettings:
    kind: str = "process"
    """process or docker."""
    host: str = "unix:///run/docker.sock"
    """Of the Docker Engine, for `parse_engine_host`."""
    network: str = ""
    """Of the containers; "" is the engine's default."""
    address: str = ""
    """IPv4 address of the engine's machine on which ports are published. "": it follows from the host."""
    tls_ca: Path | None = None
    """PEM files; all three or none."""
    tls_certificate: Path | None = None
    tls_key: Path | None = None

    @property
    def is_elsewhere(self) -> bool:
        """Whether an engine on another machine runs the workloads, or one that is reached as if it were."""
        return bool(self.address) or parse_engine_host(self.host).is_elsewhere


@dataclass(frozen=True, slots=True)
class CapacitySettings:
    """What workloads may use of this machine; None means "detect"."""

    gpus: int | None = None
    cpus: float | None = None
    memory_mb: int | None = None

    def over(self, found: Resources) -> Resources:
        """What is stated, and for the rest what was found."""
        return Resources(
            gpus=found.gpus if self.gpus is None else self.gpus,
            cpus=found.cpus if self.cpus is None else self.cpus,
            memory_mb=found.memory_mb if self.memory_mb is None else self.memory_mb,
        )


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """The door for other machines. `hosts` are what a Host header may name, lower case and without a port."""

    listen: Endpoint | None = None
    """None: there is no such door. The host of an IPv6 address is without brackets."""
    certificate: Path | None = None
    """PEM file with certificate chain and key; TLS when set, and always set when `listen` is not on loopback."""
    origins: tuple[str, ...] = ()
    """What an Origin header may be; a request without one comes from no web page and is let in."""
    hosts: tuple[str, ...] = ()
    requests_per_second: float = 50.0
    """Of each token, in the long run."""
    burst: int = 100
    max_body_bytes: int = 1024 * 1024


@dataclass(frozen=True, slots=True)
class PolicySettings:
    """What holds for every service and every caller."""

    images: tuple[str, ...] | None = None
    """Patterns for `bluegreen.domain.images.image_allowed`; None allows all."""
    orphan_seconds: float = 3600.0
    """How long a version that an agent submitted may wait for its traffic before it is stopped."""


@dataclass(frozen=True, slots=True)
class Configuration:
    path: Path
    base_directory: Path
    """Relative paths in the file start here."""
    daemon: DaemonSettings
    router: RouterSettings
    runtime: RuntimeSettings = RuntimeSettings()
    capacity: CapacitySettings = CapacitySettings()
    alerts: AlertSettings = AlertSettings()
    metrics: MetricsSettings = MetricsSettings()
    api: ApiSettings = ApiSettings()
    policy: PolicySettings = PolicySettings()
    services: Mapping[str, ServiceSpec] = field(default_factory=dict)

    @property
    def uses_docker(self) -> bool:
        """Whether anything is to run in containers."""
        return self.runtime.kind == "docker" or any(spec.runtime == "docker" for spec in self.services.values())
