"""Looks after the router all the time, for nobody else does while no deployment is under way."""

from __future__ import annotations

import asyncio
import contextlib
import logging

from bluegreen.control.ports import Clock, TrafficRouter
from bluegreen.domain.errors import BluegreenError

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0


class RouterKeeper:
    def __init__(self, router: TrafficRouter, clock: Clock) -> None:
        self._router = router
        self._clock = clock
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="router keeper")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        while True:
            try:
                await self._router.keep()
            except BluegreenError as error:
                log.error("the router could not be brought back, trying on: %s", error.message)
            except Exception:
                log.exception("looking after the router failed")
            await self._clock.sleep(LOOK_SECONDS)
