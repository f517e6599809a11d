"""The prober: asks replicas whether they are well, and runs smoke tests against them before they get traffic."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

from bluegreen.control.ports import ProbeResult, SmokeResult
from bluegreen.domain.analysis import CommandResult
from bluegreen.domain.model import Endpoint, Workload
from bluegreen.domain.service import HealthCheck, SmokeTest
from bluegreen.probes.health_get import BadAnswer, get_status, url_of
from bluegreen.probes.smoke_command import run_command
from bluegreen.probes.smoke_request import fetch, one_line, problem_with
from bluegreen.probes.transports import HttpTransports


class HttpProber:
    """Implements `Prober` of control/ports.py. A connection per check, no proxies, no redirects.

    `command_directory` is where the commands of smoke tests run: the directory of the configuration file.
    """

    def __init__(self, *, command_directory: Path | None = None) -> None:
        self._command_directory = command_directory
        self._transports = HttpTransports()

    async def check(self, endpoint: Endpoint, check: HealthCheck, protocol: str) -> ProbeResult:
        """`timeout_seconds` covers connecting and the whole answer."""
        started = time.monotonic()
        where = f"{endpoint}{check.path}"
        try:
            async with asyncio.timeout(check.timeout_seconds):
                status = await self._status(endpoint, check.path, protocol)
        except TimeoutError:
            ok, detail = False, f"no complete answer within {check.timeout_seconds:g} s from {where}"
        except ConnectionRefusedError:
            ok, detail = False, f"connection refused by {where}"
        except (OSError, BadAnswer) as error:
            ok, detail = False, f"{_phrase(error)} from {where}"
        else:
            ok, detail = status == check.expect_status, f"HTTP {status} from {where}"
        return ProbeResult(ok, detail, time.monotonic() - started)

    async def smoke(
        self, endpoint: Endpoint, test: SmokeTest, workload: Workload, protocol: str = "http1"
    ) -> SmokeResult:
        started = time.monotonic()
        if test.command:
            problem = await self._command(endpoint, test, workload)
        else:
            problem = await self._request(endpoint, test, protocol)
        seconds = time.monotonic() - started
        return SmokeResult(test.name, not problem, problem or f"passed in {seconds:.2f} s", seconds)

    async def run(
        self, command: Sequence[str], endpoint: Endpoint, workload: Workload, timeout_seconds: float
    ) -> CommandResult:
        environment = _environment(endpoint, workload)
        try:
            ended = await run_command(tuple(command), environment, self._command_directory, timeout_seconds)
        except (OSError, ValueError) as error:
            return CommandResult(None, problem=_not_started(error))
        last_line = next((line.strip() for line in reversed(ended.lines) if line.strip()), "")
        return CommandResult(
            ended.exit_code, one_line(last_line), _killed(timeout_seconds) if ended.exit_code is None else ""
        )

    async def aclose(self) -> None:
        await self._transports.aclose()

    async def _status(self, endpoint: Endpoint, path: str, protocol: str) -> int:
        if protocol != "h2c":
            return await get_status(endpoint, path)
        import httpx

        try:
            return (await fetch(self._transports.of(protocol), "GET", endpoint, path)).status
        except httpx.ConnectError as error:
            raise ConnectionRefusedError from error
        except httpx.HTTPError as error:
            raise BadAnswer(f"no HTTP/2 answer ({_named(error)})") from error

    async def _request(self, endpoint: Endpoint, test: SmokeTest, protocol: str) -> str:
        """What is wrong, in a sentence; "" when nothing is."""
        import httpx

        what = f"{test.method} {url_of(endpoint, test.path)}"
        try:
            async with asyncio.timeout(test.max_seconds):
                answer = await fetch(
                    self._transports.of(protocol),
                    test.method,
                    endpoint,
                    test.path,
                    headers=test.headers,
                    body=test.body,
                )
        except TimeoutError:
            return f"{what}: no complete answer within {test.max_seconds:g} s"
        except httpx.ConnectError:
            return f"{what}: connection refused"
        except (httpx.HTTPError, OSError) as error:
            return f"{what}: no complete HTTP answer ({_named(error)})"
        problem = problem_with(answer, test)
        return f"{what}: {problem}" if problem else ""

    async def _command(self, endpoint: Endpoint, test: SmokeTest, workload: Workload) -> str:
        environment = _environment(endpoint, workload)
        try:
            result = await run_command(test.command, environment, self._command_directory, test.max_seconds)
        except (OSError, ValueError) as error:
            return f"{test.command[0]!r} {_not_started(error)}"
        if result.exit_code == 0:
            return ""
        if result.exit_code is None:
            ending = _killed(test.max_seconds)
        elif result.exit_code < 0:
            ending = f"was ended by signal {-result.exit_code}"
        else:
            ending = f"exited with {result.exit_code}"
        output = "\n".join(f"  {line}" for line in result.lines)
        return f"{test.command[0]!r} {ending}" + (f"; its last lines:\n{output}" if output else "")


def _environment(endpoint: Endpoint, workload: Workload) -> dict[str, str]:
    return {"GREEN_URL": url_of(endpoint), "SERVICE": workload.service, "VERSION": workload.version}


def _not_started(error: OSError | ValueError) -> str:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return f"can't be started: {reason}"


def _killed(max_seconds: float) -> str:
    return f"still ran after {max_seconds:g} s and was killed"


def _phrase(error: OSError | BadAnswer) -> str:
    if isinstance(error, BadAnswer):
        return str(error)
    return (error.strerror or "connection failed").lower()


def _named(error: Exception) -> str:
    return str(error)[:100] or type(error).__name__
