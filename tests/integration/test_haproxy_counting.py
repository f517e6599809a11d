"""What the real HAProxy counts when things are not as they should be: clocks, resets, crashes, gRPC, hang-ups."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import Any, Self

import grpc
import grpc.aio
import httpx
import pytest

from bluegreen.domain.latency import slower_than
from bluegreen.domain.model import Color, Endpoint, RouteTarget, SlotTraffic
from bluegreen.routers.haproxy import admin, counting
from bluegreen.routers.haproxy.config import ADMIN_SOCKET, COUNTERS
from bluegreen.routers.haproxy.router import HaproxyRouter
from bluegreen.routers.haproxy.runtime import HaproxyRuntime
from tests.support.haproxy import Place, haproxy_place, service
from tests.support.http_backends import HttpBackend, until

BLUE = Color.BLUE


@pytest.fixture
def one() -> Iterator[HttpBackend]:
    with HttpBackend("one") as backend:
        yield backend


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    async with haproxy_place() as place:
        yield place


async def serving(place: Place, endpoint: Endpoint, *, name: str = "app", protocol: str = "http1") -> HaproxyRouter:
    """All traffic of the service goes to this endpoint."""
    router = place.router()
    await router.start([service(name, protocol=protocol, checked=False)])
    await router.set_endpoints(name, BLUE, [endpoint])
    await router.switch({name: [RouteTarget(BLUE, f"{name}-1")]})
    return router


async def counted(router: HaproxyRouter, name: str = "app") -> SlotTraffic:
    return (await router.traffic([name]))[name][BLUE]


def client(router: HaproxyRouter) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=f"http://{router.listen}", headers={"Host": "app.example"}, timeout=20)


@pytest.mark.parametrize("jump_milliseconds", [3_600_000, -3_600_000, 400, -400])
async def test_a_clock_that_is_set_meanwhile_moves_no_answer_to_another_bucket(
    place: Place, one: HttpBackend, monkeypatch: pytest.MonkeyPatch, jump_milliseconds: int
) -> None:
    """As if the clock were set between the arrival of each request and its answer."""
    before = f"{counting.ARRIVAL},sub({1000 * jump_milliseconds})"
    monkeypatch.setattr(counting, "ARRIVAL", before)
    router = await serving(place, one.endpoint)
    async with client(router) as asking:
        for path in ("/", "/wait?seconds=0.8", "/"):
            assert (await asking.get(path)).status_code == 200
    traffic = await counted(router)
    assert (traffic.requests, sum(traffic.latency)) == (3, 3)
    assert slower_than(traffic.latency, 750) >= 1
    assert slower_than(traffic.latency, 10_000) == 0
    # Without the second look all would be slow, or all fast.
    assert slower_than(traffic.latency, 300) < 3


async def test_an_answer_of_the_router_itself_is_counted_whatever_the_clock_says(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counting, "ARRIVAL", f"{counting.ARRIVAL},add(3600000000)")
    router = await serving(place, Endpoint("127.0.0.1", 1))
    async with client(router) as asking:
        assert (await asking.get("/")).status_code == 503
    traffic = await counted(router)
    assert (traffic.requests, traffic.errors, traffic.connection_errors) == (1, 1, 1)


async def test_cleared_counters_begin_anew_and_what_was_read_stays(place: Place, one: HttpBackend) -> None:
    router = await serving(place, one.endpoint)
    async with client(router) as asking:
        for path in ("/", "/status?code=500", "/"):
            await asking.get(path)
        before = await counted(router)
        await admin.ask(place.run_directory / ADMIN_SOCKET, f"clear table {COUNTERS};clear counters all")
        assert await counted(router) == before
        await asking.get("/")
    after = await counted(router)
    assert (after.requests, after.errors, sum(after.latency)) == (4, 1, 4)


async def test_a_killed_haproxy_takes_only_what_was_not_read(place: Place, one: HttpBackend) -> None:
    router = await serving(place, one.endpoint)
    async with client(router) as asking:
        await asking.get("/")
        await asking.get("/status?code=404")
    before = await counted(router)
    haproxy = HaproxyRuntime(place.run_directory)
    (worker,) = await haproxy.workers()
    os.kill(worker.pid, signal.SIGKILL)

    async def answers() -> bool:
        try:
            async with client(router) as asking:
                return (await asking.get("/")).status_code == 200
        except httpx.TransportError:
            return False

    await until(answers, "HAProxy to be back")

    async def readable() -> bool:
        return bool(await router.traffic(["app"]))

    await until(readable, "its counters")
    after = await counted(router)
    assert after.requests > before.requests
    assert (after.statuses[3], sum(after.latency)) == (1, after.requests)


async def test_a_poller_that_stalled_finds_everything_later(place: Place, one: HttpBackend) -> None:
    router = await serving(place, one.endpoint)
    attentive = place.router()
    await attentive.start([service("app", checked=False)])
    async with client(router) as asking:
        for _ in range(20):
            await asking.get("/")
            await counted(attentive)
    assert (await counted(router)).latency == (await counted(attentive)).latency
    assert (await counted(router)).requests == 20


async def test_an_answer_that_is_cut_by_the_client_is_a_request_and_aborted(place: Place, one: HttpBackend) -> None:
    router = await serving(place, one.endpoint)
    await counted(router)
    async with client(router) as asking, asking.stream("GET", "/stream?events=4") as answer:
        await anext(answer.aiter_bytes())

    async def noticed() -> bool:
        return (await counted(router)).aborted == 1

    one.release.set()
    await until(noticed, "the router to notice")
    traffic = await counted(router)
    assert (traffic.requests, traffic.errors) == (1, 0)


async def test_reloads_lose_no_request(place: Place, one: HttpBackend) -> None:
    """Each request has its own connection, so that a worker has nothing to wait for when it is to leave."""
    router = await serving(place, one.endpoint)
    answered = 0
    done = asyncio.Event()

    async def ask() -> None:
        nonlocal answered
        while not done.is_set():
            async with client(router) as asking:
                await asking.get("/")
                answered += 1

    def enough(wanted: int) -> bool:
        return answered >= wanted

    asking = [asyncio.create_task(ask()) for _ in range(4)]
    for number in range(4):
        wanted = answered + 10
        await until(partial(enough, wanted), "more requests")
        await router.configure([service("app", checked=False), service(f"new-{number}")])
    done.set()
    await asyncio.gather(*asking)

    async def all_counted() -> bool:
        return (await counted(router)).requests == answered

    await until(all_counted, "all requests to be counted")
    haproxy = HaproxyRuntime(place.run_directory)

    async def alone() -> bool:
        return len(await haproxy.workers()) == 1

    await until(alone, "the old workers to be let go")
    assert (await counted(router)).requests == answered


async def test_a_request_that_an_old_worker_ends_is_counted_though_nobody_looks(place: Place, one: HttpBackend) -> None:
    router = await serving(place, one.endpoint)
    async with client(router) as asking:
        slow = asyncio.create_task(asking.get("/slow"))
        await until(lambda: len(one.begun) == 1, "the slow request at its backend")
        await router.configure([service("app", checked=False), service("new")])
        one.release.set()
        assert (await slow).status_code == 200
    haproxy = HaproxyRuntime(place.run_directory)

    async def alone() -> bool:
        return len(await haproxy.workers()) == 1

    await until(alone, "the old worker to end")
    traffic = await counted(router)
    assert (traffic.requests, traffic.in_flight) == (1, 0)


async def test_an_answer_that_breaks_off_in_an_old_worker_is_counted(place: Place, one: HttpBackend) -> None:
    router = await serving(place, one.endpoint)
    await counted(router)
    async with client(router) as asking, asking.stream("GET", "/break?wait=yes") as answer:
        await router.configure([service("app", checked=False), service("new")])
        one.release.set()
        with pytest.raises(httpx.RemoteProtocolError):
            await answer.aread()

    async def noticed() -> bool:
        return (await counted(router)).truncated == 1

    await until(noticed, "the router to notice")
    traffic = await counted(router)
    assert (traffic.requests, traffic.errors, traffic.aborted) == (1, 1, 0)


# --- gRPC --------------------------------------------------------------------------------------------------------


class Failing(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Ends each call with the status that is its request; `/x/Late` after a message, `/x/Cut` never."""

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        codes = {code.value[0]: code for code in grpc.StatusCode}

        async def now(request: bytes, context: grpc.aio.ServicerContext) -> bytes:
            if request != b"0":
                await context.abort(codes[int(request)], "as asked for")
            return b"fine"

        async def cut(request: bytes, context: grpc.aio.ServicerContext) -> AsyncIterator[bytes]:
            yield b"fine so far"
            await asyncio.Event().wait()

        async def late(request: bytes, context: grpc.aio.ServicerContext) -> AsyncIterator[bytes]:
            yield b"fine so far"
            await context.abort(codes[int(request)], "as asked for")

        if details.method == "/x/Cut":
            return grpc.unary_stream_rpc_method_handler(cut)
        if details.method == "/x/Late":
            return grpc.unary_stream_rpc_method_handler(late)
        return grpc.unary_unary_rpc_method_handler(now)


class Line:
    """Carries bytes to a port of this machine until it is cut."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._ends: list[asyncio.StreamWriter] = []
        self._carrying: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        self.endpoint = Endpoint("127.0.0.1", self._server.sockets[0].getsockname()[1])
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.cut()
        await asyncio.gather(*self._carrying, return_exceptions=True)

    def cut(self) -> None:
        for end in self._ends:
            end.close()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._ends += [writer, far_writer]
        self._carrying |= {
            asyncio.create_task(carry(reader, far_writer)),
            asyncio.create_task(carry(far_reader, writer)),
        }


async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(1 << 16):
            writer.write(data)
    writer.close()


@pytest.fixture
async def line() -> AsyncIterator[Line]:
    """To a server of gRPC."""
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Failing(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with Line(port) as line:
        yield line
        await server.stop(None)


@pytest.fixture
async def rpc(place: Place, line: Line) -> AsyncIterator[tuple[HaproxyRouter, grpc.aio.Channel]]:
    router = await serving(place, line.endpoint, name="rpc", protocol="h2c")
    options = [("grpc.default_authority", "rpc.example")]
    async with grpc.aio.insecure_channel(str(router.listen), options=options) as channel:
        yield router, channel


async def status_of(call: Callable[..., Any], request: bytes) -> int:
    try:
        answer = call(request)
        if hasattr(answer, "__aiter__"):
            async for _ in answer:
                pass
        else:
            await answer
    except grpc.aio.AioRpcError as error:
        return int(error.code().value[0])
    return 0


async def test_grpc_statuses_that_are_the_servers_fault_are_errors(
    rpc: tuple[HaproxyRouter, grpc.aio.Channel],
) -> None:
    router, channel = rpc
    say = channel.unary_unary("/x/Now")
    for status in range(17):
        assert await status_of(say, str(status).encode()) == status
    traffic = await counted(router, "rpc")
    assert (traffic.requests, traffic.errors) == (17, len(counting.GRPC_FAULTS))
    assert (traffic.statuses, traffic.connection_errors) == ((0, 17, 0, 0, 0), 0)


async def test_a_grpc_status_after_a_message_is_not_seen(rpc: tuple[HaproxyRouter, grpc.aio.Channel]) -> None:
    """HAProxy has no rule for trailers. When this fails, one has come: then count them, and say so in the docs."""
    router, channel = rpc
    assert await status_of(channel.unary_stream("/x/Late"), b"13") == 13
    traffic = await counted(router, "rpc")
    assert (traffic.requests, traffic.errors) == (1, 0)


async def test_a_grpc_call_whose_server_is_gone_in_the_middle_is_an_error(
    line: Line, rpc: tuple[HaproxyRouter, grpc.aio.Channel]
) -> None:
    """The line to the server is cut, for a server that is stopped politely ends its calls with a status."""
    router, channel = rpc
    await counted(router, "rpc")
    call = channel.unary_stream("/x/Cut")(b"")
    assert await call.read() == b"fine so far"
    line.cut()

    async def noticed() -> bool:
        return (await counted(router, "rpc")).truncated == 1

    await until(noticed, "the router to notice")
    traffic = await counted(router, "rpc")
    assert (traffic.requests, traffic.errors) == (1, 1)
