"""Hands alerts to their sinks in the background: a sink that is down never delays a deployment."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from bluegreen.control.ports import Alert, AlertSink, Clock
from bluegreen.domain.actions import RaiseAlert
from bluegreen.domain.deployment import Deployment

log = logging.getLogger(__name__)

ATTEMPTS = 6


class AlertDesk:
    """Delivers each alert to each sink, trying again with growing pauses (1, 2, 4 … seconds)."""

    def __init__(self, sinks: Sequence[AlertSink], clock: Clock) -> None:
        self.sinks = sinks
        self._clock = clock
        self._tasks: set[asyncio.Task[None]] = set()

    def raise_alert(self, action: RaiseAlert, deployment: Deployment) -> None:
        alert = Alert(
            name=action.alert,
            severity=action.severity,
            service=deployment.service,
            deployment_id=deployment.id,
            message=action.message,
            at=self._clock.now(),
        )
        for sink in self.sinks:
            task = asyncio.create_task(self._deliver(sink, alert))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _deliver(self, sink: AlertSink, alert: Alert) -> None:
        for attempt in range(ATTEMPTS):
            try:
                await sink.deliver(alert)
                return
            except Exception as error:
                log.warning("alert %s could not be delivered: %s", alert.name, error)
            await self._clock.sleep(2.0**attempt)
        log.error("alert %s was given up after %d attempts: %s", alert.name, ATTEMPTS, alert.message)

    async def close(self, *, timeout_seconds: float = 2.0) -> None:
        """Gives deliveries under way a moment to end."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout_seconds)
        for task in self._tasks:
            task.cancel()
