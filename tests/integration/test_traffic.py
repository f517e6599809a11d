"""The traffic generator against servers that fail in ways that are known beforehand."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from examples.traffic import SteadyTraffic, TrafficReport

DEADLINE_SECONDS = 20.0


async def run_until(traffic: SteadyTraffic, *, requests: int) -> TrafficReport:
    await traffic.start()
    deadline = time.monotonic() + DEADLINE_SECONDS
    while traffic.report().sent < requests and time.monotonic() < deadline:
        await asyncio.sleep(0.005)
    report = await traffic.stop()
    assert report.sent >= requests, f"only {report.sent} requests within {DEADLINE_SECONDS} s"
    return report


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


class ScriptedServer:
    """Answers the n-th request (over all connections, from 0) as `script(n)` says, then keeps the connection."""

    CLOSE_AFTER = b"close after this"

    def __init__(self, script: Callable[[int], bytes]) -> None:
        self._script = script
        self.requests = 0
        self.port = 0

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                answer = self._script(self.requests)
                self.requests += 1
                writer.write(answer.removesuffix(self.CLOSE_AFTER))
                if answer.endswith(self.CLOSE_AFTER):
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def scripted(script: Callable[[int], bytes]) -> AsyncIterator[ScriptedServer]:
    server = ScriptedServer(script)
    listener = await asyncio.start_server(server.handle, "127.0.0.1", 0)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()


def answer(version: str, status: int = 200, body: bytes = b"ok") -> bytes:
    head = f"HTTP/1.1 {status} X\r\nX-Version: {version}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


CUT = ScriptedServer.CLOSE_AFTER


@pytest.mark.parametrize("keep_alive", [True, False])
async def test_every_answer_is_counted_with_status_and_version(keep_alive: bool) -> None:
    def script(number: int) -> bytes:
        return answer("v2", 503, b"no room") if number % 10 == 9 else answer("v1")

    async with scripted(script) as server:
        traffic = SteadyTraffic("127.0.0.1", server.port, concurrency=4, keep_alive=keep_alive)
        report = await run_until(traffic, requests=200)

    assert report.sent == server.requests
    assert report.failed == server.requests // 10
    assert report.by_version == {"v1": report.sent - report.failed, "v2": report.failed}
    assert report.by_status == {200: report.sent - report.failed, 503: report.failed}
    assert "HTTP 503 from v2: no room" in report.failures[0]
    assert report.reconnects == 0
    assert 0 < report.latency_milliseconds(50) <= report.latency_milliseconds(99)


async def test_requests_begun_after_a_switch_are_told_from_those_on_the_way() -> None:
    switched_at = 50

    async with scripted(lambda number: answer("old" if number < switched_at else "new")) as server:
        traffic = SteadyTraffic("127.0.0.1", server.port, concurrency=1)
        report = await run_until(traffic, requests=100)

    last_old_began = report.begun[switched_at - 1]
    assert report.requests_on_old_after(last_old_began, "old") == 0
    assert report.requests_on_old_after(report.begun[switched_at - 4], "old") == 3
    assert report.requests_on_old_after(0.0, "old") == switched_at
    assert report.requests_on_old_after(0.0, "never seen") == 0


async def test_an_idle_connection_that_ends_is_a_reconnect_and_no_failure() -> None:
    # The odd ones are never answered: the connection, which had served a request, just ends.
    async with scripted(lambda number: CUT if number % 2 else answer("v1")) as server:
        report = await run_until(SteadyTraffic("127.0.0.1", server.port, concurrency=1), requests=20)

    assert report.failures == ()
    assert report.reconnects == server.requests // 2
    assert report.by_version == {"v1": report.sent}


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        (CUT, "connection lost before the answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Le" + CUT, "in the middle of the answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf" + CUT, "in the middle of the answer"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel" + CUT, "in the middle of"),
        (b"SMTP ready\r\n\r\n", "is not HTTP"),
    ],
)
async def test_a_request_without_a_whole_answer_has_failed(reply: bytes, text: str) -> None:
    async with scripted(lambda _: reply) as server:
        report = await run_until(SteadyTraffic("127.0.0.1", server.port, concurrency=2), requests=6)

    assert report.failed == report.sent == server.requests
    assert report.by_version == {}
    assert report.reconnects == 0
    assert text in report.failures[0]


async def test_an_answer_cut_short_is_never_sent_again() -> None:
    """Even on a reused connection: its first bytes show that the server worked on it."""
    half = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf" + CUT
    async with scripted(lambda number: half if number % 2 else answer("v1")) as server:
        report = await run_until(SteadyTraffic("127.0.0.1", server.port, concurrency=1), requests=10)

    assert (report.sent, report.reconnects) == (server.requests, 0)
    assert report.failed == server.requests // 2


async def test_a_refused_connection_and_a_silent_server_are_failures() -> None:
    report = await run_until(SteadyTraffic("127.0.0.1", free_port(), concurrency=1), requests=3)
    assert report.failed == report.sent
    assert "Connect call failed" in report.failures[0] or "refused" in report.failures[0]

    async with scripted(lambda _: b"") as server:
        traffic = SteadyTraffic("127.0.0.1", server.port, concurrency=1, timeout_seconds=0.05)
        report = await run_until(traffic, requests=2)
    assert report.failed == report.sent
    assert "no answer within 0.05 s" in report.failures[0]


async def test_the_pace_is_kept() -> None:
    async with scripted(lambda _: answer("v1")) as server:
        traffic = SteadyTraffic.to_url(f"http://127.0.0.1:{server.port}/x?y=1", concurrency=8, rate_per_second=400)
        report = await run_until(traffic, requests=200)
    # Never faster; slower only on a busy machine, whose speed is not what is tested here.
    assert report.duration_seconds >= (report.sent - 1) / 400
    assert report.failures == ()
