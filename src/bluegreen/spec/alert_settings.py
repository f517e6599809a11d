"""What `[alerts]` says: where alerts go besides the daemon's log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bluegreen.domain.errors import ConfigurationError

HTTP_KINDS = ("webhook", "alertmanager")


@dataclass(frozen=True, slots=True)
class SinkSettings:
    """One `[[alerts.sink]]`. Environment variables are asked for by the daemon only: `bluegreen status` must work in
    a shell without the secrets."""

    kind: str
    """webhook, alertmanager, apprise or file."""
    name: str
    url: str | None = field(default=None, repr=False)
    """Often holds a secret: keep it out of logs."""
    url_env: str | None = None
    secret_env: str | None = None
    path: Path | None = None
    """Absolute; set exactly for the kind file."""
    min_severity: str = "info"

    def resolve_url(self, environment: Mapping[str, str], at: str) -> str:
        """Raises ConfigurationError, naming the key below `at`, when the variable is not set or holds no address."""
        if self.url_env is None:
            return self.url or ""
        value = environment.get(self.url_env, "")
        good = value.startswith(("http://", "https://")) if self.kind in HTTP_KINDS else "://" in value
        if not good:
            wanted = "http:// or https:// address" if self.kind in HTTP_KINDS else "address of Apprise's"
            raise _missing(f"{at}.url_env", self.url_env, f"holds no {wanted}" if value else "is not set")
        return value

    def resolve_secret(self, environment: Mapping[str, str], at: str) -> str:
        """Nothing when no secret is configured. Raises ConfigurationError when its variable is not set."""
        if self.secret_env is None:
            return ""
        value = environment.get(self.secret_env, "")
        if not value:
            raise _missing(f"{at}.secret_env", self.secret_env, "is not set")
        return value


@dataclass(frozen=True, slots=True)
class AlertSettings:
    webhook_url: str | None = field(default=None, repr=False)
    """Often holds a secret: keep it out of logs."""
    webhook_url_env: str | None = None
    sinks: tuple[SinkSettings, ...] = ()
    """With names of their own; `log` and, when there is a webhook_url, `webhook` are taken."""

    def resolve(self, environment: Mapping[str, str]) -> str | None:
        """The webhook's address, None when there is none.

        Asked by the daemon only: `bluegreen status` must work in a shell without the secret. Raises
        ConfigurationError when the variable is not set or holds no http(s) address.
        """
        if self.webhook_url_env is None:
            return self.webhook_url
        value = environment.get(self.webhook_url_env, "")
        if not value.startswith(("http://", "https://")):
            state = "holds no http:// or https:// address" if value else "is not set"
            raise _missing("alerts.webhook_url_env", self.webhook_url_env, state)
        return value


def _missing(key: str, variable: str, state: str) -> ConfigurationError:
    return ConfigurationError("the daemon's environment", [f"{key}: the environment variable {variable} {state}"])
