"""Switches and reloads under traffic: nothing fails, and nothing begins on the old side after the answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator

import h2.config
import h2.connection
import httpx
import pytest

from bluegreen.domain.model import Color, RouteTarget
from bluegreen.routers.haproxy.router import HaproxyRouter
from tests.support.haproxy import haproxy_place, service
from tests.support.http_backends import HttpBackend, until

TO_BLUE = {"app": [RouteTarget(Color.BLUE, "w1")]}
TO_GREEN = {"app": [RouteTarget(Color.GREEN, "w2")]}
REQUEST = "GET {} HTTP/1.1\r\nHost: app.example\r\n\r\n"


@pytest.fixture
def one() -> Iterator[HttpBackend]:
    with HttpBackend("one") as backend:
        yield backend


@pytest.fixture
def two() -> Iterator[HttpBackend]:
    with HttpBackend("two") as backend:
        yield backend


@pytest.fixture
async def router(one: HttpBackend, two: HttpBackend) -> AsyncIterator[HaproxyRouter]:
    """All traffic of `app` is on `one`; `two` is ready."""
    async with haproxy_place() as place:
        router = place.router()
        await router.start([service("app")])
        await router.set_endpoints("app", Color.BLUE, [one.endpoint])
        await router.set_endpoints("app", Color.GREEN, [two.endpoint])
        await router.switch(TO_BLUE)
        yield router


async def reload(router: HaproxyRouter, number: int) -> None:
    await router.configure([service("app"), service(f"new-{number}")])


class Load:
    """Clients that ask without a pause, over connections that are kept."""

    def __init__(self, router: HaproxyRouter) -> None:
        self.url = f"http://{router.listen}/"
        self.statuses: list[int] = []
        self.stop = asyncio.Event()

    async def client(self) -> None:
        async with httpx.AsyncClient(timeout=20) as client:
            while not self.stop.is_set():
                answer = await client.get(self.url, headers={"Host": "app.example"})
                self.statuses.append(answer.status_code)

    async def more(self, requests: int) -> None:
        seen = len(self.statuses)
        await until(lambda: len(self.statuses) >= seen + requests, f"{requests} more requests")


async def test_reloads_and_switches_under_load_lose_nothing(
    router: HaproxyRouter, one: HttpBackend, two: HttpBackend
) -> None:
    load = Load(router)
    clients = [asyncio.create_task(load.client()) for _ in range(4)]
    counted = 0
    for number in range(6):
        await load.more(20)
        await reload(router, number)
        old, wanted = (one, TO_GREEN) if number % 2 == 0 else (two, TO_BLUE)
        await router.switch(wanted)
        acknowledged = time.monotonic()
        await load.more(20)
        # What HAProxy had sent to the old side before the answer may arrive in its thread a little later.
        assert [at for at in old.begun if at > acknowledged + 0.05] == []
        traffic = (await router.traffic(["app"]))["app"]
        total = sum(slot.requests for slot in traffic.values())
        assert total >= counted
        counted = total
    load.stop.set()
    await asyncio.gather(*clients)
    assert set(load.statuses) == {200}


async def test_a_kept_connection_follows_the_switch_from_its_next_request_on(router: HaproxyRouter) -> None:
    async with httpx.AsyncClient(base_url=f"http://{router.listen}", headers={"Host": "app.example"}) as client:
        assert (await client.get("/")).text == "one"
        await router.switch(TO_GREEN)
        assert (await client.get("/")).text == "two"


async def test_a_busy_connection_of_an_old_worker_follows_the_switch(
    router: HaproxyRouter, one: HttpBackend, two: HttpBackend
) -> None:
    reader, writer = await asyncio.open_connection(router.listen.host, router.listen.port)
    writer.write(REQUEST.format("/slow").encode())
    await until(lambda: len(one.begun) == 1, "the slow request at its backend")
    await reload(router, 1)
    assert "old process" in (await router.health()).detail
    await router.switch(TO_GREEN)
    writer.write(REQUEST.format("/").encode())
    await writer.drain()
    assert (await router.traffic(["app"]))["app"][Color.BLUE].in_flight == 1
    one.release.set()
    answers = await asyncio.wait_for(reader.read(-1), 10)
    # HAProxy closes after the answer; had it taken the second request, the new side would have got it.
    assert answers.startswith(b"HTTP/1.1 200")
    assert answers.count(b"HTTP/1.1 200") == 1 + len(two.begun)
    writer.close()
    assert len(one.begun) == 1
    await until(lambda: drained(router), "the old worker's requests to end")


async def drained(router: HaproxyRouter) -> bool:
    return (await router.traffic(["app"]))["app"][Color.BLUE].in_flight == 0


async def test_new_http2_streams_on_an_old_worker_go_to_the_new_side(
    router: HaproxyRouter, one: HttpBackend, two: HttpBackend
) -> None:
    """The client goes on as if it had not read HAProxy's GOAWAY, which HAProxy allows."""
    connection = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
    connection.initiate_connection()
    reader, writer = await asyncio.open_connection(router.listen.host, router.listen.port)

    def ask(stream: int, path: str) -> None:
        head = [(":method", "GET"), (":path", path), (":authority", "app.example"), (":scheme", "http")]
        connection.send_headers(stream, head, end_stream=True)
        writer.write(connection.data_to_send())

    ask(1, "/slow")
    await until(lambda: len(one.begun) == 1, "the slow stream at its backend")
    await reload(router, 1)
    assert "old process" in (await router.health()).detail
    await router.switch(TO_GREEN)
    ask(3, "/")
    bodies = {}
    while 1 not in bodies:
        stream, body = await asyncio.wait_for(next_body(reader), 10)
        bodies[stream] = body
        one.release.set()
    writer.close()
    assert bodies == {3: b"two", 1: b"one"}
    assert len(one.begun) == 1


async def next_body(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """The next DATA frame with content: stream and content."""
    while True:
        head = await reader.readexactly(9)
        content = await reader.readexactly(int.from_bytes(head[:3]))
        if head[3] == 0 and content:
            return int.from_bytes(head[5:]), content


async def test_a_stream_ends_on_the_side_it_began_on(router: HaproxyRouter, one: HttpBackend) -> None:
    async with (
        httpx.AsyncClient(base_url=f"http://{router.listen}", headers={"Host": "app.example"}) as client,
        client.stream("GET", "/stream?events=6") as answer,
    ):
        lines = answer.aiter_lines()
        first = await anext(lines)
        await router.switch(TO_GREEN)
        await reload(router, 1)
        assert (await client.get("/")).text == "two"
        assert (await router.traffic(["app"]))["app"][Color.BLUE].in_flight == 1
        one.release.set()
        rest = [line async for line in lines if line]
    assert [first, *rest] == [f"data: one {number}" for number in range(6)]
    await until(lambda: drained(router), "the stream to be over for the router")


async def test_endpoints_change_while_an_old_worker_is_there(router: HaproxyRouter, one: HttpBackend) -> None:
    reader, writer = await asyncio.open_connection(router.listen.host, router.listen.port)
    writer.write(REQUEST.format("/slow").encode())
    await until(lambda: len(one.begun) == 1, "the slow request at its backend")
    await reload(router, 1)
    with HttpBackend("three") as three:
        await router.set_endpoints("app", Color.GREEN, [three.endpoint])
        await router.switch(TO_GREEN)
        async with httpx.AsyncClient(base_url=f"http://{router.listen}", headers={"Host": "app.example"}) as client:
            assert (await client.get("/")).text == "three"
        one.release.set()
        assert b"200 OK" in await asyncio.wait_for(reader.read(4096), 10)
    writer.close()


@pytest.mark.parametrize("share", [0, 40])
async def test_an_idle_connection_of_an_old_worker_reaches_replicas_that_came_later(
    router: HaproxyRouter, share: int
) -> None:
    """HAProxy refuses to change the servers of the old worker, so the route itself names a new replica there."""
    headers = {"Host": "app.example"}
    async with httpx.AsyncClient(base_url=f"http://{router.listen}", headers=headers) as client:
        assert (await client.get("/")).text == "one"
        await reload(router, 1)
        with HttpBackend("three") as three, HttpBackend("four") as four:
            await router.set_endpoints("app", Color.GREEN, [three.endpoint])
            targets = [RouteTarget(Color.BLUE, "w1", share), RouteTarget(Color.GREEN, "w3", 100 - share)]
            await router.switch({"app": targets})
            await router.set_endpoints("app", Color.GREEN, [four.endpoint])
            assert (await client.get("/")).text in ("four", "one" if share else "four")
