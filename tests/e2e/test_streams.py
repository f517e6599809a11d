"""300 long streams at the switch: each stays on the side it began on. Those that end within the drain deadline end
complete; those that don't are cut, and the number is told."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass
from typing import Any

import pytest
from examples.system import System

from tests.e2e import faults
from tests.e2e.faults import SERVICE, image

pytest_plugins = ["tests.e2e.fault_fixtures"]

SHORT, LONG = 220, 80
SHORT_TOKENS, TOKEN_MILLISECONDS = 24, 125
"""Three seconds: longer than it takes to switch, shorter than that and the drain deadline."""
DRAIN_SECONDS = 5
OPTIONS = (
    "policy.monitor_seconds=0.3",
    "policy.retain_seconds=0.2",
    f"policy.drain_timeout_seconds={DRAIN_SECONDS}",
    "stop_grace_seconds=0.5",
)


@dataclass
class Stream:
    tokens: int
    received: bytes = b""

    async def run(self, port: int, begun: asyncio.Semaphore) -> None:
        """Until the stream ends, whoever ends it."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            path = f"/stream?tokens={self.tokens}&delay_ms={TOKEN_MILLISECONDS}"
            writer.write(f"GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n".encode())
            while data := await reader.read(65536):
                if b"data: 0 " not in self.received and b"data: 0 " in self.received + data:
                    begun.release()
                self.received += data
        except ConnectionError:
            self.received += b" <reset>"
        finally:
            writer.close()

    @property
    def versions(self) -> set[str]:
        return set(re.findall(r"data: \d+ (\S+)", self.received.decode()))

    @property
    def complete(self) -> bool:
        numbers = [int(number) for number in re.findall(r"data: (\d+) ", self.received.decode())]
        return numbers == list(range(self.tokens)) and self.received.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")


@pytest.mark.parametrize("way", ["forward", "back"])
async def test_streams_stay_on_their_side_and_the_cut_ones_are_counted(own: System, way: str) -> None:
    """`back` is a rollback: then green drains."""
    if way == "back":
        await _deploy(own, "v2", "monitored", *OPTIONS[:1], *OPTIONS[2:])
    began_on = "v1" if way == "forward" else "v2"
    begun = asyncio.Semaphore(0)
    streams = [Stream(SHORT_TOKENS) for _ in range(SHORT)] + [Stream(10_000) for _ in range(LONG)]
    tasks = [asyncio.create_task(stream.run(own.port, begun)) for stream in streams]
    for _ in streams:
        await asyncio.wait_for(begun.acquire(), 20)

    if way == "forward":
        view = await _deploy(own, "v2", "completed", *OPTIONS)
    else:
        done = await asyncio.to_thread(own.run, "rollback", SERVICE, "--json")
        deployment = faults.json_of(done)["deployment"]["id"]
        view = await asyncio.to_thread(own.wait, deployment, "rolled_back")
    await asyncio.wait_for(asyncio.gather(*tasks), 20)

    short, long = streams[:SHORT], streams[SHORT:]
    assert {version for stream in streams for version in stream.versions} == {began_on}
    assert [stream for stream in short if not stream.complete] == [], "a stream within the drain deadline was cut"
    assert [stream for stream in long if stream.complete] == []
    assert view["cut_requests"] == LONG
    shown = await asyncio.to_thread(own.run, "history", SERVICE, "--json")
    assert faults.json_of(shown)["deployments"][0]["cut_requests"] == LONG
    await asyncio.to_thread(faults.assert_settled, own, "v2" if way == "forward" else "v1")


async def _deploy(system: System, version: str, moment: str, *settings: str) -> Any:
    """Through the command line, with traffic for green to be judged by."""
    options = [part for setting in settings for part in ("--set", setting)]
    with faults.steady_traffic(system):
        done = await asyncio.to_thread(
            system.run, "deploy", SERVICE, "--image", image(version), "--yes", "--wait", moment, "--json", *options
        )
    assert done.returncode == 0, (done.stdout, done.stderr)
    return json.loads(done.stdout)
