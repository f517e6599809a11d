"""Errors of the HTTP API: one format for all of them, whoever makes them, and never more than the status says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Receive, Send
from starlette.types import Scope as AsgiScope

from bluegreen.domain import errors as domain_errors
from bluegreen.domain.access import Caller, Scope
from bluegreen.domain.errors import BluegreenError, RateLimited, StoreError, Unauthenticated
from bluegreen.domain.model import Endpoint
from bluegreen.domain.tokens import Token, admit, digest
from bluegreen.interfaces.http import problems
from bluegreen.interfaces.http.api import build_api
from bluegreen.interfaces.http.arguments import from_body, from_query, query_fields
from bluegreen.interfaces.http.limits import Limits
from bluegreen.spec.configuration import ApiSettings
from tests.integration.api_support import HOST, ApiWorld, in_memory, tcp_door

MEMBERS = {"type", "title", "status", "detail", "instance", "hint", "error"}


@pytest.fixture
async def world() -> AsyncIterator[ApiWorld]:
    async with ApiWorld() as world:
        yield world


@pytest.fixture
async def client(world: ApiWorld) -> AsyncIterator[httpx.AsyncClient]:
    async with world.owner() as client:
        yield client


def is_problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = answer.json()
    assert set(document) == MEMBERS
    assert document["type"] == f"urn:bluegreen:{code}"
    assert document["status"] == status
    assert document["error"]["code"] == code
    assert document["error"]["message"] == document["detail"]
    assert document["error"]["exit_code"] > 0
    return document


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing", 404, "not_found"),
        ("GET", "/v1/services/", 404, "not_found"),
        ("PUT", "/v1/services", 405, "method_not_allowed"),
        ("POST", "/v1/operations/nothing", 404, "unknown_name"),
        ("GET", "/v1/services/nothing", 404, "unknown_name"),
        ("GET", "/v1/services/a%2Fb", 404, "not_found"),
        ("GET", "/v1/services/..%2f..%2fetc%2fpasswd", 404, "not_found"),
        ("GET", "/v1/services/%2e%2e", 404, "unknown_name"),
        ("GET", "/v1/services/app%00/logs", 404, "unknown_name"),
        ("GET", "/v1/deployments/%1b%5b31m", 404, "unknown_name"),
        ("GET", "/v1/workloads/%2e%2e/logs", 404, "unknown_name"),
        ("GET", "/v1/metrics/nothing", 404, "unknown_name"),
        ("GET", "/v1/services/%ff", 404, "unknown_name"),
        ("GET", "/v1/workloads?nothing=1", 400, "usage"),
        ("GET", "/v1/workloads?limit=1&limit=2", 400, "usage"),
        ("GET", "/v1/workloads?limit=many", 400, "usage"),
        ("GET", "/v1/workloads?limit=1e3", 400, "usage"),
        ("GET", "/v1/workloads?limit=" + "9" * 400, 400, "usage"),
        ("GET", "/v1/workloads?limit=0", 400, "usage"),
        ("GET", "/v1/workloads?label=app", 400, "usage"),
        ("GET", "/v1/workloads?label=app:a&label=app:b", 400, "usage"),
        ("GET", "/v1/workloads?state=gone", 400, "usage"),
        ("GET", "/v1/workloads?nodeId=%ff", 400, "usage"),
        ("GET", "/v1/workloads?" + "&".join(["a=b"] * 500), 400, "usage"),
        ("POST", "/v1/services/app/promote?reason=x", 400, "usage"),
        ("POST", "/v1/services/app/promote", 409, "refused"),
    ],
)
async def test_each_error_is_a_problem(
    client: httpx.AsyncClient, method: str, path: str, status: int, code: str
) -> None:
    document = is_problem(await client.request(method, path), status, code)
    assert document["detail"].isprintable()


@pytest.mark.parametrize(
    ("body", "kind", "status", "code"),
    [
        (b"{", "application/json", 400, "usage"),
        (b"[]", "application/json", 400, "usage"),
        (b'"x"', "application/json", 400, "usage"),
        (b"\xff", "application/json", 400, "usage"),
        (b'{"reason": NaN}', "application/json", 400, "usage"),
        (b'{"reason": 1e999}', "application/json", 400, "usage"),
        (b'{"reason": "\\ud800"}', "application/json", 400, "usage"),
        (b'{"reason": ' + b"[" * 100_000, "application/json", 400, "usage"),
        (b'{"a":' * 100_000, "application/json", 400, "usage"),
        (b'{"reason": 1' + b"0" * 100_000 + b"}", "application/json", 400, "usage"),
        (b'{"reason": 1}', "application/json", 400, "usage"),
        (b'{"service": "other"}', "application/json", 400, "usage"),
        (b'{"requested_by": "ada"}', "application/json", 400, "usage"),
        (b'{"nothing": 1}', "application/json; charset=utf-8", 400, "usage"),
        (b'{"reason": "x", "reason": "y"}', "application/json", 409, "refused"),
        (b"reason=x", "application/x-www-form-urlencoded", 415, "unsupported_media_type"),
        (b"{}", "text/plain", 415, "unsupported_media_type"),
        (b"{}", "", 415, "unsupported_media_type"),
        (b" " * (1 << 20) + b" {}", "application/json", 413, "too_large"),
    ],
)
async def test_each_body_that_is_none(
    client: httpx.AsyncClient, body: bytes, kind: str, status: int, code: str
) -> None:
    headers = {"Content-Type": kind} if kind else {}
    document = is_problem(await client.post("/v1/services/app/abort", content=body, headers=headers), status, code)
    assert len(document["detail"]) < 1000


async def test_a_body_that_does_not_say_how_large_it_is_is_bounded_too(client: httpx.AsyncClient) -> None:
    sent = 0

    async def without_end() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 65536
            yield b" " * 65536

    async with asyncio.timeout(20):
        is_problem(await client.post("/v1/services/app/abort", content=without_end()), 413, "too_large")
    assert sent < 16 << 20


async def test_a_body_that_never_comes_is_not_waited_for() -> None:
    async with ApiWorld(limits=Limits(body_timeout_seconds=0.05)) as world, tcp_door(world, {"ok": READER}) as address:
        reader, writer = await asyncio.open_connection(address.host, address.port)
        head = (
            f"Host: {HOST}\r\nAuthorization: Bearer ok\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n"
        )
        writer.write(f"POST /v1/operations/status HTTP/1.1\r\n{head}".encode())
        async with asyncio.timeout(10):
            assert b" 408 " in await reader.readline()
        writer.close()


async def test_a_body_where_none_is_taken_is_refused(client: httpx.AsyncClient) -> None:
    is_problem(await client.request("GET", "/v1/services", json={"a": 1}), 400, "usage")


async def test_the_405_names_every_method_of_the_path(client: httpx.AsyncClient) -> None:
    answer = await client.request("PATCH", "/v1/services/app/deployments")
    assert answer.headers["allow"] == "GET, POST"


async def test_what_is_not_http_is_answered_in_the_same_format(world: ApiWorld) -> None:
    async with tcp_door(world, {}) as address:
        reader, writer = await asyncio.open_connection(address.host, address.port)
        writer.write(b"\x16\x03\x01\x02\x00\x01\r\n\r\n")
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
    assert head.startswith(b"HTTP/1.1 400 ") and b"application/problem+json" in head
    assert json.loads(body)["error"]["code"] == "usage"


def _all_errors(kind: type[BluegreenError]) -> list[type[BluegreenError]]:
    return [kind, *(deeper for below in kind.__subclasses__() for deeper in _all_errors(below))]


@pytest.mark.parametrize(
    "kind", [one for one in _all_errors(BluegreenError) if one.__module__.startswith("bluegreen.")]
)
def test_every_error_has_a_status_and_a_title(kind: type[BluegreenError]) -> None:
    error = kind.__new__(kind)
    BluegreenError.__init__(error, "what: is wrong", hint="do this")
    status = problems.status_of(error)
    assert 400 <= status < 600 and status in problems.TITLES
    assert (status == 500) == (kind.code == "error")


def test_a_stale_route_is_a_conflict_and_a_router_that_is_down_is_unavailable() -> None:
    assert problems.status_of(domain_errors.StaleRoute("x")) == 409
    assert problems.status_of(domain_errors.RouterError("x")) == 503
    assert problems.status_of(domain_errors.TooLarge("x")) == 413


async def test_an_adapter_that_fails_is_503_with_the_same_error_for_the_command_line(
    world: ApiWorld, client: httpx.AsyncClient
) -> None:
    world.store.failure = StoreError("the event log can't be written: no space left on device")
    answer = await client.post("/v1/operations/deploy", json={"service": "app", "image": "app:v1"})
    world.store.failure = None
    assert is_problem(answer, 503, "store")["error"]["exit_code"] == 1


async def test_a_defect_is_500_and_tells_no_secrets(world: ApiWorld, client: httpx.AsyncClient) -> None:
    def broken() -> None:
        raise ValueError("hunter2")

    world.fleet.view.route = broken  # type: ignore[method-assign,assignment]
    answer = await client.get("/metrics")
    document = is_problem(answer, 500, "error")
    assert "hunter2" not in answer.text and "daemon's log" in document["hint"]


@given(st.binary(max_size=300))
def test_no_body_is_more_than_refused(body: bytes) -> None:
    try:
        assert isinstance(from_body(body, ["reason"]), dict)
    except BluegreenError as error:
        assert problems.status_of(error) == 400


@given(st.binary(max_size=200) | st.from_regex(rb"(limit|label|state|x)=[^&]*(&.*)?", fullmatch=True))
def test_no_query_is_more_than_refused(query: bytes) -> None:
    properties: dict[str, dict[str, Any]] = {
        "limit": {"type": "integer"},
        "labels": {"type": "object"},
        "state": {"anyOf": [{"type": "string"}, {"type": "null"}]},
    }
    try:
        found = from_query(query, query_fields(properties, list(properties)))
        assert set(found) <= set(properties)
    except BluegreenError as error:
        assert problems.status_of(error) == 400


@given(st.text(max_size=400), st.text(max_size=400))
def test_whatever_an_error_says_is_a_document_of_plain_ascii(message: str, path: str) -> None:
    text = problems.problem_text(BluegreenError(message), path)
    assert text.isascii() and json.loads(text)["detail"] == message


# -- the door for tokens ---------------------------------------------------------------------------------------------

READER = Caller("reader", "http", Scope.READ, token_id="t-read")
DEPLOYER = Caller("deployer", "http", Scope.DEPLOY, frozenset({"other"}), token_id="t-deploy")


def expired() -> BluegreenError:
    token = Token("abcdefgh", "old", digest("x"), Scope.ADMIN, created_at=0.0, expires_at=10.0)
    with pytest.raises(Unauthenticated) as raised:
        admit(token, datetime.now(UTC).timestamp())
    return raised.value


CALLERS: dict[str, Caller | BluegreenError] = {
    "read": READER,
    "deploy": DEPLOYER,
    "expired": expired(),
    "often": RateLimited("requests: too many", retry_after_seconds=1.2, hint="Wait"),
}


def bearing(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize("headers", [{}, bearing("wrong"), bearing("expired"), {"Authorization": "Basic cmVhZA=="}])
async def test_without_a_token_that_is_known_nothing_answers(world: ApiWorld, headers: dict[str, str]) -> None:
    async with world.agent(CALLERS, **headers) as agent:
        for method, path in (("GET", "/v1/services"), ("POST", "/v1/operations/deploy"), ("GET", "/metrics")):
            answer = await agent.request(method, path)
            is_problem(answer, 401, "unauthenticated")
            assert answer.headers["www-authenticate"].startswith("Bearer")
        for path in ("/healthz", "/readyz", "/docs", "/openapi.json"):
            assert (await agent.get(path)).status_code == 200
    assert [entry.result.partition(":")[0] for entry in world.audit.entries] == ["unauthenticated"] * 3
    assert world.audit.entries[0].door == "http"


async def test_a_token_may_do_what_its_scope_says_and_nothing_else(world: ApiWorld) -> None:
    async with world.agent(CALLERS, **bearing("read")) as agent:
        assert (await agent.get("/v1/services")).json() == {"services": ["app", "other"]}
        is_problem(await agent.post("/v1/services/app/deployments", json={"image": "app:v1"}), 403, "forbidden")
        is_problem(await agent.post("/v1/services/app/rollback"), 403, "forbidden")


async def test_a_token_sees_its_services_alone(world: ApiWorld) -> None:
    async with world.agent(CALLERS, **bearing("deploy")) as agent:
        assert (await agent.get("/v1/services")).json() == {"services": ["other"]}
        is_problem(await agent.get("/v1/services/app"), 403, "forbidden")
        is_problem(await agent.get("/v1/services/app/deployments"), 403, "forbidden")
        assert 'service="app"' not in (await agent.get("/metrics")).text
        begun = await agent.post("/v1/services/other/deployments", json={"image": "other:v1"})
        assert (begun.status_code, begun.json()["requested_by"]) == (201, "deployer")


async def test_a_token_that_asks_too_often_is_told_when_to_come_back(world: ApiWorld) -> None:
    async with world.agent(CALLERS, **bearing("often")) as agent:
        answer = await agent.get("/v1/services")
    is_problem(answer, 429, "rate_limited")
    assert answer.headers["retry-after"] == "2"


async def test_a_flood_of_wrong_tokens_does_not_fill_the_audit_log(world: ApiWorld) -> None:
    async with world.agent(CALLERS, **bearing("wrong")) as agent:
        for _ in range(300):
            await agent.get("/v1/services")
    assert 50 <= len(world.audit.entries) < 100
    assert world.api.state.counts.answers["http", "4xx"] == 300


async def test_an_audit_log_that_fails_lets_nobody_in(world: ApiWorld) -> None:
    world.audit.broken = True
    async with world.agent(CALLERS, **bearing("wrong")) as agent:
        is_problem(await agent.get("/v1/services"), 401, "unauthenticated")


@pytest.mark.parametrize("host", ["evil.example", "evil.example:7070", "", "[", "api.test.evil.example", "127.0.0.1"])
async def test_a_host_that_is_no_name_of_this_api_is_refused(world: ApiWorld, host: str) -> None:
    async with world.agent(CALLERS, **bearing("read"), Host=host) as agent:
        is_problem(await agent.get("/v1/services"), 403, "forbidden")
        is_problem(await agent.get("/docs"), 403, "forbidden")


@pytest.mark.parametrize("host", [HOST, f"{HOST}:7070", "API.TEST", "api.test."])
async def test_the_names_of_this_api_in_all_spellings(world: ApiWorld, host: str) -> None:
    async with world.agent(CALLERS, **bearing("read"), Host=host) as agent:
        assert (await agent.get("/v1/services")).status_code == 200


@pytest.mark.parametrize("host", ["127.0.0.1:7070", "localhost"])
async def test_without_hosts_it_is_called_what_it_listens_on(host: str) -> None:
    async with ApiWorld(settings=ApiSettings(listen=Endpoint("127.0.0.1", 7070))) as world:
        async with world.agent(CALLERS, **bearing("read"), Host=host) as agent:
            assert (await agent.get("/v1/services")).status_code == 200
        async with world.agent(CALLERS, **bearing("read"), Host=HOST) as agent:
            is_problem(await agent.get("/v1/services"), 403, "forbidden")


async def test_web_pages_that_are_not_listed_are_refused() -> None:
    settings = ApiSettings(hosts=(HOST,), origins=("https://console.example",))
    async with ApiWorld(settings=settings) as world, world.agent(CALLERS, **bearing("read")) as agent:
        for origin in ("https://evil.example", "null", "http://console.example", "https://console.example.evil"):
            is_problem(await agent.get("/v1/services", headers={"Origin": origin}), 403, "forbidden")
        for origin in ("https://console.example", f"http://{HOST}"):
            assert (await agent.get("/v1/services", headers={"Origin": origin})).status_code == 200
        allowed = await agent.get("/v1/services", headers={"Origin": "https://console.example"})
        preflight = await agent.options(
            "/v1/services", headers={"Origin": "https://console.example", "Access-Control-Request-Method": "GET"}
        )
        evil = await agent.options(
            "/v1/services", headers={"Origin": "https://evil.example", "Access-Control-Request-Method": "GET"}
        )
    assert allowed.headers["access-control-allow-origin"] == "https://console.example"
    assert "authorization" in preflight.headers["access-control-allow-headers"].lower()
    assert "access-control-allow-origin" not in evil.headers


async def test_two_tokens_in_one_request_are_refused(world: ApiWorld) -> None:
    async with world.agent(CALLERS) as agent:
        answer = await agent.get(
            "/v1/services", headers=[("Authorization", "Bearer read"), ("Authorization", "Bearer x")]
        )
    is_problem(answer, 401, "unauthenticated")


async def test_without_any_door_nobody_is_the_owner(world: ApiWorld) -> None:
    async with in_memory(world.api, **{"bluegreen.caller": "owner", "X-Caller": "owner"}) as stranger:
        is_problem(await stranger.get("/v1/services"), 401, "unauthenticated")
        is_problem(await stranger.post("/v1/operations/nothing"), 401, "unauthenticated")
        is_problem(await stranger.get("/metrics"), 401, "unauthenticated")


async def test_what_is_mounted_gets_the_caller_and_its_path() -> None:
    seen: list[tuple[str, str]] = []

    async def mounted(scope: AsgiScope, receive: Receive, send: Send) -> None:
        seen.append((scope["bluegreen.caller"].name, scope["bluegreen.door"]))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async with ApiWorld() as world:
        world.api = build_api(world.gate, settings=world.settings, mounts={"/mcp": mounted})
        async with world.agent(CALLERS, **bearing("read")) as agent:
            assert (await agent.post("/mcp")).status_code == 200
            assert (await agent.post("/mcp/")).status_code == 200
            assert (await agent.post("/mcpx")).status_code == 404
            large = await agent.post("/mcp", content=b" " * (2 << 20))
        async with world.agent(CALLERS, **bearing("wrong")) as agent:
            is_problem(await agent.post("/mcp"), 401, "unauthenticated")
    assert seen == [("reader", "mcp"), ("reader", "mcp")]
    is_problem(large, 413, "too_large")


async def test_tokens_over_a_real_port(world: ApiWorld) -> None:
    async with tcp_door(world, CALLERS) as address, httpx.AsyncClient(base_url=f"http://{address}") as agent:
        headers = {"Host": HOST}
        assert (await agent.get("/v1/services", headers=headers | bearing("read"))).status_code == 200
        is_problem(await agent.get("/v1/services", headers=headers | bearing("expired")), 401, "unauthenticated")
        is_problem(await agent.get("/v1/services", headers=bearing("read")), 403, "forbidden")
        large = await agent.post("/v1/operations/status", headers=headers | bearing("read"), content=b" " * (3 << 20))
        is_problem(large, 413, "too_large")
    assert "127.0.0.1" in world.audit.entries[0].who
