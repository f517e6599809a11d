"""Waiting for a HAProxy that is being restarted."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from bluegreen.routers.haproxy.admin import RouterUnreachable

RETURN_TIMEOUT_SECONDS = 2.0
"""How long a change waits for a HAProxy that is being restarted."""

T = TypeVar("T")


async def returning(
    attempt: Callable[[], Awaitable[T]], timeout_seconds: float, *, give_up: Callable[[], bool] = lambda: False
) -> T:
    """Tries again while HAProxy is being restarted, then raises RouterUnreachable."""
    deadline = time.monotonic() + timeout_seconds
    while True:
        try:
            return await attempt()
        except RouterUnreachable:
            if time.monotonic() > deadline or give_up():
                raise
            await asyncio.sleep(0.005)
