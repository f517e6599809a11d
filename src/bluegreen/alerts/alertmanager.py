"""Alerts for Prometheus Alertmanager, by its API version 2."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

from bluegreen.alerts.http_post import HttpPost
from bluegreen.control.ports import Alert

PATH = "/api/v2/alerts"


class AlertmanagerSink:
    """POSTs each alert as one of Alertmanager's. It tells alerts apart by their labels, so a repetition changes
    nothing there. An alert that is not resolved expires by Alertmanager's own `resolve_timeout`."""

    def __init__(self, url: str, timeout_seconds: float = 5.0, *, name: str = "alertmanager") -> None:
        """`url` is where Alertmanager is, with its path prefix. Raises UsageError for what is no http(s) address."""
        self.name = name
        self._post = HttpPost(url, timeout_seconds=timeout_seconds)
        path = self._post.url.path.rstrip("/").removesuffix(PATH)
        self._post.url = self._post.url._replace(path=path + PATH)

    async def deliver(self, alert: Alert) -> None:
        body = json.dumps([as_alertmanager(alert)]).encode()
        await self._post.send(body, {}, f"alert {alert.name!r} of {alert.service!r}")


def as_alertmanager(alert: Alert) -> dict[str, Any]:
    """A `postableAlert`. Labels of our own win over the alert's; empty ones are left out, as they mean "not set"."""
    labels = {
        **{_label_name(name): value for name, value in alert.labels.items()},
        "alertname": alert.name,
        "severity": alert.severity,
        "service": alert.service,
        "deployment_id": alert.deployment_id,
    }
    annotations = {
        "summary": alert.message,
        "alert_id": alert.id,
        "version": alert.version,
        "duration_seconds": "" if alert.duration_seconds is None else f"{alert.duration_seconds:g}",
        "cause": alert.cause,
        "next_command": alert.next_command,
    }
    at = datetime.fromtimestamp(alert.at, UTC).isoformat(timespec="milliseconds")
    return {
        "labels": {name: value for name, value in labels.items() if value},
        "annotations": {name: value for name, value in annotations.items() if value},
        "startsAt": at,
        **({"endsAt": at} if alert.resolved else {}),
    }


def _label_name(name: str) -> str:
    """Ours may have `.`, `/` and `-`; the names of Prometheus labels have letters, digits and `_` only."""
    plain = re.sub(r"[^a-zA-Z0-9_]", "_", name)
    return f"_{plain}" if plain[:1].isdigit() else plain
