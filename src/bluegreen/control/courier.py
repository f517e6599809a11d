"""Brings the alerts of the outbox to one sink, one after the other, and tries again what did not arrive."""

from __future__ import annotations

import asyncio
import logging

from bluegreen.control.ports import Alert, AlertDeclined, AlertSink, Clock, Delivery, DocumentStore, Outbox
from bluegreen.control.silences import silenced
from bluegreen.domain.errors import BluegreenError, StoreError

log = logging.getLogger(__name__)

LONGEST_PAUSE_SECONDS = 300.0
TRIED_FOR_SECONDS = 24 * 3600.0
DELIVERY_SECONDS = 60.0
"""The longest that one delivery may take, whatever the sink itself allows."""
LOOK_SECONDS = 30.0
"""The outbox is looked into this often when nobody says that there is something new."""
FAILURES_PER_ROUND = 3
"""After so many in a row the sink is left alone for a pause: each may take its whole timeout."""


def pause_seconds(failures: int) -> float:
    """How long to wait after so many failures: 1, 2, 4 … seconds, at most LONGEST_PAUSE_SECONDS."""
    return min(LONGEST_PAUSE_SECONDS, 2.0 ** min(failures - 1, 20))


def _attempts_within(seconds: float) -> int:
    attempts, waited = 1, 0.0
    while waited < seconds:
        waited += pause_seconds(attempts)
        attempts += 1
    return attempts


MOST_ATTEMPTS = _attempts_within(TRIED_FOR_SECONDS)
"""Attempts are counted, not hours: neither a clock that jumps nor a daemon that was down shortens the trying."""


class Courier:
    """One sink's deliveries. Every alert has its own pauses, so one that is refused holds up no other."""

    def __init__(self, sink: AlertSink, clock: Clock, outbox: Outbox, documents: DocumentStore) -> None:
        self.sink = sink
        self._clock = clock
        self._outbox = outbox
        self._documents = documents
        self._woken = asyncio.Event()
        self._closing = False
        self._failures = 0
        """In a row, of this sink."""
        self._arrived: set[str] = set()
        """Ids of alerts that were delivered and could not be marked so."""

    def wake(self) -> None:
        self._woken.set()

    def finish(self) -> None:
        """Makes `run` return after one more round."""
        self._closing = True
        self._woken.set()

    async def run(self) -> None:
        while True:
            self._woken.clear()
            last_round = self._closing
            try:
                pause = await self._round()
            except StoreError as error:
                log.warning("the alerts for %s can't be read or marked: %s", self.sink.name, error.message)
                pause = LOOK_SECONDS
            except Exception:
                log.exception("delivering alerts to %s failed", self.sink.name)
                pause = LOOK_SECONDS
            if last_round:
                return
            await self._clock.wait(self._woken, pause)

    async def deliver_unrecorded(self, alert: Alert) -> None:
        """Tried once, with nothing written anywhere. If it is recorded later, it counts as delivered."""
        if await self._silence(alert):
            return
        error = await self._attempt(alert)
        if error is None:
            self._arrived.add(alert.id)
        else:
            log.error(
                "alert %s could not be recorded and not be delivered to %s: %s", alert.name, self.sink.name, error
            )

    async def _round(self) -> float:
        """Tries all that is due; answers after how many seconds the next is."""
        failed, next_at = 0, self._clock.now() + LOOK_SECONDS
        for delivery in await self._outbox.pending([self.sink.name]):
            if not self._due(delivery):
                next_at = min(next_at, delivery.next_at)
                continue
            if await self._settle(delivery):
                failed = self._failures = 0
                continue
            failed += 1
            self._failures += 1
            next_at = min(next_at, self._clock.now() + pause_seconds(delivery.attempts + 1))
            if failed == FAILURES_PER_ROUND:
                return min(LOOK_SECONDS, pause_seconds(self._failures))
        return max(0.0, next_at - self._clock.now())

    def _due(self, delivery: Delivery) -> bool:
        waiting = delivery.next_at - self._clock.now()
        # A longer wait than we ever ask for: the clock was set back.
        return waiting <= 0 or waiting > LONGEST_PAUSE_SECONDS

    async def _settle(self, delivery: Delivery) -> bool:
        """False when it has to be tried again."""
        alert, name = delivery.alert, self.sink.name
        if alert.id not in self._arrived:
            if silence := await self._silence(alert):
                await self._outbox.given_up(alert.id, name, error=silence)
                return True
            try:
                error = await self._attempt(alert)
            except AlertDeclined as declined:
                await self._outbox.given_up(alert.id, name, error=str(declined))
                return True
            if error is not None:
                return await self._failed(delivery, error)
            self._arrived.add(alert.id)
        try:
            await self._outbox.delivered(alert.id, name)
            self._arrived.discard(alert.id)
        except StoreError as problem:
            # A full disk is no reason to send it again; it is marked by a later round.
            log.warning("alert %s arrived at %s and can't be marked so: %s", alert.id, name, problem.message)
        return True

    async def _attempt(self, alert: Alert) -> str | None:
        """What went wrong; None when it arrived. Raises AlertDeclined."""
        try:
            async with asyncio.timeout(DELIVERY_SECONDS):
                await self.sink.deliver(alert)
        except AlertDeclined:
            raise
        except BluegreenError as error:
            return error.message
        except Exception as error:
            # Its message may quote an address, and an address may be a secret.
            return f"the sink failed with {type(error).__name__}"
        return None

    async def _failed(self, delivery: Delivery, error: str) -> bool:
        alert, name, attempts = delivery.alert, self.sink.name, delivery.attempts + 1
        if attempts >= MOST_ATTEMPTS:
            log.error("alert %s is given up for %s after %d attempts: %s", alert.id, name, attempts, error)
            await self._outbox.given_up(alert.id, name, error=error)
            return True
        level = logging.WARNING if attempts == 1 else logging.DEBUG
        log.log(level, "alert %s did not arrive at %s, trying on: %s", alert.id, name, error)
        next_at = self._clock.now() + pause_seconds(attempts)
        await self._outbox.failed(alert.id, name, error=error, next_at=next_at)
        return False

    async def _silence(self, alert: Alert) -> str:
        """Why nobody wants to hear it now. When that can't be read, people hear it."""
        try:
            return await silenced(self._documents, alert.name, self._clock.now())
        except (StoreError, KeyError, TypeError, ValueError):
            return ""
