"""CPU time of the proxy per request: our whole HAProxy configuration beside other proxies.

All run in front of one backend; the load goes to ours and to one of the others in turn, and only the processes of
the proxy under load are counted. What is judged is the median of the pairs' ratios, for neighbours in time have
the same machine; who is first alternates.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from examples.system import free_port

from bench import peers
from bench.fast_service import CONFIGURATION, SERVICE, fast_server
from bench.load import LoadReport, load_name, start_load
from bench.peers import NotAvailable, Peer
from bench.processes import belonging_to, cpu_seconds, running, seconds_until_open, temporary_directory
from bench.table import Row, information, median, unavailable
from bench.zero_loss import DEFAULT_ROUNDS, rounds
from bluegreen.domain.model import Color, Endpoint, RouteTarget
from bluegreen.main import make_router
from bluegreen.spec.configuration import Configuration
from bluegreen.spec.loading import load

TURNS = 7
WARM_UP_SECONDS, MEASURED_SECONDS = 0.5, 2.0
OURS = "ours"
TARGETS = {"nginx": 1.3, "Traefik": 0.4, "Caddy": 0.4, "Envoy": 0.4}
COMPARED = (peers.NGINX, peers.TRAEFIK, peers.CADDY, peers.ENVOY, peers.BARE_HAPROXY)


@dataclass
class Contender:
    name: str
    origin: str
    port: int
    processes: Sequence[int]
    microseconds: list[float] = field(default_factory=list)
    per_second: list[float] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)
    """Ours / this one's, of each pair."""
    failed: int = 0


@contextlib.contextmanager
def _ours(backend: int) -> Iterator[Contender]:
    """The router as the daemon runs it: one service, health checks, counters, a route that was switched to."""
    with temporary_directory() as directory:
        port = free_port()
        text = CONFIGURATION.replace("@haproxy@", sys.executable).replace("@port@", str(port))
        (directory / "bluegreen.toml").write_text(text)
        configuration = load(directory / "bluegreen.toml")
        try:
            asyncio.run(_start_router(configuration, backend))
            yield Contender(OURS, "full configuration", port, belonging_to(directory))
        finally:
            asyncio.run(make_router(configuration).stop())


async def _start_router(configuration: Configuration, backend: int) -> None:
    router = make_router(configuration)
    await router.start(list(configuration.services.values()))
    await router.set_endpoints(SERVICE, Color.BLUE, [Endpoint("127.0.0.1", backend)])
    await router.switch({SERVICE: [RouteTarget(Color.BLUE, f"{SERVICE}-blue-1")]})


@contextlib.contextmanager
def _peer(peer: Peer, backend: int) -> Iterator[Contender]:
    """Raises NotAvailable."""
    found = peers.find(peer)
    with temporary_directory() as directory:
        port = free_port()
        command = peer.command(found.binary, directory, port, backend)
        # Some keep a cache or a certificate store below these; none of it may stay behind.
        homes = {"HOME": str(directory), "XDG_DATA_HOME": str(directory), "XDG_CONFIG_HOME": str(directory)}
        with running(command, environment=homes, cwd=directory, output=directory / "output.log") as process:
            try:
                seconds_until_open(port, process)
            except RuntimeError as error:
                said = (directory / "output.log").read_text(errors="replace").strip().splitlines()
                raise NotAvailable(f"did not start: {said[-1] if said else error}") from error
            yield Contender(peer.name, found.origin, port, [process.pid])


def _load_for(port: int, seconds: float, *, close: bool = False) -> LoadReport:
    generator = start_load(f"http://127.0.0.1:{port}/", close=close)
    time.sleep(seconds)
    return generator.stop()


def _measure(contender: Contender) -> None:
    _load_for(contender.port, WARM_UP_SECONDS)
    before = cpu_seconds(contender.processes)
    report = _load_for(contender.port, MEASURED_SECONDS)
    used = cpu_seconds(contender.processes) - before
    contender.microseconds.append(used / max(report.requests, 1) * 1e6)
    contender.per_second.append(report.per_second)
    contender.failed += report.failed


def _turns() -> int:
    return max(2, min(TURNS, rounds() * TURNS // DEFAULT_ROUNDS))


def measure() -> Sequence[Row]:
    contenders: dict[str, Contender] = {}
    missing: dict[str, str] = {}
    turns = _turns()
    with contextlib.ExitStack() as stack:
        backend = stack.enter_context(fast_server())
        contenders[OURS] = stack.enter_context(_ours(backend))
        for peer in COMPARED:
            try:
                contenders[peer.name] = stack.enter_context(_peer(peer, backend))
            except NotAvailable as error:
                missing[peer.name] = str(error)
        ours, *others = contenders.values()
        for turn in range(turns):
            for other in others:
                for contender in (ours, other) if turn % 2 == 0 else (other, ours):
                    _measure(contender)
                other.ratios.append(ours.microseconds[-1] / other.microseconds[-1])
    return [*_judged(contenders, missing, turns), *map(_information, contenders.values())]


def _judged(contenders: dict[str, Contender], missing: dict[str, str], turns: int) -> Iterator[Row]:
    for name, target in TARGETS.items():
        what, wanted = f"our CPU per request / {name}'s, median of {turns} pairs", f"<= {target:g} x"
        if name not in contenders:
            yield unavailable(f"beside {name}", what, wanted, missing[name])
            continue
        other = contenders[name]
        ratio, spread = median(other.ratios), f"{min(other.ratios):.2f} to {max(other.ratios):.2f}"
        yield Row(f"beside {name}", f"{what} ({other.origin})", wanted, f"{ratio:.2f} x ({spread})", ratio <= target)


def _information(contender: Contender) -> Row:
    numbers = f"{median(contender.microseconds):.1f} us at {median(contender.per_second):,.0f}/s"
    failed = f", {contender.failed} FAILED" if contender.failed else ""
    what = f"CPU per request, {load_name()}, kept connections; {contender.origin}"
    return information(contender.name, what, numbers + failed)
