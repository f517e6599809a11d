"""What can be read by address: the configuration, the services, and the event logs of deployments."""

from __future__ import annotations

import contextlib
import re
from urllib.parse import quote, unquote

import mcp_types as types

from bluegreen.domain.errors import DaemonUnreachable, UnknownName
from bluegreen.interfaces.mcp.backend import Backend
from bluegreen.interfaces.mcp.tools import to_text

CONFIGURATION = "bluegreen://configuration"
SERVICES = "bluegreen://services"
SERVICE = "bluegreen://services/{name}"
EVENTS = "bluegreen://deployments/{id}/events"
MAX_LISTED_DEPLOYMENTS = 50

_SERVICE_PATTERN = re.compile(r"bluegreen://services/([^/]+)")
_EVENTS_PATTERN = re.compile(r"bluegreen://deployments/([^/]+)/events")
_JSON = "application/json"
_TOML = "application/toml"

_FIXED = (
    types.Resource(
        uri=CONFIGURATION,
        name="configuration",
        title="Configuration",
        description="The daemon's configuration file, with secrets as ***: what each service runs and how.",
        mime_type=_TOML,
    ),
    types.Resource(
        uri=SERVICES,
        name="services",
        title="Services",
        description="The names of all services.",
        mime_type=_JSON,
    ),
)

TEMPLATES = (
    types.ResourceTemplate(
        uri_template=SERVICE,
        name="service",
        title="A service",
        description="Slots, traffic and newest deployment of one service, as bluegreen_status tells it.",
        mime_type=_JSON,
    ),
    types.ResourceTemplate(
        uri_template=EVENTS,
        name="deployment-events",
        title="Event log of a deployment",
        description="Every decision of a deployment and what it was based on, in order.",
        mime_type=_JSON,
    ),
)


async def listed(backend: Backend) -> list[types.Resource]:
    """The fixed ones, then the event log of each service's newest deployment, newest first. Without a daemon only
    the fixed ones: a client that lists resources when it starts should start all the same."""
    services = []
    with contextlib.suppress(DaemonUnreachable):
        services = (await backend.call("status", {}))["services"]
    deployments = [service["deployment"] for service in services if service["deployment"] is not None]
    deployments.sort(key=lambda deployment: -deployment["requested_at"])
    return [*_FIXED, *map(_log_of, deployments[:MAX_LISTED_DEPLOYMENTS])]


def _log_of(deployment: dict[str, str]) -> types.Resource:
    return types.Resource(
        uri=EVENTS.replace("{id}", quote(deployment["id"], safe="")),
        name=f"{deployment['id']} events",
        title=f"Event log of {deployment['id']}",
        description=f"{deployment['service']} to {deployment['version']}: {deployment['phase']}",
        mime_type=_JSON,
    )


async def read(backend: Backend, uri: str) -> types.ReadResourceResult:
    """Raises UnknownName for an address that leads nowhere, and what the operations raise."""
    mime_type = _TOML if uri == CONFIGURATION else _JSON
    text = await _text_of(backend, uri)
    return types.ReadResourceResult(contents=[types.TextResourceContents(uri=uri, mime_type=mime_type, text=text)])


async def _text_of(backend: Backend, uri: str) -> str:
    if uri == CONFIGURATION:
        return await backend.configuration()
    if uri == SERVICES:
        return to_text(await backend.call("services", {}))
    if found := _SERVICE_PATTERN.fullmatch(uri):
        return to_text(await backend.call("status", {"service": unquote(found[1])}))
    if found := _EVENTS_PATTERN.fullmatch(uri):
        return to_text(await backend.call("events", {"deployment": unquote(found[1])}))
    raise UnknownName(
        f"uri: there is no resource {uri!r}", hint=f"There are: {', '.join((CONFIGURATION, SERVICES, SERVICE, EVENTS))}"
    )
