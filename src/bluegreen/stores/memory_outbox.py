"""The outbox of alerts and the documents in memory, with the meaning of those on disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bluegreen.control.ports import Alert, Delivery
from bluegreen.domain.errors import StoreError
from bluegreen.stores.alert_codec import DELIVERED, GIVEN_UP, PENDING, decode_alert, described, encode_alert, storable
from bluegreen.stores.document_codec import decode_document, encode_document

MOST_PENDING = 1000


@dataclass(frozen=True, slots=True)
class _State:
    state: str = PENDING
    attempts: int = 0
    next_at: float = 0.0
    error: str = ""


class MemoryOutbox:
    """`failure`, while it is set, is raised by everything that writes."""

    failure: StoreError | None = None

    def __init__(self) -> None:
        self._alerts: dict[str, str] = {}
        """id → the alert as it would be on disk, oldest first."""
        self._states: dict[tuple[str, str], _State] = {}
        """(alert id, sink) → how far it is."""
        self._sinks: set[str] | None = None

    async def add(self, alert: Alert) -> None:
        self._refuse_when_failing()
        self._put(alert)

    async def subscribe(self, sinks: Sequence[str]) -> None:
        self._refuse_when_failing()
        if self._sinks is None:
            self._states |= {(alert_id, sink): _State() for alert_id in self._alerts for sink in sinks}
        self._sinks = set(sinks)

    async def pending(self, sinks: Sequence[str]) -> Sequence[Delivery]:
        order = {alert_id: number for number, alert_id in enumerate(self._alerts)}
        found = [
            Delivery(decode_alert(self._alerts[alert_id]), sink, state.attempts, state.next_at, state.error)
            for (alert_id, sink), state in self._states.items()
            if state.state == PENDING and sink in sinks
        ]
        due_first = sorted(found, key=lambda delivery: (delivery.next_at, order[delivery.alert.id]))[:MOST_PENDING]
        return sorted(due_first, key=lambda delivery: (order[delivery.alert.id], delivery.sink))

    async def delivered(self, alert_id: str, sink: str) -> None:
        self._change(alert_id, sink, state=DELIVERED, error="")

    async def failed(self, alert_id: str, sink: str, *, error: str, next_at: float) -> None:
        known = self._states.get((alert_id, sink), _State())
        self._change(alert_id, sink, attempts=known.attempts + 1, next_at=float(next_at), error=storable(error))

    async def given_up(self, alert_id: str, sink: str, *, error: str) -> None:
        self._change(alert_id, sink, state=GIVEN_UP, error=storable(error))

    async def prune(self, before: float) -> int:
        self._refuse_when_failing()
        waited_for = {
            alert_id
            for (alert_id, sink), state in self._states.items()
            if state.state == PENDING and sink in (self._sinks or ())
        }
        old = {alert.id for alert in self._decoded() if alert.at < before} - waited_for
        self._alerts = {alert_id: text for alert_id, text in self._alerts.items() if alert_id not in old}
        self._states = {key: state for key, state in self._states.items() if key[0] not in old}
        return len(old)

    async def alerts(self, *, limit: int = 50, service: str = "", before: float | None = None) -> Sequence[Alert]:
        wanted = [
            alert
            for alert in self._decoded()
            if (not service or alert.service == service) and (before is None or alert.at < before)
        ]
        # Of two with the same time, the one that came last is the first.
        wanted.reverse()
        return sorted(wanted, key=lambda alert: -alert.at)[: max(limit, 0)]

    async def deliveries(self, alert_ids: Sequence[str]) -> Mapping[str, Mapping[str, str]]:
        known: dict[str, dict[str, str]] = {alert_id: {} for alert_id in alert_ids if alert_id in self._alerts}
        for (alert_id, sink), state in sorted(self._states.items()):
            if alert_id in known:
                known[alert_id][sink] = described(state.state, state.error)
        return known

    def _put(self, alert: Alert) -> None:
        if alert.id not in self._alerts:
            self._alerts[alert.id] = encode_alert(alert)
            self._states |= {(alert.id, sink): _State() for sink in self._sinks or ()}

    def _decoded(self) -> list[Alert]:
        return [decode_alert(text) for text in self._alerts.values()]

    def _change(self, alert_id: str, sink: str, **changes: Any) -> None:
        self._refuse_when_failing()
        known = self._states.get((alert_id, sink))
        if known is not None and known.state == PENDING:
            self._states[alert_id, sink] = replace(known, **changes)

    def _refuse_when_failing(self) -> None:
        if self.failure is not None:
            raise self.failure


class MemoryDocuments:
    """`failure`, while it is set, is raised by everything that writes."""

    failure: StoreError | None = None

    def __init__(self) -> None:
        self._documents: dict[tuple[str, str], str] = {}

    async def put(self, kind: str, key: str, document: Mapping[str, Any]) -> None:
        if self.failure is not None:
            raise self.failure
        self._documents[kind, key] = encode_document(kind, key, document)

    async def get(self, kind: str, key: str) -> Mapping[str, Any] | None:
        text = self._documents.get((kind, key))
        return None if text is None else decode_document(text)

    async def remove(self, kind: str, key: str) -> None:
        if self.failure is not None:
            raise self.failure
        self._documents.pop((kind, key), None)

    async def all(self, kind: str) -> Mapping[str, Mapping[str, Any]]:
        return {key: decode_document(text) for (of, key), text in self._documents.items() if of == kind}
