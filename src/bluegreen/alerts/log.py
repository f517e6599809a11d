"""Alerts as lines of the log."""

from __future__ import annotations

import logging

from bluegreen.control.ports import Alert

_LEVELS = {"info": logging.INFO, "warning": logging.WARNING, "critical": logging.CRITICAL}


class LogSink:
    """Writes each alert as one line. An unknown severity counts as a warning."""

    def __init__(self, logger: logging.Logger | None = None) -> None:
        self._logger = logger or logging.getLogger("bluegreen.alerts")

    async def deliver(self, alert: Alert) -> None:
        # A message may quote what a broken version printed; it must not look like further lines of our log.
        message = " ".join(alert.message.splitlines())
        self._logger.log(
            _LEVELS.get(alert.severity, logging.WARNING),
            "alert %s of %s (deployment %s): %s",
            alert.name,
            alert.service,
            alert.deployment_id,
            message,
        )
