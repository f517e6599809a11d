"""The way back: a rollback moves the traffic first and is recorded as soon as that is possible."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bluegreen.control.executor import Executor
from bluegreen.control.ports import Clock
from bluegreen.domain import events as e
from bluegreen.domain.actions import SwitchTraffic
from bluegreen.domain.deployment import Deployment, route_of
from bluegreen.domain.errors import BluegreenError, IllegalEvent, Refused, StoreError

log = logging.getLogger(__name__)

RECORD_PATIENCE_SECONDS = 1.0
"""How long a rollback waits for its record before it answers; the traffic is back long before."""


@dataclass(frozen=True, slots=True)
class Done:
    """How a command of a person ended. `recorded` is false when the log could not be written in time."""

    deployment: Deployment
    milliseconds: float = 0.0
    recorded: bool = True


class WayBack:
    """Of one service. Neither a lock nor the log is waited for before the switch. Until it is recorded the walk of
    the deployment rests, with the traffic where it belongs."""

    def __init__(
        self,
        service: str,
        *,
        executor: Executor,
        clock: Clock,
        live: Mapping[str, Deployment],
        record: Callable[[str, Sequence[e.Event]], Awaitable[Deployment]],
        hold: Callable[[str, str], None],
        wake: Callable[[], None],
    ) -> None:
        self._service = service
        self._executor = executor
        self._clock = clock
        self._live = live
        self._record = record
        self._hold = hold
        self._wake = wake
        self._taken: set[str] = set()
        self._recording: set[asyncio.Task[None]] = set()

    def is_taken(self, deployment_id: str) -> bool:
        """And not recorded yet."""
        return deployment_id in self._taken

    def tasks(self) -> set[asyncio.Task[Any]]:
        return set(self._recording)

    async def take(self, deployment: Deployment, requested: e.RollbackRequested) -> Done:
        """Raises Refused, and RouterError when the router did not switch; then it is tried until it does."""
        if not deployment.can_roll_back or deployment.blue is None:
            raise Refused(f"deployment {deployment.id} is {deployment.phase}: there is nothing to switch back to")
        if deployment.id in self._taken:
            return Done(deployment)
        self._taken.add(deployment.id)
        events: list[e.Event] = [requested]
        try:
            switched = await self._executor.switch(self._service, SwitchTraffic(route_of(deployment.blue), None))
            events.append(switched)
        except BluegreenError as error:
            log.error("rollback of %s: the router did not switch, trying on: %s", deployment.id, error.message)
            raise
        finally:
            recording = asyncio.create_task(self._write_down(deployment.id, events))
            self._recording.add(recording)
            recording.add_done_callback(self._recording.discard)
        # Waited for directly: the answer goes out before the checks that the new phase begins with.
        patience = asyncio.ensure_future(self._clock.sleep(RECORD_PATIENCE_SECONDS))
        try:
            await asyncio.wait({recording, patience}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            patience.cancel()
        return Done(self._live.get(deployment.id, deployment), switched.milliseconds, recording.done())

    async def _write_down(self, deployment_id: str, events: Sequence[e.Event]) -> None:
        try:
            while True:
                try:
                    await self._record(deployment_id, events)
                    return
                except StoreError as error:
                    self._hold(deployment_id, error.message)
                    log.error("rollback of %s is not recorded yet: %s", deployment_id, error.message)
                    await self._clock.sleep(1.0)
                except IllegalEvent as error:
                    log.warning("rollback of %s needs no record: %s", deployment_id, error.message)
                    return
        finally:
            self._taken.discard(deployment_id)
            self._wake()
