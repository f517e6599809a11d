"""The event log in one SQLite file, with the outbox of alerts and the documents beside it.

The log is append-only by triggers. An event that raises an alert puts it into the outbox in its own transaction.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence

from bluegreen.control.raised import alert_of
from bluegreen.domain.errors import StoreError
from bluegreen.domain.events import TERMINAL_KINDS, Event, Record
from bluegreen.stores.codec import decode, encode
from bluegreen.stores.sqlite_documents import SqliteDocuments
from bluegreen.stores.sqlite_outbox import SqliteOutbox, add_alert

_INSERT_DEPLOYMENT = "INSERT INTO deployments (deployment_id, service) VALUES (?, ?) ON CONFLICT DO NOTHING"
_INSERT_EVENT = "INSERT INTO events (deployment_id, service, at, kind, payload) VALUES (?, ?, ?, ?, ?)"


class SqliteEventStore(SqliteOutbox, SqliteDocuments):
    """EventStore, Outbox and DocumentStore in one: opened and closed together."""

    async def append(self, deployment_id: str, service: str, events: Sequence[tuple[float, Event]]) -> Sequence[Record]:
        if not events:
            return []
        return await self._write(lambda database: _append(database, deployment_id, service, events))

    async def read(self, deployment_id: str, *, after: int = 0) -> Sequence[Record]:
        return await self._run(lambda database: _read(database, deployment_id, after))

    async def latest(self) -> Mapping[str, str]:
        # SQLite takes a bare column from the row that holds the maximum.
        query = "SELECT service, deployment_id, MAX(number) FROM deployments GROUP BY service"
        rows = await self._run(lambda database: database.execute(query).fetchall())
        return {service: deployment_id for service, deployment_id, _ in rows}

    async def unfinished(self) -> Sequence[str]:
        query = "SELECT deployment_id FROM deployments WHERE finished = 0 ORDER BY number"
        return [row[0] for row in await self._run(lambda database: database.execute(query).fetchall())]

    async def deployments(self, service: str, *, limit: int = 50) -> Sequence[str]:
        query = "SELECT deployment_id FROM deployments WHERE service = ? ORDER BY number DESC LIMIT ?"
        parameters = (service, max(limit, 0))
        return [row[0] for row in await self._run(lambda database: database.execute(query, parameters).fetchall())]


def _append(
    database: sqlite3.Connection, deployment_id: str, service: str, events: Sequence[tuple[float, Event]]
) -> Sequence[Record]:
    _register(database, deployment_id, service)
    records = []
    for at, event in events:
        row = (deployment_id, service, float(at), event.kind, encode(event))
        sequence = database.execute(_INSERT_EVENT, row).lastrowid
        assert sequence is not None
        records.append(Record(sequence, deployment_id, service, float(at), event))
        if (alert := alert_of(deployment_id, service, at, event)) is not None:
            add_alert(database, alert)
    if any(event.kind in TERMINAL_KINDS for _, event in events):
        database.execute("UPDATE deployments SET finished = 1 WHERE deployment_id = ?", (deployment_id,))
    return records


def _register(database: sqlite3.Connection, deployment_id: str, service: str) -> None:
    """A deployment belongs to one service for ever."""
    database.execute(_INSERT_DEPLOYMENT, (deployment_id, service))
    query = "SELECT service FROM deployments WHERE deployment_id = ?"
    (owner,) = database.execute(query, (deployment_id,)).fetchone()
    if owner != service:
        raise StoreError(f"deployment {deployment_id!r} belongs to {owner!r}, not to {service!r}")


def _read(database: sqlite3.Connection, deployment_id: str, after: int) -> Sequence[Record]:
    rows = database.execute(
        "SELECT sequence, service, at, kind, payload FROM events"
        " WHERE deployment_id = ? AND sequence > ? ORDER BY sequence",
        (deployment_id, after),
    )
    return [
        Record(sequence, deployment_id, service, at, decode(kind, payload))
        for sequence, service, at, kind, payload in rows
    ]
