"""Whether something listens, found out from another machine: who answers, who only seems to, and how often one asks."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from bluegreen.domain.model import Endpoint
from bluegreen.runtimes.docker.listening import FromHere, stays_open


async def silent(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """As HTTP: nothing is said before a request."""
    await asyncio.sleep(60)
    writer.close()


async def talkative(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"220 ready\r\n")
    await writer.drain()
    await asyncio.sleep(60)


async def closes_at_once(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """As the engine's proxy before the container listens."""
    writer.close()


class Server:
    """Counts its connections."""

    def __init__(self, answer: Callable[..., Any]) -> None:
        self.answer = answer
        self.connections = 0
        self.endpoint = Endpoint("127.0.0.1", 0)
        self._server: asyncio.Server | None = None

    async def start(self, port: int = 0) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port)
        self.endpoint = Endpoint("127.0.0.1", self._server.sockets[0].getsockname()[1])

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(asyncio.CancelledError, OSError):
            await self.answer(reader, writer)

    def stop(self) -> None:
        if self._server is not None:
            self._server.close()


@contextlib.asynccontextmanager
async def serving(answer: Callable[..., Any]) -> AsyncIterator[Server]:
    server = Server(answer)
    await server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
async def listening() -> AsyncIterator[FromHere]:
    made = FromHere()
    yield made
    await made.aclose()


def container(started_at: str = "2026-11-26T10:00:00Z") -> dict[str, Any]:
    return {"Id": "c1", "State": {"StartedAt": started_at, "Pid": 77}}


@pytest.mark.parametrize(("answer", "expected"), [(silent, True), (talkative, True), (closes_at_once, False)])
async def test_a_connection_that_stays_open_is_somebody_listening(answer: Callable[..., Any], expected: bool) -> None:
    async with serving(answer) as server:
        assert await stays_open(server.endpoint) is expected
    assert await stays_open(server.endpoint) is False


async def test_however_often_it_is_asked_one_connection_is_made(listening: FromHere) -> None:
    async with serving(silent) as server:
        asked = [(container(), server.endpoint)]
        await asyncio.gather(*(listening.look(asked) for _ in range(50)))
        assert listening(container(), server.endpoint, 8080)
        await listening.look(asked)
        assert server.connections == 1


async def test_what_does_not_listen_yet_is_looked_at_again(listening: FromHere) -> None:
    async with serving(closes_at_once) as server:
        asked = [(container(), server.endpoint)]
        await listening.look(asked)
        assert not listening(container(), server.endpoint, 8080)
        server.answer = silent
        async with asyncio.timeout(10):
            while not listening(container(), server.endpoint, 8080):
                await listening.look(asked)
                await asyncio.sleep(0.01)


async def test_another_run_of_the_container_has_to_prove_it_again(listening: FromHere) -> None:
    async with serving(silent) as server:
        await listening.look([(container(), server.endpoint)])
        again = container("2026-11-26T11:00:00Z")
        assert not listening(again, server.endpoint, 8080)
        server.answer = closes_at_once
        await listening.look([(again, server.endpoint)])
        assert not listening(again, server.endpoint, 8080)
