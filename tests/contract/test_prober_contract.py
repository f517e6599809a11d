"""What holds for every prober: the real one against a real server, and the fake one told the same story."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from bluegreen.control.ports import Prober
from bluegreen.domain.model import Color, Endpoint, Resources, Workload
from bluegreen.domain.service import HealthCheck, SmokeTest
from bluegreen.probes.fake import FakeProber
from bluegreen.probes.http import HttpProber
from tests.integration.probe_servers import answering, hanging, serving

CHECK = HealthCheck(path="/health", timeout_seconds=0.3)
SMOKE = SmokeTest("predict", "GET", "/health", max_seconds=0.3)
WORKLOAD = Workload("w-1", "inference-model", Color.GREEN, "model:v2.0", "v2.0", 1, Resources())


class World:
    """A replica that answers with a status, hangs (None) or refuses (0), and a prober that looks at it."""

    def replica(self, status: int | None) -> AbstractAsyncContextManager[tuple[Prober, Endpoint]]:
        raise NotImplementedError


class RealWorld(World):
    @asynccontextmanager
    async def replica(self, status: int | None) -> AsyncIterator[tuple[Prober, Endpoint]]:
        prober = HttpProber()
        async with serving(hanging if status is None else answering(status)) as endpoint:
            yield prober, Endpoint("127.0.0.1", 1) if status == 0 else endpoint
        await prober.aclose()


class FakeWorld(World):
    @asynccontextmanager
    async def replica(self, status: int | None) -> AsyncIterator[tuple[Prober, Endpoint]]:
        async def at_once(_seconds: float) -> None:
            """Simulated time passes without waiting."""

        prober = FakeProber(sleep=at_once)
        endpoint = Endpoint("127.0.0.1", 8000)
        prober.script_health([status], endpoint)
        problem = None if status is None else "" if status == 200 else f"expected HTTP 200, got {status}"
        prober.script_smoke("predict", [problem])
        yield prober, endpoint


@pytest.fixture(params=[RealWorld, FakeWorld], ids=["real", "fake"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    yield request.param()


@pytest.mark.parametrize(
    ("status", "ok", "detail"),
    [
        (200, True, "HTTP 200 from {where}"),
        (503, False, "HTTP 503 from {where}"),
        (0, False, "connection refused by {where}"),
        (None, False, "no complete answer within 0.3 s from {where}"),
    ],
)
async def test_a_check_never_raises(world: World, status: int | None, ok: bool, detail: str) -> None:
    async with world.replica(status) as (prober, endpoint):
        result = await prober.check(endpoint, CHECK, "http1")
    assert (result.ok, result.detail) == (ok, detail.format(where=f"{endpoint}/health"))


@pytest.mark.parametrize(("status", "ok"), [(200, True), (503, False), (0, False), (None, False)])
async def test_a_smoke_test_never_raises(world: World, status: int | None, ok: bool) -> None:
    async with world.replica(status) as (prober, endpoint):
        result = await prober.smoke(endpoint, SMOKE, WORKLOAD)
    assert (result.name, result.ok) == ("predict", ok)
    assert result.detail


@pytest.mark.parametrize(("script", "exit_code"), [("exit 0", 0), ("exit 1", 1), ("exit 3", 3), ("sleep 600", None)])
async def test_a_command_never_raises_and_ends_in_time(world: World, script: str, exit_code: int | None) -> None:
    async with world.replica(200) as (prober, endpoint):
        if isinstance(prober, FakeProber):
            prober.script_exits([exit_code])
        result = await prober.run(["sh", "-c", script], endpoint, WORKLOAD, 0.3 if exit_code is None else 30)
    assert result.exit_code == exit_code
    assert bool(result.problem) == (exit_code is None)


async def test_the_fake_uses_up_its_answers_and_stays_with_the_last() -> None:
    prober, one, other = FakeProber(), Endpoint("127.0.0.1", 1), Endpoint("127.0.0.1", 2)
    prober.script_health([503, 200], one)
    prober.script_health([500])
    seen = [(await prober.check(one, CHECK, "http1")).ok for _ in range(3)]
    assert seen == [False, True, True]
    assert not (await prober.check(other, CHECK, "http1")).ok
    assert prober.checks == [one, one, one, other]
