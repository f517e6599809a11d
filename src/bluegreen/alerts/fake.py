"""Alerts in a list, for tests and simulations."""

from __future__ import annotations

from bluegreen.control.ports import Alert
from bluegreen.domain.errors import AdapterError


class RecordingSink:
    """`alerts` holds what was delivered, oldest first. `failure`, while it is set, is raised instead."""

    def __init__(self, name: str = "recording") -> None:
        self.name = name
        self.alerts: list[Alert] = []
        self.failure: AdapterError | None = None

    async def deliver(self, alert: Alert) -> None:
        if self.failure is not None:
            raise self.failure
        self.alerts.append(alert)
