"""Whether a container listens: read in its network where the engine is on this machine, else tried from here."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from bluegreen.domain.model import Endpoint
from bluegreen.runtimes.docker.inside import listens_inside

Container = Mapping[str, Any]
Listens = Callable[[Container, Endpoint, int], bool]
"""Of a container that runs, where it is published, and the port inside."""

CONNECT_SECONDS = 1.0
HOLD_SECONDS = 0.25
"""How long a connection must stay open. The engine's proxy accepts before the container does, and closes a
connection that the container refused: of 600 after 0.1 ms in the middle, and 36 ms at most on an overloaded machine."""
FRESH_SECONDS = 5.0
"""How long "it listens" is believed. "It does not" is looked at again whenever somebody asks."""
FORGOTTEN_SECONDS = 60.0
BELIEVED_SECONDS = 600.0


class Listening(Protocol):
    async def look(self, containers: Iterable[tuple[Container, Endpoint]]) -> None:
        """Before `__call__` is asked about containers that run."""

    def __call__(self, container: Container, endpoint: Endpoint, port: int) -> bool: ...

    async def aclose(self) -> None: ...


class Inside:
    """For an engine of this machine. Nothing is sent to the container. That a run of it listens is believed for a
    while: the kernel takes milliseconds for a table of sockets, and one that stops listening fails its health checks.
    """

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._heard: dict[tuple[str, int, int], float] = {}

    async def look(self, containers: Iterable[tuple[Container, Endpoint]]) -> None: ...

    def __call__(self, container: Container, endpoint: Endpoint, port: int) -> bool:
        run, now = (str(container["State"]["StartedAt"]), int(container["State"]["Pid"]), port), self._monotonic()
        if now - self._heard.get(run, -BELIEVED_SECONDS) < BELIEVED_SECONDS:
            return True
        if not listens_inside(run[1], port):
            return False
        self._heard = {known: at for known, at in self._heard.items() if now - at < BELIEVED_SECONDS} | {run: now}
        return True

    async def aclose(self) -> None: ...


@dataclass(slots=True)
class _Verdict:
    run: tuple[str, Endpoint]
    listens: bool
    seen_at: float
    asked_at: float


class FromHere:
    """For an engine of another machine. The first answer about a run of a container is waited for, later ones are
    renewed beside: however often it is asked, one connection at a time is made to each."""

    def __init__(self) -> None:
        self._verdicts: dict[str, _Verdict] = {}
        self._looking: dict[str, asyncio.Task[None]] = {}

    async def look(self, containers: Iterable[tuple[Container, Endpoint]]) -> None:
        now = asyncio.get_running_loop().time()
        first = []
        for container, endpoint in containers:
            known = self._verdicts.get(container["Id"])
            new = known is None or known.run != _run(container, endpoint)
            if known is not None:
                known.asked_at = now
            if new or known is None or not known.listens or now - known.seen_at > FRESH_SECONDS:
                task = self._looking.get(container["Id"])
                if task is None:
                    task = self._looking[container["Id"]] = asyncio.create_task(self._look(container, endpoint))
                if new:
                    first.append(task)
        if first:
            await asyncio.wait(first)
        self._forget(now)

    def __call__(self, container: Container, endpoint: Endpoint, port: int) -> bool:
        known = self._verdicts.get(container["Id"])
        return known is not None and known.run == _run(container, endpoint) and known.listens

    async def aclose(self) -> None:
        tasks = list(self._looking.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _look(self, container: Container, endpoint: Endpoint) -> None:
        try:
            listens = await stays_open(endpoint)
            now = asyncio.get_running_loop().time()
            self._verdicts[container["Id"]] = _Verdict(_run(container, endpoint), listens, now, now)
        finally:
            del self._looking[container["Id"]]

    def _forget(self, now: float) -> None:
        for known in [known for known, it in self._verdicts.items() if now - it.asked_at > FORGOTTEN_SECONDS]:
            del self._verdicts[known]


async def stays_open(endpoint: Endpoint) -> bool:
    """Whether a connection is accepted and not closed at once by a proxy that has nobody behind it."""
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as connection:
        connection.setblocking(False)
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await loop.sock_connect(connection, (endpoint.host, endpoint.port))
        except OSError:  # A timeout is one too.
            return False
        try:
            async with asyncio.timeout(HOLD_SECONDS):
                return bool(await loop.sock_recv(connection, 1))
        except TimeoutError:
            return True
        except OSError:
            return False


def _run(container: Container, endpoint: Endpoint) -> tuple[str, Endpoint]:
    return container["State"]["StartedAt"], endpoint
