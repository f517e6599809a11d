"""Debian's Prometheus and VictoriaMetrics for a test: each on a loopback port, and gone afterwards with its data."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from examples.system import free_port

CONFIGURATION = """
global: {{ scrape_interval: 1s, scrape_timeout: 1s }}
scrape_configs:
  - job_name: bluegreen
    authorization: {{ credentials_file: {token} }}
    static_configs: [{{ targets: ["{target}"] }}]
"""


PACKAGES = {"promtool": "prometheus"}
"""Of Debian, where they are not called as the program is."""


def prometheus_program(name: str = "prometheus") -> str:
    """Its path. Skips the test without one, or fails when BLUEGREEN_REQUIRE says that there must be one."""
    found = shutil.which(name)
    if found is None:
        message = f"{name} is not installed: apt-get install {PACKAGES.get(name, name)}"
        if PACKAGES.get(name, name) in os.environ.get("BLUEGREEN_REQUIRE", "").split():
            pytest.fail(message)
        pytest.skip(message)
    return found


class Prometheus:
    def __init__(self, address: str) -> None:
        self.url = f"http://{address}"
        self._client = httpx.AsyncClient(base_url=self.url, timeout=10, trust_env=False)

    async def ask(self, promql: str) -> list[dict[str, Any]]:
        """The series of an instant vector: `metric` and `value` of each. Fails for what is no PromQL."""
        answer = await self._client.get("/api/v1/query", params={"query": promql})
        assert answer.status_code == 200, answer.text
        result: list[dict[str, Any]] = answer.json()["data"]["result"]
        return result

    async def value(self, promql: str) -> float | None:
        """Of the only series; None without one."""
        found = await self.ask(promql)
        assert len(found) <= 1, f"{promql}: {len(found)} series"
        return float(found[0]["value"][1]) if found else None

    async def types(self) -> dict[str, str]:
        """Name of each family → counter, gauge or histogram."""
        answer = await self._client.get("/api/v1/targets/metadata")
        return {told["metric"]: told["type"] for told in answer.json()["data"]}

    async def until(self, promql: str, *, seconds: float = 60.0) -> None:
        """Until the query has a result: write it with a comparison."""
        async with asyncio.timeout(seconds):
            while not await self.ask(promql):
                await asyncio.sleep(0.1)

    async def ready(self) -> None:
        async with asyncio.timeout(60):
            while True:
                try:
                    # VictoriaMetrics does not know /-/ready, but answers queries as soon as it is.
                    if (await self._client.get("/api/v1/query", params={"query": "1"})).status_code == 200:
                        return
                except httpx.TransportError:
                    pass
                await asyncio.sleep(0.05)

    async def close(self) -> None:
        await self._client.aclose()


@asynccontextmanager
async def prometheus(directory: Path, target: str, token: str) -> AsyncIterator[Prometheus]:
    """Scrapes `target` (host:port) every second."""
    command = [
        prometheus_program(),
        f"--config.file={_configured(directory, target, token)}",
        f"--storage.tsdb.path={directory / 'data'}",
    ]
    async with _running(directory, command, "--web.listen-address") as found:
        yield found


@asynccontextmanager
async def victoria_metrics(directory: Path, target: str) -> AsyncIterator[Prometheus]:
    """The same by Debian's VictoriaMetrics, which answers as Prometheus does. Samples are shown after a second."""
    command = [
        prometheus_program("victoria-metrics"),
        f"-promscrape.config={_configured(directory, target, 'token')}",
        f"-storageDataPath={directory / 'data'}",
        "-search.latencyOffset=1s",
    ]
    async with _running(directory, command, "-httpListenAddr") as found:
        yield found


def _configured(directory: Path, target: str, token: str) -> Path:
    (directory / "token").write_text(token)
    (directory / "token").chmod(0o600)
    path = directory / "prometheus.yml"
    path.write_text(CONFIGURATION.format(token=directory / "token", target=target))
    return path


@asynccontextmanager
async def _running(directory: Path, command: list[str], listening: str) -> AsyncIterator[Prometheus]:
    address = f"127.0.0.1:{free_port()}"
    with (directory / "prometheus.log").open("wb") as log:
        process = subprocess.Popen([*command, f"{listening}={address}"], stdout=log, stderr=log)
    found = Prometheus(address)
    try:
        await found.ready()
        yield found
    finally:
        await found.close()
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        shutil.rmtree(directory / "data", ignore_errors=True)
