"""A sink that only wants the more severe alerts."""

from __future__ import annotations

from bluegreen.control.ports import Alert, AlertDeclined, AlertSink

SEVERITIES = ("info", "warning", "critical")


class Threshold:
    """Passes on what is at least as severe as `min_severity`, and the rest never. An unknown severity is passed on."""

    def __init__(self, sink: AlertSink, min_severity: str) -> None:
        self.name = sink.name
        self._sink = sink
        self._min_severity = min_severity

    async def deliver(self, alert: Alert) -> None:
        below = SEVERITIES[: SEVERITIES.index(self._min_severity)]
        if alert.severity in below:
            raise AlertDeclined(f"{alert.severity} is below this sink's min_severity ({self._min_severity})")
        await self._sink.deliver(alert)
