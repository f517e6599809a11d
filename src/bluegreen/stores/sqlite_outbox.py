"""The outbox of alerts in the event log's file."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence

from bluegreen.control.ports import Alert, Delivery
from bluegreen.stores.alert_codec import (
    DELIVERED,
    GIVEN_UP,
    decode_alert,
    described,
    encode_alert,
    storable,
)
from bluegreen.stores.sqlite_file import SqliteFile

MOST_PENDING = 1000
_LARGEST_BATCH = 500
"""Of question marks in a query."""

_SET_STATE = (
    "UPDATE deliveries SET state = ?, error = ? WHERE sink = ?"
    " AND alert = (SELECT number FROM alerts WHERE alert_id = ?) AND state = 'pending'"
)
_SET_FAILED = (
    "UPDATE deliveries SET attempts = attempts + 1, next_at = ?, error = ? WHERE sink = ?"
    " AND alert = (SELECT number FROM alerts WHERE alert_id = ?) AND state = 'pending'"
)
_STATES = "SELECT alert_id, sink, state, error FROM alerts LEFT JOIN deliveries ON deliveries.alert = alerts.number"
_PRUNE = """DELETE FROM alerts WHERE at < ? AND NOT EXISTS (
    SELECT 1 FROM deliveries JOIN sinks ON sinks.name = deliveries.sink
    WHERE deliveries.alert = alerts.number AND deliveries.state = 'pending' AND sinks.subscribed)"""


class SqliteOutbox(SqliteFile):
    async def add(self, alert: Alert) -> None:
        await self._write(lambda database: add_alert(database, alert))

    async def subscribe(self, sinks: Sequence[str]) -> None:
        await self._write(lambda database: _subscribe(database, sinks))

    async def pending(self, sinks: Sequence[str]) -> Sequence[Delivery]:
        return await self._run(lambda database: _pending(database, sinks))

    async def delivered(self, alert_id: str, sink: str) -> None:
        await self._write(lambda database: database.execute(_SET_STATE, (DELIVERED, "", sink, alert_id)))

    async def failed(self, alert_id: str, sink: str, *, error: str, next_at: float) -> None:
        row = (float(next_at), storable(error), sink, alert_id)
        await self._write(lambda database: database.execute(_SET_FAILED, row))

    async def given_up(self, alert_id: str, sink: str, *, error: str) -> None:
        row = (GIVEN_UP, storable(error), sink, alert_id)
        await self._write(lambda database: database.execute(_SET_STATE, row))

    async def prune(self, before: float) -> int:
        return await self._write(lambda database: database.execute(_PRUNE, (float(before),)).rowcount)

    async def alerts(self, *, limit: int = 50, service: str = "", before: float | None = None) -> Sequence[Alert]:
        conditions, parameters = ["1"], list[str | float]()
        if service:
            conditions.append("service = ?")
            parameters.append(service)
        if before is not None:
            conditions.append("at < ?")
            parameters.append(float(before))
        # Only constants are put together here; values are bound.
        query = f"SELECT payload FROM alerts WHERE {' AND '.join(conditions)} ORDER BY at DESC, number DESC LIMIT ?"  # noqa: S608
        parameters.append(max(limit, 0))
        rows = await self._run(lambda database: database.execute(query, parameters).fetchall())
        return [decode_alert(payload) for (payload,) in rows]

    async def deliveries(self, alert_ids: Sequence[str]) -> Mapping[str, Mapping[str, str]]:
        return await self._run(lambda database: _deliveries(database, alert_ids))


def add_alert(database: sqlite3.Connection, alert: Alert) -> None:
    """Within a transaction: the alert, and that each subscribed sink has to get it. A known id changes nothing."""
    row = (alert.id, float(alert.at), alert.service, encode_alert(alert))
    inserted = database.execute(
        "INSERT INTO alerts (alert_id, at, service, payload) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING", row
    )
    if inserted.rowcount:
        database.execute(
            "INSERT INTO deliveries (alert, sink) SELECT ?, name FROM sinks WHERE subscribed", (inserted.lastrowid,)
        )


def _subscribe(database: sqlite3.Connection, sinks: Sequence[str]) -> None:
    (ever,) = database.execute("SELECT EXISTS (SELECT 1 FROM sinks)").fetchone()
    database.execute("UPDATE sinks SET subscribed = 0")
    database.executemany(
        "INSERT INTO sinks (name, subscribed) VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET subscribed = 1",
        [(name,) for name in sinks],
    )
    if not ever:
        # Nobody could be named when these were raised: an old log was taken over, or a daemon died at its first start.
        database.execute("INSERT OR IGNORE INTO sinks (name, subscribed) VALUES ('', 0)")
        database.execute(
            "INSERT INTO deliveries (alert, sink) SELECT alerts.number, sinks.name FROM alerts, sinks"
            " WHERE sinks.subscribed ON CONFLICT DO NOTHING"
        )


def _pending(database: sqlite3.Connection, sinks: Sequence[str]) -> Sequence[Delivery]:
    found = []
    for sink in dict.fromkeys(sinks):
        found += database.execute(
            "SELECT alerts.number, alerts.payload, sink, attempts, next_at, error FROM deliveries"
            " JOIN alerts ON alerts.number = deliveries.alert WHERE state = 'pending' AND sink = ?"
            " ORDER BY next_at, alerts.number LIMIT ?",
            (sink, MOST_PENDING),
        ).fetchall()
    due_first = sorted(found, key=lambda row: (row[4], row[0]))[:MOST_PENDING]
    return [
        Delivery(decode_alert(payload), sink, attempts, next_at, error)
        for _, payload, sink, attempts, next_at, error in sorted(due_first, key=lambda row: (row[0], row[2]))
    ]


def _deliveries(database: sqlite3.Connection, alert_ids: Sequence[str]) -> Mapping[str, Mapping[str, str]]:
    known: dict[str, dict[str, str]] = {}
    for start in range(0, len(alert_ids), _LARGEST_BATCH):
        batch = list(alert_ids[start : start + _LARGEST_BATCH])
        marks = ", ".join("?" * len(batch))
        # Only question marks are put together here.
        query = f"{_STATES} WHERE alert_id IN ({marks}) ORDER BY sink"
        rows = database.execute(query, batch)
        for alert_id, sink, state, error in rows:
            sinks = known.setdefault(alert_id, {})
            if sink is not None:
                sinks[sink] = described(state, error)
    return known
