"""`/healthz`, `/readyz` and `/metrics`: what machines ask of the daemon itself."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable

from bluegreen.control.fleet import Fleet
from bluegreen.control.ports import DocumentStore
from bluegreen.domain.errors import BluegreenError

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 3.0
FRESH_SECONDS = 2.0
KIND = "readiness"

Ready = Callable[[], Awaitable[str]]
"""What is not ready, as a sentence without secrets; empty when everything is."""


class Readiness:
    """Asks the router and writes to the store, at most every two seconds however many ask."""

    def __init__(self, fleet: Fleet, documents: DocumentStore) -> None:
        self._fleet = fleet
        self._documents = documents
        self._looked_at = -math.inf
        self._problem = ""
        self._looking = asyncio.Lock()

    async def __call__(self) -> str:
        clock = self._fleet.ports.clock
        async with self._looking:
            if clock.monotonic() - self._looked_at >= FRESH_SECONDS:
                problems = await asyncio.gather(
                    self._in_time(self._router(), "the router does not answer"),
                    self._in_time(self._store(), "the event store can't be written"),
                )
                self._problem = "; ".join(filter(None, problems))
                self._looked_at = clock.monotonic()
            return self._problem

    @staticmethod
    async def _in_time(question: Awaitable[bool], otherwise: str) -> str:
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                return "" if await question else otherwise
        except (BluegreenError, TimeoutError) as error:
            # Whoever asks needs no token, so details go to the log alone.
            log.warning("not ready: %s (%s)", otherwise, error)
            return otherwise

    async def _router(self) -> bool:
        return (await self._fleet.ports.router.health()).alive

    async def _store(self) -> bool:
        await self._documents.put(KIND, "probe", {"at": self._fleet.ports.clock.now()})
        return True
