"""What containers write, page by page."""

from __future__ import annotations

import os
import signal

import pytest

from bluegreen.domain.errors import UsageError
from tests.integration.test_docker_runtime import PATIENCE_SECONDS, Build, request
from tests.integration.test_docker_runtime import build as build
from tests.support_runtime import eventually, until_listening


async def test_output_is_followed_from_page_to_page_each_line_once(build: Build) -> None:
    runtime, wanted = build(), request("--lines", "3", replicas=2)
    await runtime.start(wanted)
    await until_listening(runtime, wanted.workload.id)
    seen: list[str] = []
    position = ""

    async def everything_is_seen() -> bool:
        nonlocal position
        page = await runtime.log_page(wanted.workload.id, position=position)
        seen.extend(page.lines)
        position = page.position
        return len(seen) >= 8

    await eventually(everything_is_seen, "the first lines", seconds=PATIENCE_SECONDS)
    assert (await runtime.log_page(wanted.workload.id, position=position)).lines == ()
    status = await runtime.inspect(wanted.workload.id)
    assert status is not None
    os.kill(status.replicas[1].pid or 0, signal.SIGKILL)
    del seen[:4]

    await eventually(everything_is_seen, "what it writes after a restart", seconds=PATIENCE_SECONDS)
    assert sorted(seen[4:]) == [f"replica-1 | line {number}" for number in range(3)] + ["replica-1 | ready"]
    with pytest.raises(UsageError, match="position: '7' is none"):
        await runtime.log_page(wanted.workload.id, position="7")


async def test_what_is_stopped_has_a_last_page_and_nothing_after_it(build: Build) -> None:
    runtime, wanted = build(), request("--lines", "3")
    await runtime.start(wanted)
    await until_listening(runtime, wanted.workload.id)
    await runtime.stop(wanted.workload.id)
    last = await runtime.log_page(wanted.workload.id)
    assert "replica-0 | line 2" in last.lines
    assert (await runtime.log_page(wanted.workload.id, position=last.position)).lines == ()
