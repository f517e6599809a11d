"""No request fails because of a deployment, and none reaches the old side after an acknowledged switch.

wrk saturates the router with kept and with new connections at once, which finds failed requests. wrk can't
tell versions, so a paced generator beside it notes for each request when it began and which version answered.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from examples.system import System, monotonic_of
from examples.traffic import SteadyTraffic, TrafficReport

from bench.fast_service import FIRST, SECOND, SERVICE, fast_system
from bench.load import LoadReport, load_name, start_load
from bench.table import Row, information, median

DEFAULT_ROUNDS = 50
PACED_PER_SECOND = 400.0
WAIT_SECONDS = 120.0


def rounds() -> int:
    return int(os.environ.get("BENCH_ROUNDS", str(DEFAULT_ROUNDS)))


@dataclass
class Walks:
    """What happened. A span is a time between an acknowledged switch and the beginning of the next one, in
    `time.monotonic()`, with the only version that may answer a request begun in it."""

    deployments: int = 0
    rollbacks: int = 0
    spans: list[tuple[float, float, str]] = field(default_factory=list)
    _since: tuple[float, str] | None = None

    def switching(self, at: float) -> None:
        if self._since is not None:
            self.spans.append((self._since[0], at, self._since[1]))
        self._since = None

    def switched(self, at: float, version: str) -> None:
        self._since = (at, version)

    def on_the_old_side(self, report: TrafficReport) -> tuple[int, int]:
        """Requests begun in a span: all of them, and those that another version answered."""
        checked = wrong = position = 0
        answers = sorted(
            (begun, version)
            for begun, version, status in zip(report.begun, report.versions, report.statuses, strict=True)
            if status
        )
        for start, end, expected in self.spans:
            while position < len(answers) and answers[position][0] <= start:
                position += 1
            while position < len(answers) and answers[position][0] < end:
                checked += 1
                wrong += report.version_names[answers[position][1]] != expected
                position += 1
        return checked, wrong


def walk(system: System, walks: Walks, count: int) -> None:
    """Each round: there and, by a rollback, back; then there for good, until the side it came from is gone."""
    active, other = FIRST, SECOND
    for _ in range(count):
        deployment = _there(system, walks, other, "retaining")
        walks.switching(time.monotonic())
        system.call("rollback", service=SERVICE, requested_by="bench")
        walks.rollbacks += 1
        walks.switched(_switched_at(system, deployment, -1), active)
        system.wait(deployment, "rolled_back", timeout_seconds=WAIT_SECONDS)
        _there(system, walks, other, "completed", **{"policy.retain_seconds": "0.1"})
        active, other = other, active


def _there(system: System, walks: Walks, version: str, until_phase: str, **overrides: str) -> str:
    deployment = system.deploy(version, service=SERVICE, overrides=overrides)
    system.wait(deployment, until_phase, timeout_seconds=WAIT_SECONDS)
    walks.deployments += 1
    started = [
        event
        for event in system.events(deployment)
        if event["kind"] == "action_started" and event["data"]["action"] == "switch"
    ]
    walks.switching(monotonic_of(float(started[0]["at"])))
    walks.switched(_switched_at(system, deployment, 0), version)
    return deployment


def _switched_at(system: System, deployment: str, occurrence: int) -> float:
    return system.switched_at(deployment, occurrence)


async def _under_load(system: System, count: int) -> tuple[Walks, list[LoadReport], list[TrafficReport]]:
    url, walks = f"http://127.0.0.1:{system.port}/", Walks()
    paced = [
        SteadyTraffic(
            "127.0.0.1", system.port, concurrency=4, rate_per_second=PACED_PER_SECOND / 2, keep_alive=keep_alive
        )
        for keep_alive in (True, False)
    ]
    loads = [start_load(url, threads=1, close=close) for close in (False, True)]
    reports: list[LoadReport] = []
    try:
        for traffic in paced:
            await traffic.start()
        await asyncio.to_thread(walk, system, walks, count)
    finally:
        reports = [await asyncio.to_thread(load.stop) for load in loads]
    return walks, reports, [await traffic.stop() for traffic in paced]


def measure() -> Sequence[Row]:
    with fast_system() as system:
        return under_load(system, rounds())


def under_load(system: System, count: int) -> Sequence[Row]:
    """Of a system with FIRST deployed and alone, after so many rounds of walks."""
    walks, loads, paced = asyncio.run(_under_load(system, count))
    done = f"{walks.deployments} deployments, {walks.rollbacks} rollbacks"
    rows = []
    for kind, load, traffic in zip(("keep-alive", "new connections"), loads, paced, strict=True):
        rows.append(
            Row(
                f"failed requests, {kind}",
                f"{load_name()} at saturation, {done}: {load.requests:,} requests, {load.per_second:,.0f}/s",
                "0",
                f"{load.failed} {load.detail}".strip(),
                load.failed == 0,
            )
        )
        rows.append(
            Row(
                f"failed paced requests, {kind}",
                f"examples.traffic beside it: {traffic.sent:,} requests",
                "0",
                f"{traffic.failed} {'; '.join(traffic.failures[:2])}".strip(),
                traffic.failed == 0,
            )
        )
        checked, wrong = walks.on_the_old_side(traffic)
        rows.append(
            Row(
                f"on the old side, {kind}",
                f"{checked:,} of them begun after an acknowledged switch, before the next ({len(walks.spans)} times)",
                "0",
                str(wrong),
                wrong == 0 and checked > 0,
            )
        )
        rows.append(
            information(
                f"latency, {kind}",
                "paced requests, median and 99th percentile",
                f"{traffic.latency_milliseconds(50):.1f} ms, {traffic.latency_milliseconds(99):.1f} ms",
            )
        )
    lengths = [end - start for start, end, _ in walks.spans]
    rows.append(information("time between two switches", "median", f"{median(lengths):.2f} s"))
    return rows
