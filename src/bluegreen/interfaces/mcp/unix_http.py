"""One POST over a unix socket, without holding up the event loop: a tenth of what a general HTTP client costs."""

from __future__ import annotations

import asyncio
from pathlib import Path

import h11

_READ_BYTES = 1 << 16


async def post(socket_path: Path, path: str, body: bytes, *, timeout_seconds: float) -> tuple[int, bytes]:
    """Status and content of the answer. Each call has a connection of its own: one that is kept may be closed by the
    other side at the moment it is used again, and nobody would know whether the request arrived.

    Raises OSError (TimeoutError after `timeout_seconds`, FileNotFoundError and ConnectionRefusedError when nobody
    listens, ConnectionError when the answer ends too early or is no HTTP).
    """
    async with asyncio.timeout(timeout_seconds):
        reader, writer = await asyncio.open_unix_connection(socket_path)
        try:
            connection = h11.Connection(h11.CLIENT)
            writer.write(_request(connection, path, body))
            return await _answer(connection, reader)
        except h11.RemoteProtocolError as error:
            raise ConnectionError(str(error)) from error
        finally:
            writer.close()


def _request(connection: h11.Connection, path: str, body: bytes) -> bytes:
    headers = [
        ("Host", "localhost"),
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(body))),
        ("Connection", "close"),
        # The owner's own word, for the audit log: it gives no right that the socket does not give.
        ("X-Bluegreen-Door", "mcp"),
    ]
    events = (h11.Request(method="POST", target=path, headers=headers), h11.Data(data=body), h11.EndOfMessage())
    return b"".join(connection.send(event) or b"" for event in events)


async def _answer(connection: h11.Connection, reader: asyncio.StreamReader) -> tuple[int, bytes]:
    status, content = 0, bytearray()
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(_READ_BYTES))
        elif isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            content += event.data
        elif isinstance(event, h11.EndOfMessage):
            return status, bytes(content)
        elif isinstance(event, h11.ConnectionClosed):
            raise ConnectionError("the connection was closed before the answer")
