"""What `[metrics]` says: where the user's own metrics are asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class PrometheusSettings:
    """A Prometheus, or whatever answers as one. The token is never here, only where it is."""

    url: str
    """Without a slash at its end; may have a path. `/api/v1/query` is below it."""
    bearer_token_env: str | None = None
    bearer_token_file: Path | None = None
    ca_file: Path | None = None
    """PEM; None: the certificate authorities of the system."""
    timeout_seconds: float = 10.0
    """The longest that is waited for an answer, whatever an analysis allows."""
    max_sample_age_seconds: float = 120.0


@dataclass(frozen=True, slots=True)
class MetricsSettings:
    prometheus: PrometheusSettings | None = None
