"""MCP over standard input and output: `bluegreen mcp`, a bridge to the daemon's socket."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from pathlib import Path

from mcp.server.stdio import stdio_server

from bluegreen.interfaces.mcp.server import build_server
from bluegreen.interfaces.mcp.socket_backend import SocketBackend


def main(config_path: Path) -> int:
    """Serves until the client closes its end, or SIGINT or SIGTERM. Raises ConfigurationError, UsageError."""
    # Standard output belongs to the protocol.
    logging.basicConfig(
        stream=sys.stderr, level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    backend = SocketBackend(config_path)
    # A client that left needs no farewell.
    with contextlib.suppress(BrokenPipeError):
        asyncio.run(_serve(backend))
    return 0


async def _serve(backend: SocketBackend) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _leave)
    server = build_server(lambda _: backend)
    try:
        async with stdio_server() as (read_stream, write_stream):
            await server.run(read_stream, write_stream, server.create_initialization_options())
    except* BrokenPipeError as group:
        raise BrokenPipeError from group


def _leave() -> None:
    """At once: a thread is blocked in reading standard input and would keep the process alive, every answer was
    flushed when it was written, and nothing here must be undone."""
    sys.stderr.flush()
    os._exit(0)
