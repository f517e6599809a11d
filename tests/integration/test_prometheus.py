"""A real Prometheus scrapes us with a token: its queries give what our own `metrics_query` gives."""

from __future__ import annotations

import asyncio
import contextlib
import re
import subprocess
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from bluegreen.control.authentication import Authenticator
from bluegreen.domain.access import Scope
from bluegreen.domain.model import Endpoint, SlotTraffic
from bluegreen.domain.series import METRICS
from bluegreen.domain.tokens import Token, digest, text_of
from bluegreen.domain.usage import GpuUsage, Usage
from bluegreen.interfaces.http.doors import with_tokens
from bluegreen.interfaces.http.server import TcpDoor
from bluegreen.spec.configuration import ApiSettings
from bluegreen.stores.tokens import TokenFile
from tests.docs.pages import ROOT
from tests.integration.api_support import ApiWorld
from tests.support.gate import Tools
from tests.support.prometheus import Prometheus, prometheus, prometheus_program

WINDOW = "10s"
ROW = re.compile(r"^\| `(\w+)` \| `([^`]+)` \|$", re.MULTILINE)


def queries() -> dict[str, str]:
    """metric → the PromQL that stands for it in docs/metrics.md, for the service `app` and a window of this test."""
    page = (ROOT / "docs" / "metrics.md").read_text()
    table = page.split("<!-- promql -->")[1]
    found = {name: query.replace("inference-model", "app").replace("5m", WINDOW) for name, query in ROW.findall(table)}
    assert found
    return found


class Machine:
    """Serves and works at a steady pace, on the books of the fakes. One request in ten fails, half of these
    because no replica could be reached. Three in twenty are slow, so that no quantile lies where fast ones end."""

    def __init__(self, world: ApiWorld, workload_id: str) -> None:
        self.world = world
        self.workload_id = workload_id
        self.turns = 0

    def turn(self) -> None:
        self.turns += 1
        n = self.turns
        latency, statuses = (0, 0, 0, 17 * n, 0, 0, 0, 3 * n, *[0] * 14), (0, 18 * n, 0, 0, 2 * n)
        self.world.router.counters[self.workload_id] = SlotTraffic(20 * n, 2 * n, 7, latency, statuses, n)
        gpus = (GpuUsage(0, 0.5, 2**33, 61.0), GpuUsage(1, 1.0, 2**32, 72.0))
        usage = Usage(cpu_seconds=(self.world.clock.monotonic()) * 1.5, memory_bytes=3 * 2**30, gpus=gpus)
        self.world.runtime.usages[self.workload_id] = usage

    async def run(self) -> None:
        """Twenty turns a second, however late it is called."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        while True:
            while self.turns < (loop.time() - began) * 20:
                self.turn()
            await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def door_with_token(world: ApiWorld, directory: Path) -> AsyncIterator[tuple[Endpoint, str]]:
    """The daemon's door on TCP, and a token that may read the service `app`."""
    tokens = TokenFile(directory / "tokens.json")
    token = Token(
        "tkn2345b", "prometheus", digest("a" * 52), Scope.READ, world.clock.now(), services=frozenset({"app"})
    )
    tokens.add(token)
    guarded = with_tokens(world.api, Authenticator(tokens, world.clock), settings=world.settings, gate=world.gate)
    door = TcpDoor(guarded, Endpoint("127.0.0.1", 0))
    await door.open()
    try:
        yield door.address, text_of(token.id, "a" * 52)
    finally:
        await door.close()
        tokens.close()


@contextlib.asynccontextmanager
async def scraped(directory: Path) -> AsyncIterator[tuple[ApiWorld, Prometheus]]:
    """A world in which one version of `app` serves, while a Prometheus looks on."""
    prometheus_program()
    async with contextlib.AsyncExitStack() as stack:
        world = await stack.enter_async_context(ApiWorld(settings=ApiSettings(hosts=("127.0.0.1",))))
        async with world.owner() as client:
            client.headers["Host"] = "127.0.0.1"
            await world.deployed(client, "app:v1", until="completed")
        workload = world.last().green
        assert workload is not None
        machine = Machine(world, workload.id)
        machine.turn()
        world.fleet.usage.start()
        world.fleet.metrics.start()
        working = asyncio.create_task(machine.run())
        try:
            address, token = await stack.enter_async_context(door_with_token(world, directory))
            yield world, await stack.enter_async_context(prometheus(directory, str(address), token))
        finally:
            working.cancel()


async def test_promql_gives_what_metrics_query_gives(tmp_path: Path) -> None:
    async with scraped(tmp_path) as (world, found):
        # Rates need the whole window: as many scrapes as it has seconds, and those that the usage is behind.
        await found.until("count_over_time(bluegreen_workload_cpu_seconds_total[20s]) >= 18")
        own = Tools(world)
        different = []
        for metric, promql in queries().items():
            view = await own("metrics_query", metric=metric, labels={"app": "app"}, startTime=f"-{WINDOW}", step="1d")
            ours, theirs = view["summary"]["latest"], await found.value(promql)
            # An age grows between the two questions, and more so on a busy machine.
            near = 15.0 if metric == "workload_duration" else 0.001
            if ours is None or theirs is None or theirs != pytest.approx(ours, rel=0.15, abs=near):
                different.append(f"{metric}: ours {ours}, Prometheus {theirs}")
        assert different == []


async def test_it_takes_every_sample_and_knows_the_types(tmp_path: Path) -> None:
    async with scraped(tmp_path) as (_, found):
        await found.until("scrape_samples_scraped > 20")
        assert await found.value("up") == 1
        (version,) = await found.ask("bluegreen_requests_total")
        assert {"service", "slot", "version", "workload"} <= set(version["metric"])
        kinds = await found.types()
        assert kinds["bluegreen_request_duration_seconds"] == "histogram"
        assert kinds["bluegreen_requests_total"] == "counter"


async def test_promtool_finds_nothing_to_say_about_names_and_types(tmp_path: Path) -> None:
    program = prometheus_program("promtool")
    async with ApiWorld() as world, world.owner() as client:
        await world.deployed(client, "app:v1", until="completed")
        workload = world.last().green
        assert workload is not None
        machine = Machine(world, workload.id)
        machine.turn()
        world.router.counters[workload.id] = replace(world.router.counters[workload.id], retries=1)
        await world.fleet.usage.look()
        text = (await client.get("/metrics")).text
    checked = await asyncio.to_thread(
        subprocess.run, [program, "check", "metrics"], input=text, capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def test_the_page_has_a_query_for_every_metric() -> None:
    assert list(queries()) == list(METRICS)
