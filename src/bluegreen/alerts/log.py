"""Alerts as lines of the log."""

from __future__ import annotations

import logging

from bluegreen.control.ports import Alert

_LEVELS = {"info": logging.INFO, "warning": logging.WARNING, "critical": logging.CRITICAL}


class LogSink:
    """Writes each alert as one line. An unknown severity counts as a warning."""

    name = "log"

    def __init__(self, logger: logging.Logger | None = None) -> None:
        self._logger = logger or logging.getLogger("bluegreen.alerts")

    async def deliver(self, alert: Alert) -> None:
        # A message may quote what a broken version printed; it must not look like further lines of our log.
        about, message = (" ".join(text.splitlines()) for text in (_about(alert), alert.message))
        self._logger.log(
            _LEVELS.get(alert.severity, logging.WARNING),
            "alert %s: %s",
            about,
            message,
        )


def _about(alert: Alert) -> str:
    service = f" of {alert.service}" if alert.service else ""
    deployment = f" (deployment {alert.deployment_id})" if alert.deployment_id else ""
    return f"{alert.name}{' resolved' if alert.resolved else ''}{service}{deployment}"
