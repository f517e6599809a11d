"""From the event that people are told to the alert that they get."""

from __future__ import annotations

from bluegreen.control.ports import Alert
from bluegreen.domain.events import AlertRaised, Event


def alert_of(deployment_id: str, service: str, at: float, event: Event) -> Alert | None:
    """The alert that this event stands for; None for other events, and for those of versions without an outbox."""
    if not isinstance(event, AlertRaised) or not event.alert_id:
        return None
    return Alert(
        id=event.alert_id,
        name=event.name,
        severity=event.severity,
        message=event.message,
        at=float(at),
        service=service,
        deployment_id=deployment_id,
        version=event.version,
        duration_seconds=event.duration_seconds,
        cause=event.cause,
        next_command=event.next_command,
    )
