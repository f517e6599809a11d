"""The way to an engine: a socket of this machine, TCP with TLS, or another machine's socket through SSH."""

from __future__ import annotations

import asyncio
import socket
import ssl
from pathlib import Path

import aiohttp
from aiodocker import Docker

from bluegreen.domain.errors import RuntimeFailure
from bluegreen.runtimes.docker.ssh_tunnel import SshTunnel
from bluegreen.runtimes.docker.tls import TlsFiles, tls_files
from bluegreen.spec.configuration import RuntimeSettings
from bluegreen.spec.engine_host import on_loopback, parse_engine_host
from bluegreen.spec.paths import run_directory

LOOPBACK = "127.0.0.1"


class Connection:
    """Opened when the engine is first asked, and again after it was away.

    `address` is where ports of containers are published and reached; "" stands for 127.0.0.1, of an engine on another
    machine for that machine's address. `directory` is private and its path short; ssh alone needs it.
    """

    def __init__(
        self, host: str, *, address: str = "", tls: TlsFiles | None = None, directory: Path | None = None
    ) -> None:
        self.host = host
        self._parsed = parse_engine_host(host)
        self._tls = tls
        self._given = address
        self._resolved = "" if self._parsed.is_elsewhere else LOOPBACK
        self._client: Docker | None = None
        self._connector: aiohttp.BaseConnector | None = None
        self._tunnel = None
        if self._parsed.kind == "ssh":
            if directory is None:
                raise ValueError("ssh needs a directory for its socket")
            self._tunnel = SshTunnel(self._parsed, directory)

    @property
    def is_elsewhere(self) -> bool:
        """Whether the engine's machine is looked at through the network alone. A given address says so too: a socket
        of this machine may lead to another one."""
        return bool(self._given) or self._parsed.is_elsewhere

    @property
    def address(self) -> str:
        """Known once it was open."""
        return self._given or self._resolved

    @property
    def tunnel(self) -> SshTunnel | None:
        return self._tunnel

    async def open(self, timeout: aiohttp.ClientTimeout) -> Docker:
        """Raises RuntimeFailure."""
        if self._tunnel is not None:
            await self._tunnel.ready()
        if not self.address:
            self._resolved = await self._resolve()
        if self._client is None:
            url, self._connector = self._connect()
            session = aiohttp.ClientSession(connector=self._connector, timeout=timeout)
            self._client = Docker(url=url, session=session, connector=self._connector, timeout=timeout)
        return self._client

    async def aclose(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.close()
            await client.session.close()
        if self._tunnel is not None:
            await self._tunnel.aclose()

    def _connect(self) -> tuple[str, aiohttp.BaseConnector]:
        """The connector is always ours: without one, variables of the environment would decide on TLS."""
        if self._tunnel is not None:
            return "unix://localhost", aiohttp.UnixConnector(str(self._tunnel.socket))
        if self._parsed.kind == "unix":
            return "unix://localhost", aiohttp.UnixConnector(self._parsed.path)
        host = f"[{self._parsed.host}]" if ":" in self._parsed.host else self._parsed.host
        if self._tls is None:
            return f"http://{host}:{self._parsed.port}", aiohttp.TCPConnector(socket_factory=watched_socket)
        context = self._tls.context()
        return f"https://{host}:{self._parsed.port}", aiohttp.TCPConnector(ssl=context, socket_factory=watched_socket)

    async def _resolve(self) -> str:
        name = await self._tunnel.real_host() if self._tunnel is not None else self._parsed.host
        if on_loopback(name):
            return LOOPBACK
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(name, None, family=socket.AF_INET, type=socket.SOCK_STREAM)
        except OSError as problem:
            raise RuntimeFailure(
                f"the address of the Docker Engine's machine, {name}, can't be found: {problem.strerror}",
                hint='Say under which address its containers are reached: [runtime] address = "10.0.0.5"',
            ) from problem
        return str(found[0][4][0])

    def unreachable(self, problem: BaseException) -> RuntimeFailure:
        """What to say when a request got no answer."""
        why, hint = self._reason(problem)
        said = f" (ssh: {self._tunnel.last_words})" if self._tunnel and self._tunnel.last_words else ""
        return RuntimeFailure(f"the Docker Engine at {self.host} does not answer: {why}{said}", hint=hint)

    def _reason(self, problem: BaseException) -> tuple[str, str]:
        causes = _causes(problem)
        if any(isinstance(cause, TimeoutError) for cause in causes):
            return "it did not answer in time", _START
        # aiohttp's own error of that kind says nothing of its own.
        refused = (cause for cause in causes if isinstance(cause, ssl.SSLCertVerificationError))
        verification = next((cause for cause in refused if hasattr(cause, "verify_message")), None)
        if verification is not None:
            return (
                f"its certificate is not accepted: {verification.verify_message}",
                "[runtime] tls_ca must be the authority that signed it, and the host one of its names.",
            )
        if any(isinstance(cause, (ssl.SSLError, ConnectionResetError)) for cause in causes) and self._tls is not None:
            return (
                f"TLS failed: {_text(problem)}",
                "[runtime] tls_certificate must be signed by the authority that the engine trusts (--tlscacert).",
            )
        return _text(problem), _START


def watched_socket(address: aiohttp.AddrInfoType) -> socket.socket:
    """One whose other end is looked after: on a stream of events nothing may come for hours, and without this a machine
    that lost its power would look like one where nothing happens. Given up after half a minute."""
    family, kind, protocol, _, _ = address
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 15)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 30_000)
    return made


def connection_of(settings: RuntimeSettings, state_directory: Path) -> Connection:
    """Raises ConfigurationError when there is no private directory for the socket of ssh."""
    ssh = parse_engine_host(settings.host).kind == "ssh"
    directory = run_directory(state_directory) if ssh else None
    return Connection(settings.host, address=settings.address, tls=tls_files(settings), directory=directory)


_START = "Start it, or name another one in [runtime] host. Containers that run are not touched."


def _text(problem: BaseException) -> str:
    return getattr(problem, "message", "") or str(problem) or type(problem).__name__


def _causes(problem: BaseException) -> list[BaseException]:
    found: list[BaseException] = []
    todo: list[BaseException | None] = [problem]
    while todo:
        cause = todo.pop()
        if cause is not None and cause not in found:
            found.append(cause)
            todo += [cause.__cause__, cause.__context__, getattr(cause, "certificate_error", None)]
    return found
