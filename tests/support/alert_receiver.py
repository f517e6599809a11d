"""A web server that receives alerts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Receiver:
    """Keeps what was posted to it and answers with `status`, or not at all when it is None."""

    def __init__(self) -> None:
        self.status: int | None = 204
        self.heads: list[str] = []
        self.bodies: list[bytes] = []
        self.port = 0

    def headers(self, index: int) -> dict[str, str]:
        """Of one request, names in lower case."""
        lines = self.heads[index].split("\r\n")[1:]
        pairs = (line.partition(": ") for line in lines if line)
        return {name.lower(): value for name, _, value in pairs}

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = int(next(line for line in head.lower().split("\r\n") if "content-length" in line).split()[1])
                self.heads.append(head)
                self.bodies.append(await reader.readexactly(length))
                if self.status is None:
                    await reader.read()
                writer.write(f"HTTP/1.1 {self.status} X\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n".encode())
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def receiving(port: int = 0) -> AsyncIterator[Receiver]:
    receiver = Receiver()
    server = await asyncio.start_server(receiver.handle, "127.0.0.1", port)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()
