"""Serves the app on a unix socket that only its owner may open."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import uvicorn
from starlette.applications import Starlette

from bluegreen.domain.errors import AdapterError


class _Server(uvicorn.Server):
    """Leaves signals to the composition root."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def private_socket(path: Path) -> socket.socket:
    """A listening unix socket with mode 0600 from its first moment. Raises AdapterError."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    previous = os.umask(0o177)
    try:
        listener.bind(str(path))
    except OSError as error:
        raise AdapterError(f"the socket {path} can't be made: {error.strerror or error}") from error
    finally:
        os.umask(previous)
    listener.listen(256)
    return listener


class Door:
    """The running server."""

    def __init__(self, app: Starlette, path: Path) -> None:
        self._path = path
        config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=2)
        self._server = _Server(config)
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        listener = private_socket(self._path)
        self._task = asyncio.create_task(self._server.serve(sockets=[listener]), name="door")

    async def close(self) -> None:
        """Answers what is under way, then closes and removes the socket."""
        if self._task is None:
            return
        self._server.should_exit = True
        await asyncio.wait([self._task], timeout=5)
        self._path.unlink(missing_ok=True)
