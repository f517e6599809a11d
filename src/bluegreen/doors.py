"""Every way into the daemon: the owner's unix socket, and on TCP, when it is configured, HTTP and MCP with tokens."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any

from bluegreen.control.authentication import Authenticator
from bluegreen.control.clock import SystemClock
from bluegreen.control.gate import Gate
from bluegreen.interfaces.http.api import build_api
from bluegreen.interfaces.http.doors import as_owner, with_tokens
from bluegreen.interfaces.http.server import Door, TcpDoor, running
from bluegreen.spec.configuration import Configuration
from bluegreen.spec.paths import daemon_socket, token_file
from bluegreen.stores.tokens import TokenFile


class Doors:
    """All of them lead to the same gate."""

    def __init__(self, gate: Gate, configuration: Configuration) -> None:
        self._gate = gate
        self._configuration = configuration
        self._tokens = TokenFile(token_file(configuration.daemon.state_dir))
        self._open = AsyncExitStack()

    async def open(self) -> None:
        """Raises AdapterError when an address is taken; then nothing is open."""
        settings = self._configuration.api
        mounts: dict[str, Any] = {}
        lifespans: list[Any] = []
        if settings.listen is not None:
            # Only then: importing the MCP library takes as long as all the rest of a start.
            from bluegreen.interfaces.mcp.http import build_mcp_app

            app, lifespan = build_mcp_app(self._gate, self._configuration.path, max_body_bytes=settings.max_body_bytes)
            mounts["/mcp"] = app
            lifespans.append(lifespan)
        api = build_api(
            self._gate,
            settings=settings,
            mounts=mounts,
            lifespans=lifespans,
        )
        try:
            await self._open.enter_async_context(running(api))
            if settings.listen is not None:
                limits = {"requests_per_second": settings.requests_per_second, "burst": settings.burst}
                authenticator = Authenticator(self._tokens, SystemClock(), **limits)  # type: ignore[arg-type]
                guarded = with_tokens(api, authenticator, settings=settings, gate=self._gate)
                await self._begin(TcpDoor(guarded, settings.listen, certificate=settings.certificate))
            await self._begin(Door(as_owner(api), daemon_socket(self._configuration.daemon.state_dir)))
        except BaseException:
            await self.close()
            raise

    async def _begin(self, door: Door | TcpDoor) -> None:
        await door.open()
        self._open.push_async_callback(door.close)

    async def close(self) -> None:
        """Answers what is under way."""
        await self._open.aclose()
        self._tokens.close()
