"""Delivers alerts from the outbox in the background: a sink that is down never delays a deployment or another sink.

An alert is in the outbox from the transaction that records it. It is delivered at least once, with an id by
which receivers can drop repetitions, and tried for at least a day, over any number of restarts.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from bluegreen.control.courier import LOOK_SECONDS, Courier
from bluegreen.control.ports import Alert, AlertDeclined, AlertSink, Clock, DocumentStore, Outbox
from bluegreen.domain.errors import StoreError

log = logging.getLogger(__name__)

DAY_SECONDS = 24 * 3600.0
KEPT_SECONDS = 90 * DAY_SECONDS
"""How long alerts stay in the list."""


class AlertDesk:
    """One courier per sink. `sinks` may be set at any time; a sink is known by its name."""

    def __init__(self, sinks: Sequence[AlertSink], clock: Clock, outbox: Outbox, documents: DocumentStore) -> None:
        self._clock = clock
        self._outbox = outbox
        self._documents = documents
        self._couriers: dict[str, Courier] = {}
        self._running: dict[Courier, asyncio.Task[None]] = {}
        self._unrecorded: set[str] = set()
        self._direct: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._manager: asyncio.Task[None] | None = None
        self.sinks = sinks

    @property
    def sinks(self) -> Sequence[AlertSink]:
        return [courier.sink for courier in self._couriers.values()]

    @sinks.setter
    def sinks(self, sinks: Sequence[AlertSink]) -> None:
        """What was on its way to a sink that is gone stays in the outbox until a sink of that name comes back."""
        couriers: dict[str, Courier] = {}
        for sink in sinks:
            known = self._couriers.get(sink.name)
            if known is not None:
                known.sink = sink
            couriers[sink.name] = known or Courier(sink, self._clock, self._outbox, self._documents)
        self._couriers = couriers
        self._changed.set()

    def start(self) -> None:
        """Begins to deliver, with what a former daemon left. Call it before anything is recorded. No error when it
        has begun."""
        if self._manager is None:
            self._manager = asyncio.create_task(self._run(), name="alerts")

    def wake(self) -> None:
        """There is something new in the outbox."""
        for courier in self._couriers.values():
            courier.wake()

    async def create(self, alert: Alert) -> None:
        """Takes an alert that belongs to no deployment's log; it is on disk when this returns. Raises StoreError."""
        await self._outbox.add(alert)
        self.wake()

    async def tell(self, alert: Alert) -> None:
        """As `create`, or, when that fails, at once and without the outbox."""
        try:
            await self.create(alert)
        except StoreError as error:
            log.warning("alert %s can't be recorded: %s", alert.name, error.message)
            self.deliver_unrecorded([alert])

    def deliver_unrecorded(self, alerts: Sequence[Alert]) -> None:
        """Tries each of them once, now and without the outbox: the log can't be written. An id is taken only once."""
        for alert in alerts:
            if alert.id in self._unrecorded:
                continue
            self._unrecorded.add(alert.id)
            for courier in self._couriers.values():
                task = asyncio.create_task(_directly(courier, alert))
                self._direct.add(task)
                task.add_done_callback(self._direct.discard)

    async def close(self, *, timeout_seconds: float = 2.0) -> None:
        """Gives deliveries under way, and those that are due, a moment; the rest waits in the outbox."""
        if self._manager is not None:
            self._manager.cancel()
            await asyncio.gather(self._manager, return_exceptions=True)
        for courier in self._couriers.values():
            courier.finish()
        tasks = [*self._running.values(), *self._direct]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=timeout_seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _run(self) -> None:
        """Keeps couriers for the sinks there are, and the outbox small."""
        while True:
            self._changed.clear()
            pause = DAY_SECONDS
            try:
                await self._outbox.subscribe(list(self._couriers))
                await self._outbox.prune(self._clock.now() - KEPT_SECONDS)
            except StoreError as error:
                log.warning("the outbox of alerts can't be used: %s", error.message)
                pause = LOOK_SECONDS
            await self._replace_couriers()
            await self._clock.wait(self._changed, pause)

    async def _replace_couriers(self) -> None:
        wanted = set(self._couriers.values())
        gone = [self._running.pop(courier) for courier in list(self._running) if courier not in wanted]
        for task in gone:
            task.cancel()
        await asyncio.gather(*gone, return_exceptions=True)
        for name, courier in self._couriers.items():
            if courier not in self._running:
                self._running[courier] = asyncio.create_task(courier.run(), name=f"alerts for {name}")


async def _directly(courier: Courier, alert: Alert) -> None:
    try:
        await courier.deliver_unrecorded(alert)
    except AlertDeclined:
        log.debug("%s does not want alert %s", courier.sink.name, alert.id)
