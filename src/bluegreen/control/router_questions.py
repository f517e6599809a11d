"""Many who ask about the router at the same time share an answer, which is never older than their question."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from bluegreen.control.ports import RouterHealth, TrafficRouter
from bluegreen.control.router_view import RouterView


class RouterQuestions:
    """Who asks while a question is under way waits for the next one, which is then begun for all of them. What the walk
    itself asks goes past this: readers that wait for a router that hangs must not hold it up."""

    def __init__(self, router: TrafficRouter, view: RouterView) -> None:
        self._router = router
        self._view = view
        self._running: asyncio.Task[RouterHealth] | None = None
        self._next: asyncio.Task[RouterHealth] | None = None
        self._services: set[str] = set()

    async def ask(self, services: Iterable[str]) -> RouterHealth:
        """Routes and counters of these services are then known as they are now. Says how the router is."""
        self._services.update(services)
        if self._next is None:
            self._next = asyncio.create_task(self._ask_after(self._running), name="router questions")
        # One who stops waiting must not take the answer from the others.
        return await asyncio.shield(self._next)

    async def _ask_after(self, before: asyncio.Task[RouterHealth] | None) -> RouterHealth:
        if before is not None:
            await asyncio.wait([before])
        self._running, self._next = self._next, None
        services, self._services = sorted(self._services), set()
        # Side by side: a router that hangs costs one patience, not two.
        health, _ = await asyncio.gather(self._router.health(), self._view.refresh_for(services))
        return health
