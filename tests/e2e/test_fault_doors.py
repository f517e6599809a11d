"""The network door under fire: whatever comes in there, the walk goes on and no user's request fails."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest
from examples.system import System, free_port
from examples.traffic import SteadyTraffic

from tests.e2e.conftest import CONFIGURATION
from tests.e2e.flood import one_answer, request_of

FLOOD = 10_000
PATIENCE_SECONDS = 90.0


@pytest.fixture
def api_port() -> int:
    return free_port()


@pytest.fixture
def system(make_system: Callable[..., System], api_port: int) -> System:
    limits = "requests_per_second = 100000\nburst = 100000\n"
    made = make_system(f'{CONFIGURATION}\n[api]\nlisten = "127.0.0.1:{api_port}"\n{limits}')
    made.up()
    made.wait(made.deploy("v1.9"), "completed")
    return made


@pytest.fixture
def token(system: System) -> str:
    done = system.run("token", "create", "flood", "--scope", "read")
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@asynccontextmanager
async def no_request_fails(system: System) -> AsyncIterator[None]:
    load = SteadyTraffic("127.0.0.1", system.port, "/predict", method="POST", body=b'{"inputs": [[1, 2, 3, 4]]}')
    await load.start()
    yield
    report = await load.stop()
    assert report.failed == 0, report.failures


async def deployed_and_rolled_back(system: System, version: str) -> None:
    deployment = await asyncio.to_thread(system.deploy, version)
    await asyncio.to_thread(system.wait, deployment, "retaining", timeout_seconds=PATIENCE_SECONDS)
    back = await asyncio.to_thread(system.call, "rollback", service="inference-model", requested_by="test")
    assert back["how"] == "switch"
    await asyncio.to_thread(system.wait, deployment, "rolled_back", timeout_seconds=PATIENCE_SECONDS)


async def test_ten_thousand_requests_at_once_do_not_stop_a_deployment(
    system: System, api_port: int, token: str
) -> None:
    path = "/v1/services/inference-model"
    async with no_request_fails(system):
        flood = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.e2e.flood", str(api_port), path, str(FLOOD)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=Path(__file__).parents[2],
        )
        counting = asyncio.create_task(flood.communicate(f"{token}\n".encode()))
        await deployed_and_rolled_back(system, "v2.0")
        written, _ = await asyncio.wait_for(counting, PATIENCE_SECONDS)
    answers = json.loads(written)
    assert sum(answers.values()) >= 1000
    # What is too much is turned away at once: an answer with Retry-After, or no connection.
    turned_away = {"408", "429", "503", "closed", "ConnectionResetError", "ConnectionRefusedError", "TimeoutError"}
    assert set(answers) <= {"200", *turned_away}, answers
    assert await one_answer(api_port, request_of(path, token, api_port)) == "200"


async def test_readers_that_never_read_and_readers_that_hang_up_cost_nothing(
    system: System, api_port: int, token: str
) -> None:
    daemon = psutil.Process(system.daemon_pid())
    deployment = await asyncio.to_thread(system.deploy, "v2.0")
    await asyncio.to_thread(system.wait, deployment, "monitoring")
    stream = request_of(f"/v1/deployments/{deployment}/events/stream", token, api_port)
    before = daemon.memory_info().rss
    deaf = []
    async with no_request_fails(system):
        for turn in range(150):
            _, writer = await asyncio.open_connection("127.0.0.1", api_port)
            writer.write(stream)
            if turn % 3:
                writer.transport.abort()
            else:
                deaf.append(writer)
        back = await asyncio.to_thread(system.call, "rollback", service="inference-model", requested_by="test")
        assert back["how"] == "switch"
        await asyncio.to_thread(system.wait, deployment, "rolled_back")
        again = await asyncio.to_thread(system.deploy, "v2.0")
        await asyncio.to_thread(system.wait, again, "retaining")
    for writer in deaf:
        writer.transport.abort()
    assert daemon.memory_info().rss - before < 100 * 2**20
    assert await one_answer(api_port, request_of("/v1/services", token, api_port)) == "200"


async def test_a_huge_body_is_refused_before_it_is_read(system: System, api_port: int, token: str) -> None:
    head = (
        f"POST /v1/alerts HTTP/1.1\r\nHost: 127.0.0.1:{api_port}\r\nAuthorization: Bearer {token}\r\n"
        "Content-Type: application/json\r\n"
    )
    said = await one_answer(api_port, f"{head}Content-Length: {10**12}\r\n\r\n".encode())
    assert said == "413"
    chunk = b"40000\r\n" + b" " * 0x40000 + b"\r\n"
    chunked = f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + chunk * 8 + b"0\r\n\r\n"
    assert await one_answer(api_port, chunked) in ("413", "ConnectionResetError")
    assert system.status()["active"] == "blue"


async def test_the_daemon_is_killed_and_tokens_and_audit_go_on(system: System, api_port: int, token: str) -> None:
    """What was written down before stays verified, and the token is known to the new daemon."""
    psutil.Process(system.daemon_pid()).kill()
    await asyncio.to_thread(system.up)
    assert await one_answer(api_port, request_of("/v1/services", token, api_port)) == "200"
    deployment = await asyncio.to_thread(system.deploy, "v2.0")
    await asyncio.to_thread(system.wait, deployment, "monitoring")
    verified = await asyncio.to_thread(system.run, "audit", "verify")
    assert verified.returncode == 0, verified.stderr
    revoked = await asyncio.to_thread(system.run, "token", "revoke", "flood")
    assert revoked.returncode == 0, revoked.stderr
    assert await one_answer(api_port, request_of("/v1/services", token, api_port)) == "401"
