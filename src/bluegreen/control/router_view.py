"""What the router was last seen to do: routes, counters and slot contents, polled once for all services."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bluegreen.control.ports import Clock, TrafficRouter
from bluegreen.domain.errors import BluegreenError
from bluegreen.domain.model import Color, Endpoint, Route, SlotTraffic

log = logging.getLogger(__name__)

RATE_WINDOW_SECONDS = 10.0
IDLE_POLL_SECONDS = 5.0
"""How often routes are read while no deployment is under way."""


@dataclass(frozen=True, slots=True)
class Rates:
    """Over the last seconds; `error_rate` is None without requests."""

    requests_per_second: float
    error_rate: float | None


class RouterView:
    """Polls while somebody is interested in a service, and forgets what is too old to be believed."""

    def __init__(self, router: TrafficRouter, clock: Clock) -> None:
        self._router = router
        self._clock = clock
        self._routes: dict[str, Route] = {}
        self._routes_known = False
        self._traffic: dict[str, tuple[float, Mapping[Color, SlotTraffic]]] = {}
        self._samples: dict[tuple[str, Color], deque[tuple[float, SlotTraffic]]] = {}
        self._connected: dict[tuple[str, Color], tuple[Endpoint, ...]] = {}
        self._connected_at: dict[tuple[str, Color], float] = {}
        self._interested: dict[str, tuple[Callable[[], None], float]] = {}
        self.last_look: Callable[[str], None] | None = None
        """Told of a service whose slot is about to lose its replicas, with counters that were read just before."""
        self._hurry = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def follow(self, service: str, changed: Callable[[], None], *, poll_seconds: float) -> None:
        """Reads the service's numbers at least this often and calls `changed` after each reading."""
        self._interested[service] = (changed, poll_seconds)
        self._hurry.set()
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="router view")

    def unfollow(self, service: str) -> None:
        self._interested.pop(service, None)

    def followed(self) -> list[str]:
        """The services somebody follows: those with a deployment under way."""
        return list(self._interested)

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    def route(self, service: str) -> Route | None:
        """None when the router could not be read."""
        return self._routes.get(service, Route(service)) if self._routes_known else None

    def learn(self, routes: Mapping[str, Route]) -> None:
        """Takes over what a switch has just read back, unless something newer is known."""
        for service, route in routes.items():
            if route.generation >= self._routes.get(service, Route(service)).generation:
                self._routes[service] = route

    def traffic(self, service: str, *, since: float = 0.0) -> Mapping[Color, SlotTraffic] | None:
        """The counters, or None when they were not read after the monotonic time `since`."""
        reading = self.reading(service, since=since)
        return reading[1] if reading else None

    def reading(self, service: str, *, since: float = 0.0) -> tuple[float, Mapping[Color, SlotTraffic]] | None:
        """The counters and when they were read (monotonic); None when not after `since`."""
        reading = self._traffic.get(service)
        return reading if reading is not None and reading[0] > since else None

    def rates(self, service: str, color: Color) -> Rates | None:
        samples = self._samples.get((service, color))
        if not samples or len(samples) < 2:
            return None
        (started, first), (ended, last) = samples[0], samples[-1]
        requests = last.requests - first.requests
        errors = last.errors - first.errors
        if ended <= started or requests < 0:
            return None
        return Rates(requests / (ended - started), errors / requests if requests else None)

    def connected(self, service: str) -> dict[Color, tuple[Endpoint, ...]]:
        return {color: self._connected.get((service, color), ()) for color in Color}

    def connected_at(self, service: str, color: Color, endpoints: Sequence[Endpoint]) -> float | None:
        """Since when (monotonic) the slot has had these replicas, or some of them; None when it has others or none.
        Counters that were read before may be those of another workload."""
        known = self._connected.get((service, color), ())
        return self._connected_at.get((service, color)) if set(known) & set(endpoints) else None

    async def connect(self, service: str, color: Color, endpoints: tuple[Endpoint, ...]) -> None:
        if self.last_look is not None and self._connected.get((service, color)) and not endpoints:
            await self.count([service])
            self.last_look(service)
        await self._router.set_endpoints(service, color, endpoints)
        self._connected[(service, color)] = endpoints
        self._connected_at[(service, color)] = self._clock.monotonic()

    async def refresh(self) -> None:
        """Reads routes, and the counters of the services somebody follows."""
        await self.refresh_for(list(self._interested))

    async def refresh_for(self, services: Sequence[str]) -> None:
        try:
            routes = await self._router.routes()
            self.learn(routes)
            self._routes_known = True
        except BluegreenError as error:
            self._routes_known = False
            # Its counters can't be read either; asking would only take as long again.
            log.warning("the router's routes can't be read: %s", error.message)
            return
        await self.count(services)

    async def count(self, services: Sequence[str]) -> None:
        """Reads the counters alone, of all these services with one question."""
        # The time before the question: an answer is never believed to be newer than it is.
        asked_at = self._clock.monotonic()
        try:
            traffic = await self._router.traffic(services) if services else {}
        except BluegreenError as error:
            log.warning("the router's counters can't be read: %s", error.message)
            return
        for service, slots in traffic.items():
            self._traffic[service] = (asked_at, slots)
            for color, counted in slots.items():
                self._sample(service, color, asked_at, counted)

    def _sample(self, service: str, color: Color, at: float, counted: SlotTraffic) -> None:
        samples = self._samples.setdefault((service, color), deque())
        if samples and counted.requests < samples[-1][1].requests:
            samples.clear()
        samples.append((at, counted))
        while samples and at - samples[0][0] > RATE_WINDOW_SECONDS:
            samples.popleft()

    async def _run(self) -> None:
        while True:
            try:
                await self.refresh()
            except Exception:
                log.exception("reading the router failed")
                self._routes_known = False
            for changed, _ in list(self._interested.values()):
                changed()
            self._hurry.clear()
            pause = min((seconds for _, seconds in self._interested.values()), default=IDLE_POLL_SECONDS)
            await self._clock.wait(self._hurry, pause)
