"""The HTTP API's resources: each does what its operation does, through a real socket and in memory."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import re
import socket
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.types import ASGIApp, Message, Scope

from bluegreen.control.operations import OPERATIONS
from bluegreen.domain.access import OWNER, Caller
from bluegreen.domain.access import Scope as TokenScope
from bluegreen.domain.deployment import Phase
from bluegreen.domain.errors import AdapterError, StoreError
from bluegreen.domain.model import Endpoint
from bluegreen.interfaces.http.doors import as_owner
from bluegreen.interfaces.http.limits import Limits
from bluegreen.interfaces.http.resources import RESOURCES
from bluegreen.interfaces.http.server import Door, TcpDoor
from tests.integration.api_support import ApiWorld, tcp_door, unix_door


@pytest.fixture
async def world() -> AsyncIterator[ApiWorld]:
    async with ApiWorld() as world:
        yield world


@pytest.fixture
async def client(world: ApiWorld) -> AsyncIterator[httpx.AsyncClient]:
    async with world.owner() as client:
        yield client


async def test_every_operation_has_a_path_of_its_name_and_its_type(world: ApiWorld) -> None:
    document = world.api.openapi()
    for name, operation in OPERATIONS.items():
        described = document["paths"][f"/v1/operations/{name}"]["post"]
        assert described["operationId"] == name
        assert operation.description in described["description"]
        body = described["requestBody"]["content"]["application/json"]["schema"]["$ref"]
        answer = described["responses"]["200"]["content"]["application/json"]["schema"]["$ref"]
        assert body.endswith(f"/{operation.request.__name__}")
        assert answer.endswith(f"/{operation.response.__name__}")


async def test_every_operation_is_a_resource_too(world: ApiWorld) -> None:
    """`history` has pages, and so a route of its own; `wait` is for who can't listen to the stream."""
    assert {resource.operation for resource in RESOURCES} | {"history", "wait"} == set(OPERATIONS)


async def test_the_document_is_openapi_3_1_and_every_reference_leads_somewhere(world: ApiWorld) -> None:
    document = world.api.openapi()
    assert document["openapi"].startswith("3.1")
    known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert set(re.findall(r'"(#/[^"]+)"', json.dumps(document))) <= known
    ids = [one["operationId"] for methods in document["paths"].values() for one in methods.values()]
    assert len(ids) == len(set(ids))
    for schema in document["components"]["schemas"].values():
        if schema.get("additionalProperties") is False:
            assert not {"requested_by", "expires_at"} & set(schema["properties"])


async def test_a_deployment_from_beginning_to_rollback(world: ApiWorld, client: httpx.AsyncClient) -> None:
    plan = (await client.post("/v1/services/app/plan", json={"image": "app:v1"})).json()
    assert plan["possible"] and plan["image"] == "app:v1"
    begun = await client.post("/v1/services/app/deployments", json={"image": "app:v1"})
    deployment = begun.json()["id"]
    assert begun.status_code == 201
    assert begun.headers["location"] == f"/v1/deployments/{deployment}"
    await world.reached(client, deployment, "completed")
    second = await world.deployed(client, "app:v2")

    service = (await client.get("/v1/services/app")).json()
    active = service["active"]
    assert service["slots"][active]["version"] == "v2"
    route = (await client.get("/v1/routes/app")).json()["routes"][0]
    assert (route["active"], route["weights"][active]) == (active, 100)

    rollback = await client.post("/v1/services/app/rollback", json={"reason": "too slow"})
    assert rollback.json()["how"] == "switch"
    assert (await client.get("/v1/routes/app")).json()["routes"][0]["generation"] > route["generation"]
    events = (await client.get(f"/v1/deployments/{second}/events", params={"after": 1})).json()
    assert "traffic_switched" in [event["kind"] for event in events["events"]]
    assert all(event["sequence"] > 1 for event in events["events"])


async def test_status_services_and_routes_of_all(client: httpx.AsyncClient) -> None:
    assert (await client.get("/v1/services")).json() == {"services": ["app", "other"]}
    status = (await client.get("/v1/status")).json()
    assert [service["name"] for service in status["services"]] == ["app", "other"]
    routes = (await client.get("/v1/routes")).json()
    assert routes["router_alive"] and [route["service"] for route in routes["routes"]] == ["app", "other"]


async def test_workloads_by_label_and_by_id(world: ApiWorld, client: httpx.AsyncClient) -> None:
    await world.deployed(client, "app:v1", until="completed")
    submitted = await client.post(
        "/v1/workloads",
        json={"name": "app-green", "image": "app:v2", "labels": {"app": "app", "deployment": "green"}},
    )
    assert submitted.status_code == 201, submitted.text
    workload = submitted.json()["id"]
    assert submitted.headers["location"] == f"/v1/workloads/{workload}"
    listed = (await client.get("/v1/workloads?label=app:app&label=deployment:green&limit=5")).json()
    assert [item["id"] for item in listed["items"]] == [workload]
    assert (await client.get("/v1/workloads?label=version:v9")).json()["total"] == 0
    assert (await client.get(f"/v1/workloads/{workload}")).json()["spec"]["version"] == "v2"
    assert (await client.get(f"/v1/workloads/{workload}/logs?lines=3")).json()["id"] == workload
    stopped = await client.delete(f"/v1/workloads/{workload}?gracePeriodSeconds=0.5")
    assert stopped.status_code == 200, stopped.text


async def test_alerts_and_metrics(world: ApiWorld, client: httpx.AsyncClient) -> None:
    await world.deployed(client, "app:v1", until="completed")
    made = await client.post("/v1/alerts", json={"name": "hello", "severity": "info", "message": "It works."})
    assert made.status_code == 201, made.text
    assert "hello" in [alert["name"] for alert in (await client.get("/v1/alerts?limit=50")).json()["alerts"]]
    silenced = await client.post("/v1/alerts/hello/silence", json={"durationSeconds": 60, "reason": "noise"})
    assert silenced.json()["until"] is not None
    series = await client.get("/v1/metrics/health_check_success?label=app:app&startTime=-2m")
    assert series.json()["metric"] == "health_check_success"


async def test_the_history_comes_in_pages_that_miss_nothing(world: ApiWorld, client: httpx.AsyncClient) -> None:
    made = [
        await world.deployed(client, f"app:v{n}", until="completed" if n == 1 else "retaining") for n in range(1, 6)
    ]
    seen: list[str] = []
    parameters: dict[str, Any] = {"limit": 2}
    while True:
        page = (await client.get("/v1/services/app/deployments", params=parameters)).json()
        seen += [deployment["id"] for deployment in page["deployments"]]
        if page["next"] is None:
            break
        # One that begins in between is in front of all that was seen: it moves nothing.
        if len(seen) == 2:
            await world.deployed(client, "app:v6")
        parameters["cursor"] = page["next"]
    assert seen == made[::-1]


@pytest.mark.parametrize("cursor", ["x", "MDp4", "!!!!", "OmFwcA", "MTphcHAtbm90aGluZw"])
async def test_a_cursor_that_nobody_gave_out_is_refused(client: httpx.AsyncClient, cursor: str) -> None:
    answer = await client.get("/v1/services/app/deployments", params={"cursor": cursor})
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith("cursor:")


async def test_the_command_lines_own_parameters_still_work_for_the_owner(client: httpx.AsyncClient) -> None:
    answer = await client.post(
        "/v1/operations/deploy", json={"service": "app", "image": "app:v1", "requested_by": "ada", "overrides": {}}
    )
    assert (answer.status_code, answer.json()["requested_by"]) == (200, "ada")


async def test_what_the_command_line_sends_and_reads_over_the_real_socket(world: ApiWorld, tmp_path: Path) -> None:
    path = tmp_path / "door.sock"
    async with unix_door(world, path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        ok = await asyncio.to_thread(_post_as_the_command_line_does, path, "services", {})
        bad = await asyncio.to_thread(_post_as_the_command_line_does, path, "status", {"service": "ap"})
    assert ok == (200, {"services": ["app", "other"]})
    assert bad[0] >= 400
    assert bad[1]["error"] == {
        "code": "unknown_name",
        "message": "service: there is no service 'ap'",
        "hint": "Did you mean 'app'?",
        "exit_code": 2,
    }
    assert not path.exists()


def _post_as_the_command_line_does(path: Path, operation: str, body: Any) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(path))
    connection.request("POST", f"/v1/operations/{operation}", json.dumps(body), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    result = answer.status, json.loads(answer.read())
    connection.close()
    return result


async def test_a_taken_port_is_a_clear_error(world: ApiWorld) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(AdapterError, match=rf"^api\.listen: 127\.0\.0\.1:{port} can't be listened on: Address"):
            await TcpDoor(as_owner(world.api), Endpoint("127.0.0.1", port)).open()


async def test_a_certificate_that_is_none_is_a_clear_error(world: ApiWorld, tmp_path: Path) -> None:
    (tmp_path / "bad.pem").write_text("nothing")
    for name in ("bad.pem", "missing.pem"):
        with pytest.raises(AdapterError, match=r"^api\.certificate: .*can't be used"):
            await TcpDoor(as_owner(world.api), Endpoint("127.0.0.1", 0), certificate=tmp_path / name).open()


async def test_healthz_readyz_and_what_is_not_ready(world: ApiWorld, client: httpx.AsyncClient) -> None:
    assert (await client.get("/healthz")).status_code == 200
    assert (await client.get("/readyz")).status_code == 200


@pytest.mark.parametrize("what", ["router", "store"])
async def test_readyz_says_which_is_not_ready_and_no_details(what: str) -> None:
    async with ApiWorld() as world, world.owner() as client:
        if what == "router":
            world.router.alive = False
        else:
            world.store.failure = StoreError("/var/secret/place is full")
        answer = await client.get("/readyz")
        world.router.alive, world.store.failure = True, None
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "not_ready"
    assert what in answer.json()["detail"] and "secret" not in answer.text


async def test_the_page_of_the_api_asks_nobody_for_anything(client: httpx.AsyncClient) -> None:
    page = await client.get("/docs")
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'") and "unsafe" not in policy
    assert not re.findall(r'(?:src|href)="(?!openapi\.json")', page.text)
    assert not re.search(r"@import|url\(|fetch\(|XMLHttpRequest", page.text)
    embedded = re.search(r'<script type="application/json" id="document">(.*?)</script>', page.text, re.DOTALL)
    assert embedded is not None
    assert json.loads(embedded[1]) == (await client.get("/openapi.json")).json()


async def get(app: ASGIApp, path: str, query: bytes) -> int:
    """The status of the answer, without what a client library costs."""
    status, asked, never = 0, False, asyncio.Event()

    async def receive() -> Message:
        nonlocal asked
        if asked:
            await never.wait()
        asked = True
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        nonlocal status
        status = message.get("status", status)

    scope: Scope = {"type": "http", "method": "GET", "path": path, "query_string": query, "headers": []}
    await app({**scope, "raw_path": path.encode(), "http_version": "1.1", "scheme": "http"}, receive, send)
    return status


async def test_ten_thousand_requests_at_once_do_not_hold_up_a_deployment() -> None:
    """Those that find room are answered, the others are told to come back; a walk goes on meanwhile."""
    async with ApiWorld(limits=Limits(max_in_flight=100)) as world, world.owner() as client:
        await world.deployed(client, "app:v1", until="completed")
        old = await world.deployed(client, "app:v2")
        most, door = 0, as_owner(world.api)

        async def wait_for_news() -> int:
            nonlocal most
            status = await get(door, f"/v1/deployments/{old}/events", b"after=999999&wait_seconds=30")
            most = max(most, world.api.state.counts.in_flight["socket"])
            return status

        crowd = [asyncio.create_task(wait_for_news()) for _ in range(10_000)]
        await _until(lambda: world.api.state.counts.answers["socket", "5xx"] == 9_900)
        begun = await world.gate.call("deploy", b'{"service": "app", "image": "app:v3"}', OWNER)
        await _until(lambda: world.last().id == begun.id and world.last().phase == Phase.RETAINING)
        # The older deployment ends when the next one takes its place, and so does the waiting for its news.
        statuses = await asyncio.gather(*crowd)
    assert (statuses.count(200), statuses.count(503)) == (100, 9_900)
    assert most <= 100
    assert world.api.state.counts.in_flight["socket"] == 0


async def test_more_connections_than_there_may_be_are_told_to_come_back() -> None:
    async with (
        ApiWorld(limits=Limits(max_connections=20)) as world,
        tcp_door(world, {}) as address,
        contextlib.AsyncExitStack() as stack,
    ):
        readers = []
        for _ in range(20):
            reader, writer = await asyncio.open_connection(address.host, address.port)
            stack.callback(writer.close)
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b" 200 " in await reader.readline()
            readers.append(reader)
        reader, writer = await asyncio.open_connection(address.host, address.port)
        stack.callback(writer.close)
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 ") and b"Retry-After: 1" in head
    assert json.loads(body)["error"]["code"] == "overloaded"


@pytest.mark.parametrize(
    ("asked_before", "begun"), [(False, b""), (False, b"GET /healthz HT"), (True, b"GET /healthz HT")]
)
async def test_a_connection_that_never_asks_is_closed(asked_before: bool, begun: bytes) -> None:
    limits = Limits(head_timeout_seconds=0.05)
    async with ApiWorld(limits=limits) as world, tcp_door(world, {}) as address:
        reader, writer = await asyncio.open_connection(address.host, address.port)
        if asked_before:
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert await reader.readuntil(b"ok\n")
        writer.write(begun)
        with contextlib.suppress(ConnectionResetError):
            async with asyncio.timeout(10):
                assert await reader.read() == b""
        writer.close()


async def test_a_door_that_is_full_says_so_and_still_says_that_it_lives() -> None:
    async with ApiWorld(limits=Limits(max_in_flight=2)) as world, world.owner() as client:
        await world.deployed(client, "app:v1", until="completed")
        begun = await client.post("/v1/services/app/deployments", json={"image": "app:v2"})
        waiting = [
            asyncio.create_task(client.post("/v1/operations/wait", json={"deployment": begun.json()["id"]}))
            for _ in range(2)
        ]
        await _until(lambda: world.api.state.counts.in_flight["socket"] == 2)
        refused = await client.get("/v1/services")
        alive = await client.get("/healthz")
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
    assert (refused.status_code, alive.status_code) == (503, 200)
    assert refused.json()["error"]["code"] == "overloaded"
    assert int(refused.headers["retry-after"]) >= 1


async def test_a_token_that_waits_as_often_as_it_may_keeps_nobody_out() -> None:
    hog, operator = (Caller(name, "http", TokenScope.SWITCH, token_id=name) for name in ("hog", "operator"))
    async with ApiWorld(limits=Limits(max_in_flight=6, max_in_flight_per_token=3)) as world, world.owner() as client:
        callers = {"hog": hog, "operator": operator}
        hogs = world.agent(callers, Authorization="Bearer hog")
        operators = world.agent(callers, Authorization="Bearer operator")
        await world.deployed(client, "app:v1", until="completed")
        deployment = await world.deployed(client, "app:v2")
        waiting = [
            asyncio.create_task(hogs.post("/v1/operations/wait", json={"deployment": deployment})) for _ in range(3)
        ]
        await _until(lambda: world.api.state.counts.in_flight["http"] == 3)
        refused = await hogs.get("/v1/services")
        back = await operators.post("/v1/services/app/rollback")
        await asyncio.gather(*waiting)
        again = await hogs.get("/v1/services")
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "rate_limited")
    assert int(refused.headers["retry-after"]) >= 1
    assert back.status_code == 200
    assert again.status_code == 200
    assert not world.api.state.counts.in_flight_by_token


async def _until(condition: Any) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0)


async def test_a_closed_door_lets_nobody_wait(world: ApiWorld, tmp_path: Path) -> None:
    door = Door(as_owner(world.api), tmp_path / "door.sock")
    await door.close()
    await door.open()
    await door.close()
    assert not (tmp_path / "door.sock").exists()
