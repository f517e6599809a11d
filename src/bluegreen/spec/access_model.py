"""The tables of `bluegreen.toml` that say who may do what: `[api]` and `[policy]`."""

from __future__ import annotations

from pydantic import Field

from bluegreen.spec import access_values as values
from bluegreen.spec.configuration import ApiSettings, PolicySettings
from bluegreen.spec.table import Table
from bluegreen.spec.values import Listen, NonemptyText

_API = ApiSettings()
_POLICY = PolicySettings()
MIB_BYTES = 2**20


class ApiTable(Table):
    """The door for other machines and agents: HTTP and MCP, with tokens."""

    listen: Listen | None = Field(
        default=None, description="Address and port of the API. Not set: only the unix socket, for its owner."
    )
    certificate: NonemptyText | None = Field(
        default=None,
        description="PEM file with certificate chain and key. The API speaks TLS when it is set.",
    )
    origins: list[values.Origin] = Field(
        default=[], max_length=64, description="Web pages that may call the API, by their Origin header."
    )
    hosts: list[values.HostName] = Field(
        default=[],
        max_length=64,
        description="Names that clients may call the API by, without port. Empty: the one of listen, and localhost.",
    )
    requests_per_second: float = Field(
        default=_API.requests_per_second,
        gt=0,
        le=100_000,
        description="How often each token may ask, in the long run.",
    )
    burst: int = Field(
        default=_API.burst, ge=1, le=100_000, description="How often each token may ask at once, after a pause."
    )
    max_body_bytes: int = Field(
        default=_API.max_body_bytes, ge=1024, le=64 * MIB_BYTES, description="How large a request may be."
    )


class FleetPolicyTable(Table):
    """What holds for every service and every caller."""

    images: list[values.ImagePattern] | None = Field(
        default=None,
        min_length=1,
        max_length=256,
        description='Images that may be deployed, such as "registry/*". Not set: all.',
    )
    orphan_seconds: float = Field(
        default=_POLICY.orphan_seconds,
        ge=1,
        le=30 * 86_400,
        description="How long a version that an agent submitted may wait for its traffic before it is stopped.",
    )
