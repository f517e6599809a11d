"""HTTP for smoke tests and HTTP/2, made when first needed: importing httpx takes 80 ms."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx


class HttpTransports:
    """One httpx transport per protocol, and a new connection for each request.

    Transports instead of clients: no redirects, no proxies from the environment, and no cookies, which a client
    would carry from one replica to the next, as all of them have the same host.
    """

    def __init__(self) -> None:
        self._transports: dict[str, httpx.AsyncHTTPTransport] = {}

    def of(self, protocol: str) -> httpx.AsyncHTTPTransport:
        """`h2c` is HTTP/2 without TLS and without asking first; anything else is HTTP/1.1."""
        if protocol not in self._transports:
            self._transports[protocol] = _new_transport(http2=protocol == "h2c")
        return self._transports[protocol]

    async def aclose(self) -> None:
        transports = list(self._transports.values())
        self._transports.clear()
        for transport in transports:
            await transport.aclose()


def _new_transport(*, http2: bool) -> httpx.AsyncHTTPTransport:
    import httpx

    return httpx.AsyncHTTPTransport(
        # Replicas are spoken to without TLS; an empty context saves loading the machine's certificates.
        verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
        http1=not http2,
        http2=http2,
        trust_env=False,
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
    )
