"""What a door costs: tool calls over MCP, reads of the API on one core, and the switch through each door."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from typing import Any

from examples.system import System, free_port, until
from tests.support.mcp_client import McpCaller, over_http

from bench.fast_service import SECOND, SERVICE, fast_system
from bench.table import Row, information, median, percentile, unavailable
from bench.zero_loss import rounds

CALLS = 400
MCP_TARGET_MS, READS_TARGET = 15.0, 1000.0
SWITCH_RATIO, SWITCH_P99_MS = 1.25, 20.0
READ_SECONDS = 8
NO_LIMIT = "requests_per_second = 100000\nburst = 100000\n"


@contextlib.contextmanager
def _system() -> Iterator[tuple[System, int, str]]:
    """With the network door on loopback: the system, its port and a token that may do all."""
    port = free_port()
    with fast_system(f'\n[api]\nlisten = "127.0.0.1:{port}"\n{NO_LIMIT}') as system:
        made = system.run("token", "create", "bench", "--scope", "admin")
        yield system, port, made.stdout.strip()


def _socket_times(system: System, operation: str, **fields: Any) -> list[float]:
    times = []
    for _ in range(CALLS):
        began = time.perf_counter()
        system.call(operation, **fields)
        times.append((time.perf_counter() - began) * 1000)
    return times


async def _mcp_times(call: McpCaller, tool: str, **fields: object) -> list[float]:
    times = []
    for _ in range(CALLS):
        began = time.perf_counter()
        await call(tool, **fields)
        times.append((time.perf_counter() - began) * 1000)
    return times


def _calls(system: System, port: int, token: str) -> Iterator[Row]:
    async def over_mcp() -> dict[str, list[float]]:
        async with over_http(f"http://127.0.0.1:{port}/mcp", token) as call:
            return {
                "workload_list": await _mcp_times(call, "workload_list", labels={"app": SERVICE}),
                "bluegreen_services": await _mcp_times(call, "bluegreen_services"),
            }

    times = asyncio.run(over_mcp())
    for tool, values in times.items():
        middle = median(values)
        what = f"the whole call, the operation included; median of {CALLS} (p99 {percentile(values, 99):.1f} ms)"
        yield Row(f"MCP call {tool}", what, "<= 15 ms", f"{middle:.2f} ms", middle <= MCP_TARGET_MS)
    same: tuple[tuple[str, dict[str, Any]], ...] = (("workload_list", {"labels": {"app": SERVICE}}), ("services", {}))
    for operation, fields in same:
        values = _socket_times(system, operation, **fields)
        yield information(f"the same on the unix socket: {operation}", "for comparison", f"{median(values):.2f} ms")


def _reads(system: System, port: int, token: str) -> Iterator[Row]:
    """The daemon on one core, wrk on the other."""
    target = ">= 1,000/s"
    if shutil.which("wrk") is None:
        yield unavailable("API reads", "GET on one core", target, "wrk is not installed")
        return
    for path in (f"/v1/services/{SERVICE}", "/v1/services", f"/v1/services/{SERVICE}/deployments?limit=5"):
        with _on_one_core(system.daemon_pid()):
            done = subprocess.run(
                ["wrk", "-t1", "-c16", f"-d{READ_SECONDS}s", "-H", f"Authorization: Bearer {token}",
                 f"http://127.0.0.1:{port}{path}"],
                capture_output=True, text=True, check=True,
            )  # fmt: skip
        found = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
        failed = "Non-2xx" in done.stdout or "Socket errors" in done.stdout
        per_second = float(found[1]) if found and not failed else 0.0
        yield Row(
            f"GET {path}", "daemon on one core, TCP, token", target, f"{per_second:,.0f}/s", per_second >= READS_TARGET
        )


@contextlib.contextmanager
def _on_one_core(pid: int) -> Iterator[None]:
    everywhere = os.sched_getaffinity(pid)
    threads = [int(name) for name in os.listdir(f"/proc/{pid}/task")]
    for thread in threads:
        with contextlib.suppress(ProcessLookupError):
            os.sched_setaffinity(thread, {min(everywhere)})
    try:
        yield
    finally:
        for thread in threads:
            with contextlib.suppress(ProcessLookupError):
                os.sched_setaffinity(thread, everywhere)


def _switches(system: System, port: int, token: str) -> Iterator[Row]:
    """There and back, through each door in turn."""
    labels = {"app": SERVICE}

    def on_http(arguments: dict[str, Any]) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        connection.request("POST", "/v1/workloads", json.dumps(arguments), headers)
        answer = json.loads(connection.getresponse().read())
        connection.close()
        return answer

    async def on_mcp(arguments: dict[str, Any]) -> Any:
        async with over_http(f"http://127.0.0.1:{port}/mcp", token) as call:
            await call("bluegreen_services")
            began = time.perf_counter()
            answer = await call("workload_submit", **arguments)
            return {**answer, "took": (time.perf_counter() - began) * 1000}

    count = max(10, rounds() // 2)
    own = []
    for _ in range(count):
        deployment = system.deploy(SECOND, service=SERVICE)
        own.append(float(system.wait(deployment, "monitoring", "retaining")["switch_milliseconds"]))
        system.call("rollback", service=SERVICE, requested_by="bench")
        system.wait(deployment, "rolled_back")
    what = f"a deployment without any door, in the same run, {count} times"
    yield information("switch of the walk itself", what, f"{median(own):.2f} ms, {percentile(own, 99):.2f} ms")
    calls: dict[str, list[float]] = {}
    acknowledged: dict[str, list[float]] = {}
    for door in ("unix socket", "HTTP", "MCP"):
        for _ in range(count):
            submitted = system.call(
                "workload_submit", name=f"{SERVICE}-green", image=f"registry/{SERVICE}:{SECOND}",
                labels={**labels, "deployment": _standby(system)},
            )  # fmt: skip
            system.wait(submitted["deployment"], "awaiting_approval")
            to = _standby(system)
            switch: dict[str, Any] = {"name": f"{SERVICE}-service", "labels": {**labels, "activeDeployment": to}}
            began = time.perf_counter()
            if door == "unix socket":
                answer = system.call("workload_submit", **switch)
            elif door == "HTTP":
                answer = on_http(switch)
            else:
                answer = asyncio.run(on_mcp(switch))
            took = answer.get("took") or (time.perf_counter() - began) * 1000
            calls.setdefault(door, []).append(took)
            acknowledged.setdefault(door, []).append(answer["route"]["switchMilliseconds"])
            system.call("rollback", service=SERVICE, requested_by="bench")
            system.wait(submitted["deployment"], "rolled_back")
    for door, values in acknowledged.items():
        middle, high = median(values), percentile(values, 99)
        what = f"decision to the router's acknowledgement, {count} times: {middle:.2f} ms, p99 {high:.2f} ms"
        ratio = middle / median(own)
        met = ratio <= SWITCH_RATIO and high <= SWITCH_P99_MS
        yield Row(f"switch by {door} / the walk's own", what, "<= 1.25, p99 20 ms", f"{ratio:.2f}", met)
        whole = calls[door]
        what = "call to answer; the last health check and the record included"
        yield information(f"whole call by {door}", what, f"{median(whole):.2f} ms, {percentile(whole, 99):.2f} ms")


def _standby(system: System) -> str:
    active = system.status(SERVICE)["active"]
    return "green" if active == "blue" else "blue"


def measure() -> Sequence[Row]:
    with _system() as (system, port, token):
        until(lambda: system.status(SERVICE)["active"] is not None, "an active version")
        return [*_calls(system, port, token), *_reads(system, port, token), *_switches(system, port, token)]
