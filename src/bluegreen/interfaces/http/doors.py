"""Who comes in: the owner through the unix socket, tokens through TCP. Both are ASGI apps around the API."""

from __future__ import annotations

import ipaddress
import logging
from dataclasses import replace
from functools import partial
from typing import Protocol
from urllib.parse import urlsplit

from fastapi import FastAPI
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bluegreen.control.gate import Gate
from bluegreen.domain import rate_limit
from bluegreen.domain.access import OWNER, Caller
from bluegreen.domain.errors import AccessError, BluegreenError, Forbidden, Unauthenticated
from bluegreen.interfaces.http.callers import CALLER, DOOR, PUBLIC_PATHS, STANDING
from bluegreen.interfaces.http.limits import RequestCounts
from bluegreen.interfaces.http.problems import send_problem
from bluegreen.spec.configuration import ApiSettings

log = logging.getLogger(__name__)

MCP_PREFIX = "/mcp"
NO_TOKEN_PATHS = frozenset({"/healthz", "/readyz"})
"""Asked by machines that know an address and no name, so their Host is not looked at either."""
AUDITED_PER_SECOND = 1.0
AUDITED_BURST = 50
"""Of those that are turned away so many are written down: nobody fills the audit log from outside."""
ALLOWED_HEADERS = "Authorization, Content-Type, Idempotency-Key, Last-Event-ID, Mcp-Session-Id, Mcp-Protocol-Version"
EXPOSED_HEADERS = "Location, Retry-After, Idempotency-Replayed, Mcp-Session-Id"


class Authenticates(Protocol):
    def authenticate(self, authorization: str | None, door: str) -> Caller:
        """Raises Unauthenticated, RateLimited, StoreError."""
        ...

    def require_standing(self, caller: Caller) -> None:
        """Raises Unauthenticated when the caller's token is over, StoreError."""
        ...


def as_owner(app: ASGIApp) -> ASGIApp:
    """For the unix socket: whoever may open it is the user who started the daemon."""

    async def door(scope: Scope, receive: Receive, send: Send) -> None:
        # `bluegreen mcp` says that it is an agent's; whoever may open the socket is the owner in any case.
        name = "mcp" if scope["type"] == "http" and _header(scope, b"x-bluegreen-door") == "mcp" else OWNER.door
        await app({**scope, CALLER: replace(OWNER, door=name), DOOR: name}, receive, send)

    return door


def with_tokens(api: FastAPI, authenticator: Authenticates, *, settings: ApiSettings, gate: Gate) -> ASGIApp:
    """For TCP. Refuses what names another host (DNS rebinding), what a web page sends that is not listed, and who has
    no token; what it refuses is in the audit log."""
    return _TokenDoor(api, authenticator, settings, gate)


class _TokenDoor:
    def __init__(self, api: FastAPI, authenticator: Authenticates, settings: ApiSettings, gate: Gate) -> None:
        self._api = api
        self._authenticator = authenticator
        self._gate = gate
        self._clock = gate.fleet.ports.clock
        self._counts: RequestCounts = api.state.counts
        self._hosts = _host_names(settings)
        self._origins = frozenset(origin.lower() for origin in settings.origins)
        self._audit = rate_limit.full(self._clock.monotonic(), AUDITED_BURST)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            # There are no web sockets here, and the lifespan is entered once, by the composition root.
            return
        path = scope["path"]
        door = "mcp" if path == MCP_PREFIX or path.startswith(f"{MCP_PREFIX}/") else "http"
        scope = {**scope, DOOR: door}
        origin = ""
        try:
            if path not in NO_TOKEN_PATHS:
                origin = self._checked_origin(scope, self._checked_host(scope))
            if origin and scope["method"] == "OPTIONS" and _header(scope, b"access-control-request-method"):
                await self._preflight(origin, scope, receive, send)
                return
            if path not in PUBLIC_PATHS:
                caller = self._authenticator.authenticate(_header(scope, b"authorization"), door)
                scope |= {CALLER: caller, STANDING: partial(self._authenticator.require_standing, caller)}
        except BluegreenError as error:
            await self._refuse(error, scope, receive, send)
            return
        await self._api(scope, receive, _for_origin(origin, send) if origin else send)

    def _checked_host(self, scope: Scope) -> str:
        """The Host header. Raises Forbidden when it names another host than this API is called by."""
        host = _header(scope, b"host")
        if host is None or _name_in(host) not in self._hosts:
            raise Forbidden(
                f"Host: {(host or '')[:100]!r} is no name of this API",
                hint="The owner lists its names in [api] hosts",
            )
        return host

    def _checked_origin(self, scope: Scope, host: str) -> str:
        """The Origin header; empty without one, and for pages of this API itself."""
        origin = (_header(scope, b"origin") or "").lower()
        if not origin or origin == f"{scope['scheme']}://{host}".lower():
            return ""
        if origin not in self._origins:
            raise Forbidden(
                f"Origin: {origin[:100]!r} is no web page that may call this API",
                hint="The owner lists such pages in [api] origins",
            )
        return origin

    @staticmethod
    async def _preflight(origin: str, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {
            "Access-Control-Allow-Methods": "GET, POST, DELETE",
            "Access-Control-Allow-Headers": ALLOWED_HEADERS,
            "Access-Control-Max-Age": "600",
        }
        await Response(status_code=204, headers=headers)(scope, receive, _for_origin(origin, send))

    async def _refuse(self, error: BluegreenError, scope: Scope, receive: Receive, send: Send) -> None:
        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._counts.answered(scope[DOOR], message["status"])
            await send(message)

        await send_problem(error, scope, receive, counted)
        if isinstance(error, AccessError):
            await self._write_down(error, scope)

    async def _write_down(self, error: AccessError, scope: Scope) -> None:
        taken = rate_limit.take(self._audit, self._clock.monotonic(), rate=AUDITED_PER_SECOND, burst=AUDITED_BURST)
        self._audit = taken.bucket
        if not taken.allowed:
            return
        client = scope.get("client")
        who = f"unknown ({client[0]})" if client else "unknown"
        try:
            await self._gate.refused(f"{scope['method'][:20]} {scope['path'][:200]!a}", who, scope[DOOR], error)
        except Exception:
            log.exception("the audit log could not be written")


def _for_origin(origin: str, send: Send) -> Send:
    """Lets the page of this origin read the answer."""

    async def with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            more = [
                (b"access-control-allow-origin", origin.encode()),
                (b"access-control-expose-headers", EXPOSED_HEADERS.encode()),
                (b"vary", b"Origin"),
            ]
            message = {**message, "headers": [*message.get("headers", ()), *more]}
        await send(message)

    return with_headers


def _header(scope: Scope, name: bytes) -> str | None:
    """Raises Unauthenticated when it is there twice: which one counts must not be a matter of luck."""
    found = [value for key, value in scope["headers"] if key == name]
    if len(found) > 1:
        raise Unauthenticated(f"{name.decode()}: is given more than once", hint="Send it once")
    return found[0].decode("latin-1") if found else None


def _host_names(settings: ApiSettings) -> frozenset[str]:
    """What is configured, else what is listened on; a loopback address has a name too."""
    names = {name.lower() for name in settings.hosts}
    if not names and settings.listen is not None:
        names = {settings.listen.host.lower(), "localhost"}
    return frozenset(_plain(name) for name in names)


def _name_in(host: str) -> str:
    """The name or address in a Host header, without port, brackets and the dot at its end."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
    return _plain(name)


def _plain(name: str) -> str:
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        return name.removesuffix(".")
