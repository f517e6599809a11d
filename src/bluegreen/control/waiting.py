"""Waiting for one of two things, by a clock that tests can turn."""

from __future__ import annotations

import asyncio

from bluegreen.control.ports import Clock


async def rest(clock: Clock, seconds: float, unless: asyncio.Event) -> None:
    """Returns after `seconds`, or as soon as the event is set."""
    if unless.is_set():
        return
    sleeper = asyncio.ensure_future(clock.sleep(seconds))
    woken = asyncio.ensure_future(unless.wait())
    try:
        await asyncio.wait({sleeper, woken}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        sleeper.cancel()
        woken.cancel()
