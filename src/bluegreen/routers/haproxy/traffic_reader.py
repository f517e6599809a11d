"""What HAProxy counted of all its processes together, those that leave after a reload included."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

from bluegreen.domain.errors import RouterError
from bluegreen.domain.model import Color, SlotTraffic
from bluegreen.routers.haproxy.counter_reader import CounterReader, CounterRows, all_counters, parse_sides
from bluegreen.routers.haproxy.counters import TrafficCounters
from bluegreen.routers.haproxy.held_worker import HeldWorker
from bluegreen.routers.haproxy.route_book import RouteBook
from bluegreen.routers.haproxy.routes import RouteEntry, backend_name
from bluegreen.routers.haproxy.runtime import HaproxyRuntime


class TrafficReader:
    """One reading at a time: an older one that came late would look like counters that began anew."""

    def __init__(self, book: RouteBook, haproxy: HaproxyRuntime, admin_socket: Path) -> None:
        self._book = book
        self._admin_socket = admin_socket
        self._reader = CounterReader(haproxy)
        self._counters = TrafficCounters()
        self._reading = asyncio.Lock()
        self._hearing: set[asyncio.Task[None]] = set()

    async def read(self, services: Sequence[str]) -> Mapping[str, Mapping[Color, SlotTraffic]]:
        """Those that the routes name; nothing when HAProxy can't be read."""
        entries = self._book.load()
        known = {service: entries[service] for service in services if service in entries}
        occupants = _occupants(known)
        workload_ids = sorted(set(occupants.values()) - {""})
        async with self._reading:
            try:
                seen = await self._reader.read(workload_ids, sorted(occupants))
            except RouterError:
                return {}
            self._counters.update({pid: reading.rows for pid, reading in seen.items()}, workload_ids)
            sides = {pid: reading.sides for pid, reading in seen.items() if reading.sides is not None}
            if sides:
                self._counters.update_sides(sides, occupants)
            if len(self._counters) > 10 * len(entries) + 1000:
                self._counters.forget_all_but(_occupants(entries).values())
        return {
            service: {color: self._counters.of(entry.occupant(color)) for color in Color}
            for service, entry in known.items()
        }

    @contextlib.asynccontextmanager
    async def across_reload(self) -> AsyncIterator[None]:
        """Around a reload: what the leaving worker counts until its end is read before it may end."""
        held: HeldWorker | None = None
        with contextlib.suppress(RouterError):
            held = await HeldWorker.hold(self._admin_socket)
        try:
            await self.read(list(self._book.load()))
            yield
        except BaseException:
            if held is not None:
                held.let_go()
            raise
        if held is not None:
            task = asyncio.create_task(self._hear_out(held), name=f"last counts of HAProxy process {held.pid}")
            self._hearing.add(task)
            task.add_done_callback(self._hearing.discard)

    async def stop(self) -> None:
        """Lets every worker go."""
        for task in self._hearing:
            task.cancel()
        await asyncio.gather(*self._hearing, return_exceptions=True)

    async def _hear_out(self, held: HeldWorker) -> None:
        try:
            await held.idle()
            async with self._reading:
                answer = await held.ask(all_counters())
                self._counters.update_one(held.pid, CounterRows().parse(answer))
                self._counters.update_sides_of_one(held.pid, parse_sides(answer), _occupants(self._book.load()))
        except RouterError:
            # It was ended. What was read until then is known.
            pass
        finally:
            held.let_go()


def _occupants(entries: Mapping[str, RouteEntry]) -> dict[str, str]:
    """Backend → the workload in it, "" for none."""
    return {
        backend_name(service, color): entry.occupant(color) for service, entry in entries.items() for color in Color
    }
