"""Serves the API: on a unix socket that only its owner may open, and on TCP."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from bluegreen.domain.errors import AdapterError
from bluegreen.domain.model import Endpoint
from bluegreen.interfaces.http.callers import CLOSING
from bluegreen.interfaces.http.connections import bounded_protocol
from bluegreen.interfaces.http.limits import Limits

BACKLOG = 128
"""Connections accepted in one turn of the event loop: with more, a flood would hold up everything else."""
SHARE_OF_DESCRIPTORS = 4
"""Connections take at most one in so many of the file descriptors this process may have."""


@contextlib.asynccontextmanager
async def running(app: FastAPI) -> AsyncIterator[None]:
    """Enters the lifespans of what the API consists of, once for all its doors: open them inside."""
    async with app.router.lifespan_context(app):
        yield


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


def tcp_socket(address: Endpoint, limits: Limits) -> socket.socket:
    """A listening TCP socket. Raises AdapterError when the address is taken or is not of this machine."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    # With the protocol named: else asyncio does not set TCP_NODELAY, and answers wait for acknowledgements.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            # A client that is gone, or takes nothing, gives its connection back; those accepted inherit this.
            patience_milliseconds = int(limits.write_timeout_seconds * 1000)
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, patience_milliseconds)
        listener.bind((address.host, address.port))
        listener.listen(BACKLOG)
    except (OSError, OverflowError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or str(error)
        raise AdapterError(
            f"api.listen: {address} can't be listened on: {reason}",
            hint="Choose another port in [api] listen, or end what listens there",
        ) from error
    return listener


def _check_certificate(certificate: Path) -> None:
    """Raises AdapterError when it can't be used."""
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(certificate)
    except (OSError, ssl.SSLError) as error:
        reason = error.strerror or str(error) or "no certificate and key in it"
        raise AdapterError(
            f"api.certificate: {certificate} can't be used: {reason}",
            hint="It must be a PEM file with the certificate, its chain and the private key without a passphrase",
        ) from error


def max_connections(limits: Limits) -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return limits.max_connections
    return max(16, min(limits.max_connections, soft // SHARE_OF_DESCRIPTORS))


class _Listening:
    """A server that is open between `open` and `close`."""

    name = "door"

    def __init__(self, app: ASGIApp, limits: Limits | None, certificate: Path | None = None) -> None:
        self._limits = limits or Limits()
        self._closing = asyncio.Event()
        self._certificate = certificate
        config = uvicorn.Config(
            _with_closing(app, self._closing),
            http=bounded_protocol(self._limits, max_connections=max_connections(self._limits)),
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="off",
            backlog=BACKLOG,
            proxy_headers=False,
            timeout_graceful_shutdown=2,
            ssl_certfile=certificate,
        )
        self._server = _Server(config)
        self._task: asyncio.Task[None] | None = None

    def _listen(self) -> socket.socket:
        raise NotImplementedError

    async def open(self) -> None:
        """Raises AdapterError; nothing is open then."""
        if self._certificate is not None:
            _check_certificate(self._certificate)
        listener = self._listen()
        self._task = asyncio.create_task(self._server.serve(sockets=[listener]), name=self.name)

    async def close(self) -> None:
        """Ends event streams, answers what is under way, then closes."""
        if self._task is None:
            return
        self._closing.set()
        self._server.should_exit = True
        await asyncio.wait([self._task], timeout=5)


class Door(_Listening):
    """The unix socket of the owner."""

    def __init__(self, app: ASGIApp, path: Path, *, limits: Limits | None = None) -> None:
        super().__init__(app, limits)
        self._path = path

    def _listen(self) -> socket.socket:
        return private_socket(self._path)

    async def close(self) -> None:
        """As above, and removes the socket."""
        await super().close()
        if self._task is not None:
            self._path.unlink(missing_ok=True)


class TcpDoor(_Listening):
    """TCP, with TLS when there is a certificate: a PEM file with chain and key."""

    name = "tcp door"

    def __init__(
        self, app: ASGIApp, address: Endpoint, *, certificate: Path | None = None, limits: Limits | None = None
    ) -> None:
        super().__init__(app, limits, certificate)
        self.address = address
        """Where it listens; once open, with the port that was found when 0 was asked for."""

    def _listen(self) -> socket.socket:
        listener = tcp_socket(self.address, self._limits)
        self.address = Endpoint(self.address.host, listener.getsockname()[1])
        return listener


def _with_closing(app: ASGIApp, closing: asyncio.Event) -> ASGIApp:
    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, CLOSING: closing}, receive, send)

    return serve
