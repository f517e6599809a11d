"""Small documents in the event log's file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bluegreen.stores.document_codec import decode_document, encode_document
from bluegreen.stores.sqlite_file import SqliteFile

_PUT = (
    "INSERT INTO documents (kind, key, document) VALUES (?, ?, ?)"
    " ON CONFLICT (kind, key) DO UPDATE SET document = excluded.document"
)


class SqliteDocuments(SqliteFile):
    async def put(self, kind: str, key: str, document: Mapping[str, Any]) -> None:
        text = encode_document(kind, key, document)
        await self._write(lambda database: database.execute(_PUT, (kind, key, text)))

    async def get(self, kind: str, key: str) -> Mapping[str, Any] | None:
        query = "SELECT document FROM documents WHERE kind = ? AND key = ?"
        row = await self._run(lambda database: database.execute(query, (kind, key)).fetchone())
        return None if row is None else decode_document(row[0])

    async def remove(self, kind: str, key: str) -> None:
        statement = "DELETE FROM documents WHERE kind = ? AND key = ?"
        await self._write(lambda database: database.execute(statement, (kind, key)))

    async def all(self, kind: str) -> Mapping[str, Mapping[str, Any]]:
        query = "SELECT key, document FROM documents WHERE kind = ? ORDER BY number"
        rows = await self._run(lambda database: database.execute(query, (kind,)).fetchall())
        return {key: decode_document(document) for key, document in rows}
