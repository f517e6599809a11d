"""An event log in memory, with outbox and documents: for tests and simulations, with the meaning of those on disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bluegreen.control.raised import alert_of
from bluegreen.domain.errors import StoreError
from bluegreen.domain.events import TERMINAL_KINDS, Event, Record
from bluegreen.stores.codec import encode
from bluegreen.stores.memory_outbox import MemoryDocuments, MemoryOutbox


class MemoryEventStore(MemoryOutbox, MemoryDocuments):
    """`failure`, while it is set, is raised by all that writes, as by a full disk; nothing is written then."""

    def __init__(self) -> None:
        MemoryOutbox.__init__(self)
        MemoryDocuments.__init__(self)
        self.failure: StoreError | None = None
        self._records: dict[str, list[Record]] = {}
        """deployment id → its records; deployments stand in the order of their first event."""
        self._last_sequence = 0

    async def append(self, deployment_id: str, service: str, events: Sequence[tuple[float, Event]]) -> Sequence[Record]:
        if self.failure is not None:
            raise self.failure
        known = self._records.get(deployment_id, [])
        if known and known[0].service != service:
            raise StoreError(f"deployment {deployment_id!r} belongs to {known[0].service!r}, not to {service!r}")
        for _, event in events:
            encode(event)
        records = [
            Record(self._last_sequence + number, deployment_id, service, float(at), event)
            for number, (at, event) in enumerate(events, start=1)
        ]
        if records:
            self._records.setdefault(deployment_id, []).extend(records)
            self._last_sequence = records[-1].sequence
        for at, event in events:
            if (alert := alert_of(deployment_id, service, at, event)) is not None:
                self._put(alert)
        return records

    async def read(self, deployment_id: str, *, after: int = 0) -> Sequence[Record]:
        return [record for record in self._records.get(deployment_id, []) if record.sequence > after]

    async def latest(self) -> Mapping[str, str]:
        return {records[0].service: deployment_id for deployment_id, records in self._records.items()}

    async def unfinished(self) -> Sequence[str]:
        return [
            deployment_id
            for deployment_id, records in self._records.items()
            if not any(record.event.kind in TERMINAL_KINDS for record in records)
        ]

    async def deployments(self, service: str, *, limit: int = 50) -> Sequence[str]:
        own = [name for name, records in self._records.items() if records[0].service == service]
        return own[::-1][: max(limit, 0)]
