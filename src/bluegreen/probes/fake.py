"""A prober whose answers are written down beforehand. For simulations and tests of what uses a prober."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TypeVar

from bluegreen.control.ports import ProbeResult, SmokeResult
from bluegreen.domain.analysis import CommandResult
from bluegreen.domain.model import Endpoint, Workload
from bluegreen.domain.service import HealthCheck, SmokeTest

Sleep = Callable[[float], Awaitable[None]]
Answer = TypeVar("Answer")


class FakeProber:
    """Every check and smoke test passes, unless something else was scripted.

    Scripted answers are used up in order and the last one stays. `None` stands for a hang: the call takes the
    whole time limit by `sleep` (a simulated clock's, say) and then fails as the real prober does.
    """

    def __init__(self, *, sleep: Sleep = asyncio.sleep) -> None:
        self._sleep = sleep
        self._statuses: dict[Endpoint | None, deque[int | None]] = {}
        self._problems: dict[str, deque[str | None]] = {}
        self.checks: list[Endpoint] = []
        self.smoke_tests: list[tuple[str, str]] = []
        """(workload id, name of the test) for each that was run."""
        self.commands: list[tuple[str, ...]] = []
        self._exits: deque[int | None] = deque([0])

    def script_health(self, statuses: Iterable[int | None], endpoint: Endpoint | None = None) -> None:
        """HTTP statuses to answer with, 0 for a refused connection; without an endpoint for all others."""
        self._statuses[endpoint] = deque(statuses)

    def script_smoke(self, name: str, problems: Iterable[str | None]) -> None:
        """What is wrong with each run of the test; "" passes."""
        self._problems[name] = deque(problems)

    def script_exits(self, exits: Iterable[int | None]) -> None:
        """How the commands of analyses end."""
        self._exits = deque(exits)

    async def check(self, endpoint: Endpoint, check: HealthCheck, protocol: str) -> ProbeResult:
        self.checks.append(endpoint)
        script = self._statuses.get(endpoint) or self._statuses.get(None)
        status = _next(script) if script else check.expect_status
        where = f"{endpoint}{check.path}"
        if status is None:
            await self._sleep(check.timeout_seconds)
            detail = f"no complete answer within {check.timeout_seconds:g} s from {where}"
            return ProbeResult(False, detail, check.timeout_seconds)
        if status == 0:
            return ProbeResult(False, f"connection refused by {where}")
        return ProbeResult(status == check.expect_status, f"HTTP {status} from {where}")

    async def smoke(
        self, endpoint: Endpoint, test: SmokeTest, workload: Workload, protocol: str = "http1"
    ) -> SmokeResult:
        self.smoke_tests.append((workload.id, test.name))
        script = self._problems.get(test.name)
        problem = _next(script) if script else ""
        if problem is None:
            await self._sleep(test.max_seconds)
            detail = f"no complete answer within {test.max_seconds:g} s"
            return SmokeResult(test.name, False, detail, test.max_seconds)
        return SmokeResult(test.name, not problem, problem or "passed in 0.00 s")

    async def run(
        self, command: Sequence[str], endpoint: Endpoint, workload: Workload, timeout_seconds: float
    ) -> CommandResult:
        self.commands.append(tuple(command))
        exit_code = _next(self._exits)
        if exit_code is None:
            await self._sleep(timeout_seconds)
            return CommandResult(None, problem=f"still ran after {timeout_seconds:g} s and was killed")
        return CommandResult(exit_code)

    async def aclose(self) -> None:
        """Nothing to close."""


def _next(script: deque[Answer]) -> Answer:
    return script.popleft() if len(script) > 1 else script[0]
