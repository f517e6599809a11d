"""The event log as the watchers see it: what is appended wakes the alert desk, what can't be is told at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bluegreen.control.alerting import AlertDesk
from bluegreen.control.ports import Alert, EventStore
from bluegreen.control.raised import alert_of
from bluegreen.domain.alert_texts import NEEDS_ATTENTION
from bluegreen.domain.errors import StoreError
from bluegreen.domain.events import AlertRaised, Event, Record

FAILURES_TOLD = 3
"""Failed writes in a row of a deployment: a file that was locked for a moment wakes nobody."""


class AlertingStore:
    """Passes everything on. An alert that could not be recorded goes out all the same, once and without a record,
    and so does one that the log can't be written: people must hear of a full disk."""

    def __init__(self, store: EventStore, desk: AlertDesk) -> None:
        self._store = store
        self._desk = desk
        self._failures: dict[str, int] = {}

    async def append(self, deployment_id: str, service: str, events: Sequence[tuple[float, Event]]) -> Sequence[Record]:
        try:
            records = await self._store.append(deployment_id, service, events)
        except StoreError as error:
            raised = [alert_of(deployment_id, service, at, event) for at, event in events]
            lost = [alert for alert in raised if alert is not None]
            failures = self._failures[deployment_id] = self._failures.get(deployment_id, 0) + 1
            if events and failures >= FAILURES_TOLD:
                lost.append(_not_written(deployment_id, service, events[0][0], error))
            self._desk.deliver_unrecorded(lost)
            raise
        self._failures.pop(deployment_id, None)
        if any(isinstance(event, AlertRaised) for _, event in events):
            self._desk.wake()
        return records

    async def read(self, deployment_id: str, *, after: int = 0) -> Sequence[Record]:
        return await self._store.read(deployment_id, after=after)

    async def latest(self) -> Mapping[str, str]:
        return await self._store.latest()

    async def unfinished(self) -> Sequence[str]:
        return await self._store.unfinished()

    async def deployments(self, service: str, *, limit: int = 50) -> Sequence[str]:
        return await self._store.deployments(service, limit=limit)


def _not_written(deployment_id: str, service: str, at: float, error: StoreError) -> Alert:
    command = "bluegreen doctor"
    trouble = f"deployment {deployment_id} holds, its log can't be written: {error.message}"
    return Alert(
        id=f"{deployment_id}:{NEEDS_ATTENTION}:log",
        name=NEEDS_ATTENTION,
        severity="critical",
        message=f"{service}: {trouble}. Next: {command}",
        at=float(at),
        service=service,
        deployment_id=deployment_id,
        cause=error.message,
        next_command=command,
    )
