"""The deployments of a service, page by page."""

from __future__ import annotations

import base64
import binascii
import json

from starlette.requests import Request
from starlette.responses import Response

from bluegreen.control.gate import Gate
from bluegreen.control.schemas import to_json
from bluegreen.domain.errors import UsageError
from bluegreen.interfaces.http.arguments import QueryField, from_query, refuse_body
from bluegreen.interfaces.http.callers import caller_of
from bluegreen.interfaces.http.resources import DeploymentPageView

PATH = "/v1/services/{service}/deployments"
DEFAULT_LIMIT = 20
LARGEST_PAGE = 200
NEWER = 20
REACH = 1000
"""How far back pages go: as far as the operation `history` does."""

FIELDS = {
    "limit": QueryField(
        "limit",
        "limit",
        {
            "type": "integer",
            "minimum": 1,
            "maximum": LARGEST_PAGE,
            "default": DEFAULT_LIMIT,
            "description": f"At most this many deployments, newest first, 1 to {LARGEST_PAGE}.",
        },
    ),
    "cursor": QueryField(
        "cursor",
        "cursor",
        {"type": "string", "default": "", "description": "`next` of the page before. Not given: the first page."},
    ),
}


class HistoryPages:
    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    async def answer(self, request: Request) -> Response:
        """Raises what the operation `history` raises, and UsageError for a cursor that no page gave out."""
        refuse_body(request)
        given = from_query(request.scope["query_string"], FIELDS)
        limit = given.get("limit", DEFAULT_LIMIT)
        if not 1 <= limit <= LARGEST_PAGE:
            raise UsageError(f"limit: must be between 1 and {LARGEST_PAGE}, got {limit}")
        service, cursor = request.path_params["service"], given.get("cursor", "")
        position, last_seen = _from_cursor(cursor) if cursor else (0, "")
        # Deployments that began since are in front of those already seen; a few are allowed for before reading all.
        for reach in (min(position + limit + (NEWER if cursor else 1), REACH), REACH):
            asked = json.dumps({"service": service, "limit": reach}).encode()
            view = await self._gate.call("history", asked, caller_of(request.scope))
            ids = [deployment.id for deployment in view.deployments]
            if not last_seen or last_seen in ids or len(ids) < reach:
                break
        if last_seen and last_seen not in ids:
            raise UsageError(
                f"cursor: what it names is not among the last {REACH} deployments of this service",
                hint="Begin again without a cursor",
            )
        begin = ids.index(last_seen) + 1 if last_seen else 0
        end = begin + limit
        more = _to_cursor(end, ids[end - 1]) if end < len(ids) else None
        page = DeploymentPageView(service, view.deployments[begin:end], more)
        return Response(to_json(DeploymentPageView, page), media_type="application/json")


def _to_cursor(position: int, last_seen: str) -> str:
    return base64.urlsafe_b64encode(f"{position}:{last_seen}".encode()).decode().rstrip("=")


def _from_cursor(cursor: str) -> tuple[int, str]:
    """How many came before, and the last of them. Raises UsageError."""
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        position, colon, last_seen = base64.b64decode(padded, altchars=b"-_", validate=True).decode().partition(":")
        if colon and last_seen and position.isascii() and position.isdigit() and len(position) < 6:
            return int(position), last_seen
    except (ValueError, binascii.Error):
        pass
    raise UsageError("cursor: must be `next` of the page before, unchanged", hint="Begin again without a cursor")
