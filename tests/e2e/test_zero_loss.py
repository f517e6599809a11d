"""The main promise on real processes: traffic runs all the time, and no request notices."""

from __future__ import annotations

import time

import pytest
from examples.system import System
from examples.traffic import SteadyTraffic

SWITCH_PATIENCE_SECONDS = 0.05
"""More than a switch takes: what began earlier than this before its acknowledgement began before the switch."""
PREDICT = b'{"inputs": [[1.0, 2.0, 3.0, 4.0]]}'


def traffic(system: System, *, keep_alive: bool, concurrency: int = 8) -> SteadyTraffic:
    return SteadyTraffic(
        "127.0.0.1",
        system.port,
        "/predict",
        method="POST",
        body=PREDICT,
        concurrency=concurrency,
        keep_alive=keep_alive,
    )


@pytest.mark.parametrize("keep_alive", [True, False], ids=["keep-alive", "new connections"])
async def test_no_request_fails_and_none_reaches_the_old_side_after_the_switch(
    system: System, keep_alive: bool
) -> None:
    import asyncio

    load = traffic(system, keep_alive=keep_alive)
    await load.start()
    there = await asyncio.to_thread(system.deploy, "v2.0")
    await asyncio.to_thread(system.wait, there, "retaining")
    rolled_back = await asyncio.to_thread(system.call, "rollback", service="inference-model", requested_by="test")
    acknowledged = time.monotonic()
    await asyncio.to_thread(system.wait, there, "rolled_back")
    again = await asyncio.to_thread(system.deploy, "v2.0")
    await asyncio.to_thread(system.wait, again, "retaining")
    report = await load.stop()

    assert rolled_back["how"] == "switch"
    assert report.failed == 0, report.failures
    assert set(report.by_version) == {"v1.9", "v2.0"}
    started_again = system.switched_at(again) - SWITCH_PATIENCE_SECONDS
    between = {
        report.version_names[version]
        for begun, version in zip(report.begun, report.versions, strict=True)
        if acknowledged < begun < started_again
    }
    assert between <= {"v1.9"}, "after the rollback was acknowledged, a request reached v2.0"
    assert report.requests_on_old_after(system.switched_at(again), "v1.9") == 0


async def test_a_green_that_breaks_under_traffic_is_rolled_back_by_itself(system: System) -> None:
    import asyncio

    load = traffic(system, keep_alive=True)
    await load.start()
    deployment = await asyncio.to_thread(system.deploy, "v2.2")
    view = await asyncio.to_thread(system.wait, deployment, "rolled_back")
    settled = time.monotonic()
    await asyncio.sleep(0.3)
    report = await load.stop()
    assert "requests to v2.2 (green) failed" in view["cause"]
    late = [status for begun, status in zip(report.begun, report.statuses, strict=True) if begun > settled]
    assert late
    assert set(late) == {200}
    assert system.status()["active"] == "blue"


async def test_a_broken_green_never_gets_traffic(system: System) -> None:
    import asyncio

    load = traffic(system, keep_alive=True)
    await load.start()
    deployment = await asyncio.to_thread(system.deploy, "v2.1", overrides={"health.deadline_seconds": "2"})
    view = await asyncio.to_thread(system.wait, deployment, "failed")
    report = await load.stop()
    assert "HTTP 500" in view["cause"]
    assert "blue is untouched" in view["cause"]
    assert report.failed == 0, report.failures
    assert set(report.by_version) == {"v1.9"}
