"""A checked configuration: frozen, every path absolute, defaults filled in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bluegreen.domain.errors import ConfigurationError
from bluegreen.domain.model import Endpoint
from bluegreen.domain.service import ServiceSpec


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
class CapacitySettings:
    """What workloads may use of this machine; None means "detect"."""

    gpus: int | None = None
    cpus: float | None = None
    memory_mb: int | None = None


@dataclass(frozen=True, slots=True)
class AlertSettings:
    webhook_url: str | None = field(default=None, repr=False)
    """Often holds a secret: keep it out of logs."""
    webhook_url_env: str | None = None

    def resolve(self, environment: Mapping[str, str]) -> str | None:
        """The address to send alerts to, None when there is none.

        Asked by the daemon only: `bluegreen status` must work in a shell without the secret. Raises
        ConfigurationError when the variable is not set or holds no http(s) address.
        """
        if self.webhook_url_env is None:
            return self.webhook_url
        value = environment.get(self.webhook_url_env, "")
        if not value.startswith(("http://", "https://")):
            state = "holds no http:// or https:// address" if value else "is not set"
            problem = f"alerts.webhook_url_env: the environment variable {self.webhook_url_env} {state}"
            raise ConfigurationError("the daemon's environment", [problem])
        return value


@dataclass(frozen=True, slots=True)
class Configuration:
    path: Path
    base_directory: Path
    """Relative paths in the file start here."""
    daemon: DaemonSettings
    router: RouterSettings
    capacity: CapacitySettings = CapacitySettings()
    alerts: AlertSettings = AlertSettings()
    services: Mapping[str, ServiceSpec] = field(default_factory=dict)
