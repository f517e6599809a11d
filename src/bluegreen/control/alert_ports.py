"""What telling people needs of the world: sinks, and an outbox that survives a crash. `ports` has these names too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Alert:
    """Something people are told. `id` is the same however often it is delivered: receivers drop repetitions by it."""

    id: str
    name: str
    severity: str
    """info, warning or critical."""
    message: str
    at: float
    """Seconds since the epoch."""
    service: str = ""
    deployment_id: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    version: str = ""
    duration_seconds: float | None = None
    """How long the deployment took, None when that has no meaning."""
    cause: str = ""
    next_command: str = ""
    """What to type next."""
    resolved: bool = False
    """True when a standing rule's condition has ended."""


class AlertDeclined(Exception):
    """The sink never wants this alert: it is not tried again. The message says why."""


class AlertSink(Protocol):
    name: str
    """Names the sink in the outbox: stays the same over restarts."""

    async def deliver(self, alert: Alert) -> None:
        """Raises AdapterError when the alert did not arrive; the caller tries again later. Raises AlertDeclined."""
        ...


@dataclass(frozen=True, slots=True)
class Delivery:
    """An alert on its way to one sink. `attempts` have failed; the next one is due at `next_at` (epoch seconds)."""

    alert: Alert
    sink: str
    attempts: int = 0
    next_at: float = 0.0
    last_error: str = ""


class Outbox(Protocol):
    """Alerts that were raised and to whom they still have to go. Lives in the event store's file: an AlertRaised
    event is put in here by the same transaction that appends it."""

    async def add(self, alert: Alert) -> None:
        """An alert without a deployment (made by a person, an agent or a rule). An id that is known is not added again.
        Raises StoreError."""
        ...

    async def subscribe(self, sinks: Sequence[str]) -> None:
        """From now on alerts are for exactly these sinks. A new one gets nothing that was raised before, except when
        nobody ever subscribed; one that left keeps what was for it. Raises StoreError."""
        ...

    async def pending(self, sinks: Sequence[str]) -> Sequence[Delivery]:
        """What these sinks have not got yet, oldest first, due or not; the 1,000 that are due first."""
        ...

    async def delivered(self, alert_id: str, sink: str) -> None: ...

    async def failed(self, alert_id: str, sink: str, *, error: str, next_at: float) -> None: ...

    async def given_up(self, alert_id: str, sink: str, *, error: str) -> None:
        """Never tried again; it stays in the list of alerts with its error."""
        ...

    async def prune(self, before: float) -> int:
        """Forgets alerts raised before this time (epoch seconds) that no subscribed sink still has to get; how many."""
        ...

    async def alerts(self, *, limit: int = 50, service: str = "", before: float | None = None) -> Sequence[Alert]:
        """Newest first."""
        ...

    async def deliveries(self, alert_ids: Sequence[str]) -> Mapping[str, Mapping[str, str]]:
        """alert id → sink → `delivered`, `pending: <last error>` or `given up: <error>`."""
        ...
