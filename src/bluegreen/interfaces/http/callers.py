"""Who asks: doors write it into the ASGI scope, and nothing a client sends gets there."""

from __future__ import annotations

from starlette.types import Scope

from bluegreen.domain.access import Caller
from bluegreen.domain.errors import Unauthenticated

CALLER = "bluegreen.caller"
"""Key of the scope: the Caller. Missing for paths that need none."""
DOOR = "bluegreen.door"
"""Key of the scope: `socket`, `http` or `mcp`."""
STANDING = "bluegreen.standing"
"""Key of the scope: a function that raises Unauthenticated once the caller's token is over. Missing for the owner."""
CLOSING = "bluegreen.closing"
"""Key of the scope: an asyncio.Event that is set when the server wants to end."""

PUBLIC_PATHS = frozenset({"/healthz", "/readyz", "/docs", "/openapi.json"})
"""They tell nothing that is not in the documentation, but whether the daemon is well."""


def caller_of(scope: Scope) -> Caller:
    """Raises Unauthenticated when no door let this request in."""
    caller = scope.get(CALLER)
    if not isinstance(caller, Caller):
        raise Unauthenticated("authorization: this request came through no door")
    return caller


def require_standing(scope: Scope) -> None:
    """For an answer that lasts: raises Unauthenticated when the caller would not be let in any more."""
    if (check := scope.get(STANDING)) is not None:
        check()


def door_of(scope: Scope) -> str:
    return str(scope.get(DOOR, "none"))
