"""How soon a bad version is off the traffic again: the real daemon, HAProxy and example service under steady traffic.

From the acknowledgement of the switch to green to that of the switch back, by the event log.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from examples.system import SERVER, System, monotonic_of
from examples.traffic import SteadyTraffic, TrafficReport, is_success

from bench.processes import temporary_directory
from bench.table import Row, information, median, percentile
from bench.zero_loss import DEFAULT_ROUNDS, rounds

PER_SECOND = 200.0
USUAL, USUAL_SHARE = "usual", 0.001
RECORD_SECONDS = 3.0
WAIT_SECONDS = 120.0
BODY = b'{"inputs": [[1, 2, 3, 4]]}'
CONFIGURATION = """
[router]
listen = "127.0.0.1:@port@"

[capacity]
gpus = 0
cpus = 64
memory_mb = 65536

[services.inference-model]
hosts = ["*"]
workdir = "@directory@/{tag}"
command = ["@python@", "@server@", "--port", "{port}"]

[services.inference-model.health]
path = "/health"
rise = 1
deadline_seconds = 30

[services.inference-model.policy]
monitor_seconds = 60
drain_timeout_seconds = 5
"""


@dataclass(frozen=True, slots=True)
class Fault:
    """A version that fails this share of its requests at random. `rounds` is how often it is deployed by default."""

    version: str
    share: float
    rounds: int
    median_seconds: float
    p90_seconds: float | None = None

    @property
    def count(self) -> int:
        return max(1, round(self.rounds * rounds() / DEFAULT_ROUNDS))


FAULTS = (Fault("bad-5", 0.05, 30, 1.2, 2.5), Fault("bad-50", 0.5, 20, 0.4))


@dataclass(frozen=True, slots=True)
class Noticed:
    """`switched` and `back` are when both switches were acknowledged, in `time.monotonic()`."""

    version: str
    switched: float
    back: float

    @property
    def seconds(self) -> float:
        return self.back - self.switched

    def failed(self, report: TrafficReport, begun: float) -> int:
        """Users' requests that this deployment of the version failed; it was deployed at `begun`."""
        answers = zip(report.begun, report.statuses, report.versions, strict=True)
        return sum(
            begun < at <= self.back and not is_success(status) and report.version_names[version] == self.version
            for at, status, version in answers
        )


def _write_version(directory: Path, version: str, share: float) -> None:
    model = json.loads((SERVER.parent / "v2.0" / "model.json").read_text())
    (directory / version).mkdir()
    (directory / version / "model.json").write_text(json.dumps({**model, "fault": {"share": share}}))


@contextlib.contextmanager
def _system() -> Iterator[System]:
    with temporary_directory() as directory:
        for version, share in ((USUAL, USUAL_SHARE), *((fault.version, fault.share) for fault in FAULTS)):
            _write_version(directory, version, share)
        system = System(directory, CONFIGURATION.replace("@directory@", str(directory)))
        try:
            system.up()
            system.wait(system.deploy(USUAL, overrides={"policy.monitor_seconds": "0.5"}), "completed")
            yield system
        finally:
            system.close()


def _deployed(system: System, fault: Fault) -> tuple[float, Noticed]:
    """When it was deployed, and how that ended."""
    begun = time.monotonic()
    deployment = system.deploy(fault.version)
    system.wait(deployment, "rolled_back", timeout_seconds=WAIT_SECONDS)
    there, back = (
        monotonic_of(float(event["at"])) for event in system.events(deployment) if event["kind"] == "traffic_switched"
    )
    return begun, Noticed(fault.version, there, back)


async def _under_traffic(system: System) -> tuple[list[tuple[float, Noticed]], TrafficReport]:
    traffic = SteadyTraffic(
        "127.0.0.1", system.port, "/predict", method="POST", body=BODY, concurrency=16, rate_per_second=PER_SECOND
    )
    found = []
    await traffic.start()
    try:
        # A record of blue, as there is one on any day.
        await asyncio.sleep(RECORD_SECONDS)
        for fault in FAULTS:
            for _ in range(fault.count):
                found.append(await asyncio.to_thread(_deployed, system, fault))
    finally:
        report = await traffic.stop()
    return found, report


def measure() -> Sequence[Row]:
    with _system() as system:
        found, report = asyncio.run(_under_traffic(system))
    rows: list[Row] = []
    for fault in FAULTS:
        its = [(begun, noticed) for begun, noticed in found if noticed.version == fault.version]
        rows += _rows(fault, its, report)
    rows.append(information("real: requests sent", "steady", f"{report.sent:,}, {report.requests_per_second:.0f}/s"))
    return rows


def _rows(fault: Fault, found: Sequence[tuple[float, Noticed]], report: TrafficReport) -> Iterator[Row]:
    name = f"real: traffic back, {fault.share:.0%} fail"
    times = [noticed.seconds for _, noticed in found]
    middle, high = median(times), percentile(times, 90)
    how = f"switch to switch back, {PER_SECOND:g} requests/s, {len(times)} deployments"
    yield Row(
        f"{name}, median",
        how,
        f"<= {fault.median_seconds:g} s",
        f"{middle:.2f} s",
        middle <= fault.median_seconds,
    )
    if fault.p90_seconds is not None:
        yield Row(
            f"{name}, 90th percentile", how, f"<= {fault.p90_seconds:g} s", f"{high:.2f} s", high <= fault.p90_seconds
        )
    failed = [noticed.failed(report, begun) for begun, noticed in found]
    what = "median, and most, of one deployment"
    yield information(
        f"real: users' failed requests, {fault.share:.0%} fail", what, f"{median(failed):.0f}, {max(failed)}"
    )
