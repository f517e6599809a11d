"""The real clock."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress


class SystemClock:
    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def wait(self, event: asyncio.Event, seconds: float) -> None:
        """Without a task of its own: hundreds of monitors wait most of the time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await event.wait()
