"""The six-tool procedure, word for word, over MCP: on stdio and on HTTP, with real processes and traffic all the time.

Each call is as the procedure writes it; only ids are filled in from the answers before.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from examples.system import System, free_port
from examples.traffic import SteadyTraffic

from tests.e2e.conftest import CONFIGURATION
from tests.support.mcp_client import McpCaller, over_http, over_stdio

APP = {"app": "inference-model"}
GREEN = {**APP, "env": "production", "deployment": "green", "version": "v2.0"}
BY_HAND = CONFIGURATION.replace("monitor_seconds = 1", "monitor_seconds = 60")

Session = Callable[[System], AbstractAsyncContextManager[McpCaller]]


@asynccontextmanager
async def stdio(system: System) -> AsyncIterator[McpCaller]:
    command = [*system.command("mcp")]
    async with over_stdio(command, directory=system.directory) as call:
        yield call


@asynccontextmanager
async def http(system: System) -> AsyncIterator[McpCaller]:
    token = await asyncio.to_thread(system.run, "token", "create", "agent", "--scope", "switch")
    assert token.returncode == 0, token.stderr
    async with over_http(f"http://127.0.0.1:{api_port(system.directory)}/mcp", token.stdout.strip()) as call:
        yield call


def api_port(directory: Path) -> int:
    return int((directory / "api-port").read_text())


@pytest.fixture
def system(make_system: Callable[..., System]) -> System:
    """v1.9 has the traffic; the network door is open on loopback."""
    port = free_port()
    made = make_system(BY_HAND + f'\n[api]\nlisten = "127.0.0.1:{port}"\n')
    (made.directory / "api-port").write_text(str(port))
    made.up()
    made.wait(made.deploy("v1.9", overrides={"policy.monitor_seconds": "1"}), "completed")
    return made


async def until_running(call: McpCaller, workload_id: str) -> dict[str, Any]:
    while True:
        found = await call("workload_get", workloadId=workload_id)
        if found["state"] == "running":
            return found
        assert found["state"] in ("pending", "scheduled"), found
        await asyncio.sleep(0.05)


async def until_stopped(call: McpCaller, workload_id: str) -> None:
    while (await call("workload_get", workloadId=workload_id))["state"] != "cancelled":
        await asyncio.sleep(0.05)


async def until_ended(call: McpCaller) -> None:
    newest = (await call("bluegreen_status", service="inference-model"))["services"][0]["deployment"]["id"]
    await call("bluegreen_wait", deployment=newest)


async def the_switch(call: McpCaller, color: str) -> dict[str, Any]:
    answer = await call("workload_submit", name="inference-model-service", labels={**APP, "activeDeployment": color})
    assert answer["route"]["activeDeployment"] == color
    assert answer["route"]["weights"][color] == 100
    return answer


async def to_green(call: McpCaller) -> tuple[str, str]:
    """From the list to the switch; the ids of blue and green."""
    listed = await call("workload_list", labels={**APP, "env": "production"})
    (blue,) = listed["items"]
    assert (blue["image"], blue["gpus"], blue["active"]) == ("registry/inference-model:v1.9", 4, True)
    green = await call(
        "workload_submit",
        name="inference-model-green",
        image="registry/inference-model:v2.0",
        gpus=4,
        labels=GREEN,
    )
    assert green["gpus"] == 4
    running = await until_running(call, green["id"])
    assert len(running["endpoints"]) == 1
    health = await call("metrics_query", metric="health_check_success", workloadId=green["id"], startTime="-2m")
    assert health["summary"]["latest"] == 1.0
    await the_switch(call, "green")
    return str(blue["id"]), str(green["id"])


@pytest.mark.parametrize("session", [stdio, http], ids=["stdio", "http"])
async def test_the_deployment_word_for_word(system: System, session: Session) -> None:
    load = SteadyTraffic("127.0.0.1", system.port, "/predict", method="POST", body=b'{"inputs": [[1, 2, 3, 4]]}')
    await load.start()
    async with session(system) as call:
        blue, green = await to_green(call)
        await asyncio.sleep(1.0)  # Traffic for the metric, as an operator would wait.
        errors = await call("metrics_query", metric="request_error_rate", labels=APP, startTime="-5m", step="10s")
        assert errors["summary"]["latest"] == 0.0
        assert errors["stepSeconds"] == 10
        stopped = await call("workload_stop", workloadId=blue)
        assert stopped["state"] == "draining"
        await until_stopped(call, blue)
        alert = await call(
            "alert_create", name="deploy-complete", severity="info", message="inference-model runs v2.0", labels=APP
        )
        assert alert["kind"] == "alert"
        await until_ended(call)
        history = (await call("bluegreen_history", service="inference-model"))["deployments"]
    report = await load.stop()
    assert report.failed == 0, report.failures
    assert set(report.by_version) == {"v1.9", "v2.0"}
    assert [(past["version"], past["phase"]) for past in history] == [("v2.0", "completed"), ("v1.9", "completed")]
    assert history[0]["green"] == green
    assert history[0]["previous_image"] == "registry/inference-model:v1.9"
    written = await asyncio.to_thread(system.run, "alert", "list", "--json")
    assert "inference-model runs v2.0" in written.stdout
    verified = await asyncio.to_thread(system.run, "audit", "verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    entries = json.loads((await asyncio.to_thread(system.run, "audit", "list", "--json")).stdout)["entries"]
    assert {entry["door"] for entry in entries if entry["what"] == "workload_submit"} == {"mcp"}


@pytest.mark.parametrize("session", [stdio, http], ids=["stdio", "http"])
async def test_the_rollback_word_for_word(system: System, session: Session) -> None:
    load = SteadyTraffic("127.0.0.1", system.port, "/predict", method="POST", body=b'{"inputs": [[1, 2, 3, 4]]}')
    await load.start()
    async with session(system) as call:
        blue, green = await to_green(call)
        await asyncio.sleep(0.5)
        back = await the_switch(call, "blue")
        assert back["route"]["activeWorkloadId"] == blue
        verified = await call("metrics_query", metric="health_check_success", workloadId=blue, startTime="-1m")
        assert verified["summary"]["latest"] == 1.0
        await call("workload_stop", workloadId=green)
        await until_stopped(call, green)
        await call(
            "alert_create",
            name="deploy-rollback",
            severity="warning",
            message="inference-model is back on v1.9",
            labels=APP,
        )
        await until_ended(call)
        history = (await call("bluegreen_history", service="inference-model"))["deployments"]
    report = await load.stop()
    assert report.failed == 0, report.failures
    assert set(report.by_version) == {"v1.9", "v2.0"}
    assert history[0]["phase"] == "rolled_back"
    assert system.status()["active"] == "blue"
