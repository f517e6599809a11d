"""Everything that services speak goes through: WebSocket, HTTP/2, gRPC, uploads, TLS, and host patterns."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import grpc
import grpc.aio
import httpx
import pytest
import websockets
import websockets.asyncio.server

from bluegreen.domain.model import Color, Endpoint, RouteTarget
from bluegreen.routers.haproxy.router import HaproxyRouter
from tests.support.haproxy import haproxy_place, service
from tests.support.http_backends import HttpBackend, until

METHOD = "/demo.Echo/Say"


@pytest.fixture
def one() -> Iterator[HttpBackend]:
    with HttpBackend("one") as backend:
        yield backend


@pytest.fixture
async def router() -> AsyncIterator[HaproxyRouter]:
    """Knows `app` by several patterns, `rest` for all others, and `rpc`, which speaks h2c."""
    async with haproxy_place() as place:
        router = place.router()
        await router.start(
            [
                service("app", hosts=("app.example", "*.app.example")),
                service("special", hosts=("special.app.example", "*.deep.app.example")),
                service("rest", hosts=("*",), checked=False),
                service("rpc", protocol="h2c", checked=False),
            ]
        )
        yield router


async def give(router: HaproxyRouter, name: str, color: Color, endpoint: Endpoint) -> None:
    await router.set_endpoints(name, color, [endpoint])
    await router.switch({name: [RouteTarget(color, f"{name}-{color}")]})


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("app.example", "app"),
        ("APP.Example:8080", "app"),
        ("x.app.example", "app"),
        ("special.app.example", "special"),
        ("x.deep.app.example", "special"),
        ("xapp.example", "rest"),
        ("[::1]:80", "rest"),
    ],
)
async def test_hosts_find_their_service(router: HaproxyRouter, host: str, name: str) -> None:
    with HttpBackend("app") as app, HttpBackend("special") as special, HttpBackend("rest") as rest:
        for backend in (app, special, rest):
            await give(router, backend.name, Color.BLUE, backend.endpoint)
        async with httpx.AsyncClient() as client:
            assert (await client.get(f"http://{router.listen}/", headers={"Host": host})).text == name


async def test_a_request_without_a_host_goes_to_the_service_for_the_rest(
    router: HaproxyRouter, one: HttpBackend
) -> None:
    await give(router, "rest", Color.BLUE, one.endpoint)
    reader, writer = await asyncio.open_connection(router.listen.host, router.listen.port)
    writer.write(b"GET / HTTP/1.0\r\n\r\n")
    assert (await reader.read(-1)).endswith(b"one")
    writer.close()


async def test_the_service_sees_the_host_and_where_the_request_came_from(
    router: HaproxyRouter, one: HttpBackend
) -> None:
    await give(router, "app", Color.BLUE, one.endpoint)
    async with httpx.AsyncClient() as client:
        seen = (await client.get(f"http://{router.listen}/headers", headers={"Host": "app.example:81"})).text.lower()
    assert "host: app.example:81" in seen
    assert "x-forwarded-for: 127.0.0.1" in seen
    assert "x-forwarded-proto: http\n" in seen


async def test_http2_without_tls_on_the_same_port(router: HaproxyRouter, one: HttpBackend) -> None:
    await give(router, "app", Color.BLUE, one.endpoint)
    async with httpx.AsyncClient(http1=False, http2=True) as client:
        answer = await client.get(f"http://{router.listen}/", headers={"Host": "app.example"})
    assert (answer.http_version, answer.text) == ("HTTP/2", "one")


async def test_an_upload_of_some_megabytes(router: HaproxyRouter, one: HttpBackend) -> None:
    await give(router, "app", Color.BLUE, one.endpoint)
    async with httpx.AsyncClient(timeout=30) as client:
        body = b"x" * 8_000_000
        answer = await client.post(f"http://{router.listen}/", content=body, headers={"Host": "app.example"})
    assert answer.text == "one 8000000"


async def test_a_websocket_stays_where_it_began(router: HaproxyRouter, one: HttpBackend) -> None:
    async def echo(connection: websockets.asyncio.server.ServerConnection) -> None:
        async for message in connection:
            await connection.send(f"socket {message!s}")

    async with websockets.asyncio.server.serve(echo, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        await router.set_endpoints("app", Color.GREEN, [one.endpoint])
        await give(router, "rest", Color.BLUE, Endpoint("127.0.0.1", port))
        async with websockets.connect(f"ws://{router.listen}/", proxy=None) as client:
            await client.send("before")
            assert await client.recv() == "socket before"
            await give(router, "rest", Color.GREEN, one.endpoint)
            await client.send("after")
            assert await client.recv() == "socket after"
            assert (await router.traffic(["rest"]))["rest"][Color.BLUE].in_flight == 1
        await until(lambda: _drained(router), "the websocket to be over for the router")


async def _drained(router: HaproxyRouter) -> bool:
    return (await router.traffic(["rest"]))["rest"][Color.BLUE].in_flight == 0


class Echo(grpc.GenericRpcHandler):  # type: ignore[misc]
    def __init__(self, name: bytes) -> None:
        self.name = name

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        if details.method != METHOD:
            return None

        async def say(request: bytes, _context: object) -> bytes:
            return self.name + b" " + request

        return grpc.unary_unary_rpc_method_handler(say)


async def _grpc_server(name: bytes) -> tuple[grpc.aio.Server, Endpoint]:
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Echo(name),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    return server, Endpoint("127.0.0.1", port)


async def test_grpc_calls_on_one_channel_follow_switch_and_reload(router: HaproxyRouter) -> None:
    blue, blue_at = await _grpc_server(b"blue")
    green, green_at = await _grpc_server(b"green")
    options = [("grpc.default_authority", "rpc.example")]
    async with grpc.aio.insecure_channel(str(router.listen), options=options) as channel:
        say = channel.unary_unary(METHOD)
        await give(router, "rpc", Color.BLUE, blue_at)
        assert await say(b"1") == b"blue 1"
        await give(router, "rpc", Color.GREEN, green_at)
        assert await say(b"2") == b"green 2"
        await router.configure([service("rpc", protocol="h2c", checked=False)])
        assert await say(b"3") == b"green 3"
        await router.switch({"rpc": [RouteTarget(Color.BLUE, "rpc-blue")]})
        assert await say(b"4") == b"blue 4"
    await blue.stop(None)
    await green.stop(None)


async def test_checks_take_a_sick_replica_out_of_its_slot(router: HaproxyRouter, one: HttpBackend) -> None:
    with HttpBackend("two") as two:
        await router.set_endpoints("app", Color.BLUE, [one.endpoint, two.endpoint])
        await router.switch({"app": [RouteTarget(Color.BLUE, "w1")]})
        one.healthy = False
        async with httpx.AsyncClient(base_url=f"http://{router.listen}", headers={"Host": "app.example"}) as client:

            async def only_two() -> bool:
                return {(await client.get("/")).text for _ in range(6)} == {"two"}

            await until(only_two, "all requests on the healthy replica")
            one.healthy = True

            async def both() -> bool:
                return {(await client.get("/")).text for _ in range(6)} == {"one", "two"}

            await until(both, "requests on both replicas again")


async def test_tls_with_http2(tmp_path: Path, one: HttpBackend) -> None:
    certificate = tmp_path / "it's a certificate.pem"
    key, chain = tmp_path / "key.pem", tmp_path / "chain.pem"
    made = ["-keyout", str(key), "-out", str(chain)]
    names = ["-subj", "/CN=app.example", "-addext", "subjectAltName=DNS:app.example,IP:127.0.0.1"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", *names, *made]
    subprocess.run(command, check=True, capture_output=True)
    certificate.write_bytes(chain.read_bytes() + key.read_bytes())
    trusted = ssl.create_default_context(cafile=str(chain))
    async with haproxy_place(certificate=certificate) as place:
        router = place.router()
        await router.start([service("app", hosts=("*",))])
        await give(router, "app", Color.BLUE, one.endpoint)
        async with httpx.AsyncClient(http2=True, verify=trusted) as client:
            answer = await client.get(f"https://{router.listen}/headers")
    assert answer.http_version == "HTTP/2"
    assert "x-forwarded-proto: https\n" in answer.text.lower()
