"""What reading the counters costs: of all services once a second, and of one service as a deployment's watch does.

1,000 services with traffic on both slots, HAProxy answering by itself. Before each reading every service gets some
requests, so that nearly every row is another one than before; the rows below are read without any traffic between.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from bench.processes import belonging_to, cpu_seconds, temporary_directory
from bench.table import Row, information, median
from bluegreen.domain.model import Color, Endpoint, RouteTarget
from bluegreen.domain.service import ServiceSpec
from bluegreen.routers.haproxy.router import HaproxyRouter
from bluegreen.spec.configuration import RouterSettings

SERVICES = 1000
READINGS, QUICK_READINGS = 15, 500
REQUESTS_PER_SERVICE = 4
CONNECTIONS = 8
TARGET_SHARE = 0.05
NAMES = [f"service-{number}" for number in range(SERVICES)]


@dataclass
class Cost:
    """Seconds of one reading. `haproxy` has a resolution of some milliseconds, so it is the mean of all."""

    daemon: float
    haproxy: float
    wall: float

    @property
    def share(self) -> float:
        """Of a core, once a second."""
        return self.daemon + self.haproxy


async def _cost(
    router: HaproxyRouter,
    services: Sequence[str],
    readings: int,
    processes: Sequence[int],
    before_each: Callable[[], Coroutine[Any, Any, None]] | None = None,
) -> Cost:
    daemon: list[float] = []
    wall: list[float] = []
    haproxy = 0.0
    for _ in range(readings):
        if before_each is not None:
            await before_each()
            haproxy -= cpu_seconds(processes)
        elif not daemon:
            haproxy -= cpu_seconds(processes)
        began, used = time.perf_counter(), time.process_time()
        found = await router.traffic(services)
        daemon.append(time.process_time() - used)
        wall.append(time.perf_counter() - began)
        if before_each is not None:
            haproxy += cpu_seconds(processes)
        if len(found) != len(services):
            raise RuntimeError(f"{len(found)} of {len(services)} services could be read")
    if before_each is None:
        haproxy += cpu_seconds(processes)
    return Cost(median(daemon), haproxy / readings, median(wall))


async def _requests(router: HaproxyRouter) -> None:
    """Some for every service; nobody serves them, so HAProxy answers, and counts, by itself."""
    left = iter(NAMES * REQUESTS_PER_SERVICE)

    async def ask() -> None:
        for name in left:
            reader, writer = await asyncio.open_connection(router.listen.host, router.listen.port)
            writer.write(f"GET / HTTP/1.1\r\nHost: {name}.example\r\nConnection: close\r\n\r\n".encode())
            await reader.read(-1)
            writer.close()

    await asyncio.gather(*(ask() for _ in range(CONNECTIONS)))


async def _measure() -> Sequence[Row]:
    with temporary_directory() as directory:
        settings = RouterSettings(listen=Endpoint("127.0.0.1", 0))
        router = HaproxyRouter(directory=directory / "router", run_directory=directory, settings=settings)
        try:
            await router.start([ServiceSpec(name, (f"{name}.example",), ("serve",)) for name in NAMES])
            both = {name: [RouteTarget(color, f"{name}-{color}-abcdef", 50) for color in Color] for name in NAMES}
            await router.switch(both)
            processes = belonging_to(directory)
            busy = await _cost(router, NAMES, READINGS, processes, lambda: _requests(router))
            counted = sum(slot.requests for slots in (await router.traffic(NAMES)).values() for slot in slots.values())
            if counted != SERVICES * REQUESTS_PER_SERVICE * READINGS:
                raise RuntimeError(f"{counted} of {SERVICES * REQUESTS_PER_SERVICE * READINGS} requests were counted")
            idle = await _cost(router, NAMES, READINGS, processes)
            one = await _cost(router, NAMES[:1], QUICK_READINGS, processes)
        finally:
            await router.stop()
    what = f"CPU per second of reading {SERVICES:,} services x 2 slots each second"
    return [
        Row(
            "all, busy", f"{what}, all with traffic", f"<= {TARGET_SHARE:.0%}", _told(busy), busy.share <= TARGET_SHARE
        ),
        information("all, idle", f"{what}, none with traffic", _told(idle)),
        information("one", "a reading of one service, as a watch does ten times a second", _told(one)),
    ]


def _told(cost: Cost) -> str:
    return (
        f"{cost.share:.2%} (daemon {1e3 * cost.daemon:.2f} ms, HAProxy {1e3 * cost.haproxy:.2f} ms; "
        f"answer after {1e3 * cost.wall:.1f} ms)"
    )


def measure() -> Sequence[Row]:
    return asyncio.run(_measure())
