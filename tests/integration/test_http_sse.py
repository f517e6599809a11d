"""Events as they happen, over real sockets: resumed, heard to the end, and never a burden."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from bluegreen.domain.access import Caller, Scope
from bluegreen.domain.errors import BluegreenError
from bluegreen.domain.events import ActionFailed
from bluegreen.interfaces.http.limits import Limits
from tests.integration.api_support import HOST, ApiWorld, tcp_door, unix_door

QUICK = Limits(heartbeat_seconds=0.05, write_timeout_seconds=0.3, max_streams=3)


@dataclass(frozen=True)
class Message:
    id: int | None
    event: str
    data: Any


async def messages(answer: httpx.Response) -> AsyncIterator[Message | str]:
    """Events, and comments as texts. Strict: a line that is none of the format fails."""
    fields: dict[str, str] = {}
    async for line in answer.aiter_lines():
        if line.startswith(":"):
            yield line[1:].strip()
        elif not line:
            if "data" in fields:
                number = int(fields["id"]) if "id" in fields else None
                yield Message(number, fields["event"], json.loads(fields["data"]))
            fields = {}
        else:
            name, _, value = line.partition(": ")
            assert name in ("id", "event", "data", "retry"), line
            assert name not in fields, line
            fields[name] = value


@pytest.fixture
async def world() -> AsyncIterator[ApiWorld]:
    async with ApiWorld(limits=QUICK) as world:
        yield world


@pytest.fixture
async def client(world: ApiWorld, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with unix_door(world, tmp_path / "door.sock") as client:
        yield client


def stream(client: httpx.AsyncClient, deployment: str, **headers: str) -> Any:
    return client.stream("GET", f"/v1/deployments/{deployment}/events/stream", headers=headers)


async def until(condition: Any) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


async def test_a_deployment_is_heard_from_beginning_to_end(client: httpx.AsyncClient) -> None:
    begun = await client.post("/v1/services/app/deployments", json={"image": "app:v1"})
    deployment = begun.json()["id"]
    async with asyncio.timeout(20), stream(client, deployment) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        heard = [message async for message in messages(answer) if isinstance(message, Message)]
    *events, end = heard
    assert end == Message(None, "end", {"phase": "completed"})
    logged = (await client.get(f"/v1/deployments/{deployment}/events")).json()["events"]
    assert [message.data for message in events] == logged
    assert [(message.id, message.event) for message in events] == [(one["sequence"], one["kind"]) for one in logged]


async def test_it_resumes_behind_the_last_event_that_was_heard(world: ApiWorld, client: httpx.AsyncClient) -> None:
    deployment = await world.deployed(client, "app:v1", until="completed")
    logged = [one["sequence"] for one in (await client.get(f"/v1/deployments/{deployment}/events")).json()["events"]]
    for resume in ({"Last-Event-ID": str(logged[3])}, {}):
        path = f"/v1/deployments/{deployment}/events/stream" + ("" if resume else f"?after={logged[3]}")
        async with client.stream("GET", path, headers=resume) as answer:
            heard = [one.id async for one in messages(answer) if isinstance(one, Message) and one.id is not None]
        assert heard == logged[4:]
    async with stream(client, deployment, **{"Last-Event-ID": str(logged[-1])}) as answer:
        assert [one async for one in messages(answer)] == [Message(None, "end", {"phase": "completed"})]


async def test_a_quiet_stream_says_that_it_lives(world: ApiWorld, client: httpx.AsyncClient) -> None:
    await world.deployed(client, "app:v1", until="completed")
    deployment = await world.deployed(client, "app:v2")
    async with asyncio.timeout(20), stream(client, deployment) as answer:
        beats = 0
        async for one in messages(answer):
            beats += isinstance(one, str)
            if beats == 3:
                break


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("nothing/events/stream", {}, 404),
        ("nothing/events/stream?after=-1", {}, 400),
        ("nothing/events/stream?after=x", {}, 400),
        ("nothing/events/stream?before=1", {}, 400),
        ("nothing/events/stream", {"Last-Event-ID": "x"}, 400),
        ("nothing/events/stream", {"Last-Event-ID": "9" * 50}, 400),
    ],
)
async def test_what_is_wrong_is_said_before_the_stream_begins(
    world: ApiWorld, client: httpx.AsyncClient, path: str, headers: dict[str, str], status: int
) -> None:
    answer = await client.get(f"/v1/deployments/{path}", headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert world.api.state.counts.streams == 0


async def test_a_client_that_hangs_up_leaves_nothing_behind(world: ApiWorld, client: httpx.AsyncClient) -> None:
    await world.deployed(client, "app:v1", until="completed")
    deployment = await world.deployed(client, "app:v2")
    async with stream(client, deployment) as answer:
        async for _ in messages(answer):
            break
        assert world.api.state.counts.streams == 1
    await until(lambda: world.api.state.counts.streams == 0)
    await until(lambda: not tasks_of_the_door())


def tasks_of_the_door() -> list[str]:
    """What still works for a client. The fleet's own tasks go on."""
    names = [getattr(task.get_coro(), "__qualname__", "") for task in asyncio.all_tasks() if not task.done()]
    return [name for name in names if re.search(r"run_asgi|_EventStream|until_gone|_closing", name)]


async def test_no_more_streams_than_there_may_be(world: ApiWorld, client: httpx.AsyncClient) -> None:
    await world.deployed(client, "app:v1", until="completed")
    deployment = await world.deployed(client, "app:v2")
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(QUICK.max_streams):
            await stack.enter_async_context(stream(client, deployment))
        refused = await client.get(f"/v1/deployments/{deployment}/events/stream")
        plain = await client.get(f"/v1/deployments/{deployment}/events")
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "overloaded")
    assert refused.headers["retry-after"] == "10"
    assert plain.status_code == 200
    await until(lambda: world.api.state.counts.streams == 0)


async def test_one_token_does_not_take_the_streams_of_all() -> None:
    callers = {name: Caller(name, "http", Scope.READ, token_id=name) for name in ("hog", "reader")}
    limits = Limits(heartbeat_seconds=0.05, max_streams=4, max_streams_per_token=2)
    async with ApiWorld(limits=limits) as world, world.owner() as owner, tcp_door(world, callers) as address:
        await world.deployed(owner, "app:v1", until="completed")
        deployment = await world.deployed(owner, "app:v2")
        at_door = httpx.AsyncClient(base_url=f"http://{address}", headers={"Host": HOST}, timeout=20)
        async with at_door as client, contextlib.AsyncExitStack() as stack:
            hog, reader = ({"Authorization": f"Bearer {name}"} for name in callers)
            for _ in range(limits.max_streams_per_token):
                await stack.enter_async_context(stream(client, deployment, **hog))
            refused = await client.get(f"/v1/deployments/{deployment}/events/stream", headers=hog)
            other = await stack.enter_async_context(stream(client, deployment, **reader))
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "rate_limited")
        assert other.status_code == 200
        await until(lambda: not world.api.state.counts.streams_by_token)


async def test_a_stream_does_not_outlive_what_let_it_in() -> None:
    """It ends after a while, so that its client comes back with a token that is looked at again."""
    limits = Limits(heartbeat_seconds=0.05, stream_seconds=0.2)
    async with ApiWorld(limits=limits) as world, world.owner() as client:
        await world.deployed(client, "app:v1", until="completed")
        deployment = await world.deployed(client, "app:v2")
        async with asyncio.timeout(10), stream(client, deployment) as answer:
            heard = [one async for one in messages(answer)]
    assert not [one for one in heard if isinstance(one, Message) and one.event == "end"]


async def test_a_stream_ends_for_a_token_that_was_revoked_and_tells_it_nothing_more() -> None:
    callers: dict[str, Caller | BluegreenError] = {"reader": Caller("reader", "http", Scope.READ, token_id="t1")}
    async with (
        ApiWorld(limits=Limits(heartbeat_seconds=0.05)) as world,
        world.owner() as owner,
        tcp_door(world, callers) as address,
    ):
        await world.deployed(owner, "app:v1", until="completed")
        deployment = await world.deployed(owner, "app:v2")
        at_door = httpx.AsyncClient(base_url=f"http://{address}", headers={"Host": HOST}, timeout=20)
        asked = stream(at_door, deployment, Authorization="Bearer reader")
        async with asyncio.timeout(10), at_door, asked as answer:
            heard = messages(answer)
            while (one := await anext(heard)) != "still here":
                assert isinstance(one, Message)
            del callers["reader"]
            await owner.post("/v1/services/app/rollback")
            rest = [one async for one in heard if isinstance(one, Message)]
    assert [one.event for one in rest] == ["problem"]
    assert rest[0].data["status"] == 401


async def test_a_consumer_that_never_reads_is_hung_up_on(world: ApiWorld) -> None:
    """Its system's buffers are small; what it does not take stays in them, and the daemon keeps nothing for it."""
    reader = Caller("reader", "http", Scope.READ, token_id="t1")
    async with world.owner() as owner, tcp_door(world, {"ok": reader}) as address:
        await world.deployed(owner, "app:v1", until="completed")
        deployment = await world.deployed(owner, "app:v2")
        with socket.socket() as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            deaf.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(deaf, (address.host, address.port))
            head = f"Host: {HOST}\r\nAuthorization: Bearer ok\r\nLast-Event-ID: 0\r\n\r\n"
            request = f"GET /v1/deployments/{deployment}/events/stream HTTP/1.1\r\n{head}"
            await loop.sock_sendall(deaf, request.encode())
            await until(lambda: world.api.state.counts.streams == 1)
            await fill(world, deployment)
            await until(lambda: world.api.state.counts.streams == 0)


async def fill(world: ApiWorld, deployment: str) -> None:
    """Events until no buffer of a system holds them: far more than a deployment has."""
    for _ in range(80):
        await world.fleet.watchers["app"].record(deployment, [ActionFailed("test", "x" * 65536) for _ in range(4)])


async def test_the_door_closes_without_waiting_for_streams(world: ApiWorld, tmp_path: Path) -> None:
    async with unix_door(world, tmp_path / "other.sock") as client:
        await world.deployed(client, "app:v1", until="completed")
        deployment = await world.deployed(client, "app:v2")
        async with stream(client, deployment) as answer:
            listening = messages(answer)
            await anext(listening)
            began = asyncio.get_running_loop().time()
    # `unix_door` has closed the door: streams were ended by it, not by their clients' patience.
    assert asyncio.get_running_loop().time() - began < 2
    assert world.api.state.counts.streams == 0


async def test_who_waits_for_news_and_leaves_is_waited_for_no_longer(
    world: ApiWorld, client: httpx.AsyncClient
) -> None:
    await world.deployed(client, "app:v1", until="completed")
    deployment = await world.deployed(client, "app:v2")
    counts = world.api.state.counts
    for method, path, body in (
        ("GET", f"/v1/deployments/{deployment}/events?after=99999&wait_seconds=30", None),
        ("POST", "/v1/operations/wait", {"deployment": deployment, "timeout_seconds": 3600}),
    ):
        asking = asyncio.create_task(client.request(method, path, json=body))
        await until(lambda: counts.in_flight["socket"] == 1)
        asking.cancel()
        await until(lambda: counts.in_flight["socket"] == 0)
