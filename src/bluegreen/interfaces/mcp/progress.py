"""Tells a client that waits for a deployment what happens meanwhile: one notification for each event."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from bluegreen.control.views import EventView
from bluegreen.domain.errors import BluegreenError
from bluegreen.interfaces.cli.decoding import decode
from bluegreen.interfaces.cli.sentences import sentence
from bluegreen.interfaces.mcp.backend import Backend

NEWS_WAIT_SECONDS = 10.0
"""How long one question for news stays open."""

Report = Callable[[float, float | None, str | None], Awaitable[None]]
"""Takes the progress, the total (None: nobody knows how many events there will be) and a sentence."""


async def wait_with_progress(backend: Backend, arguments: Mapping[str, Any], report: Report) -> dict[str, Any]:
    """What the operation `wait` answers, after every event up to then was reported. Raises what `wait` raises."""
    follower = _Follower(backend, arguments.get("deployment"), report)
    waiting = asyncio.create_task(backend.call("wait", arguments))
    try:
        # An id that does not exist, a daemon that went away: waiting for it says so too.
        with contextlib.suppress(BluegreenError):
            await follower.follow(waiting)
        answer = await waiting
        with contextlib.suppress(BluegreenError):
            await follower.tell(await follower.news(0.0))
        return answer
    finally:
        waiting.cancel()


class _Follower:
    """Reports the events of one deployment, each once, counted from 1."""

    def __init__(self, backend: Backend, deployment: Any, report: Report) -> None:
        self._backend = backend
        self._deployment = deployment
        self._report = report
        self._seen = 0
        self._count = 0

    async def follow(self, waiting: asyncio.Task[Any]) -> None:
        """Returns when `waiting` is done or the deployment has ended. Raises BluegreenError."""
        while not waiting.done():
            asking = asyncio.create_task(self.news(NEWS_WAIT_SECONDS))
            try:
                await asyncio.wait({waiting, asking}, return_when=asyncio.FIRST_COMPLETED)
                if not asking.done():
                    return
                news = asking.result()
            finally:
                asking.cancel()
            await self.tell(news)
            if news["ended"]:
                return

    async def news(self, wait_seconds: float) -> dict[str, Any]:
        question = {"deployment": self._deployment, "after": self._seen, "wait_seconds": wait_seconds}
        return await self._backend.call("events", question)

    async def tell(self, news: Mapping[str, Any]) -> None:
        for data in news["events"]:
            event = decode(EventView, data)
            self._seen, self._count = event.sequence, self._count + 1
            await self._report(float(self._count), None, f"{event.kind}: {sentence(event)}")
