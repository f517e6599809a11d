"""The shape of `[alerts]`."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from bluegreen.spec import values
from bluegreen.spec.table import Table

ADDRESS_PATTERN = r"^[A-Za-z][A-Za-z0-9+.-]*://"
NAME_PATTERN = r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"
NAME_MAX_LENGTH = 40


def _address(value: str) -> str:
    # The address itself is not repeated: it often holds a secret.
    if not re.match(ADDRESS_PATTERN, value) or re.search(r"[\s\0]", value):
        raise ValueError("must be an address with a scheme, such as https:// or mailto://")
    return value


def _name(value: str) -> str:
    if len(value) > NAME_MAX_LENGTH or not re.fullmatch(NAME_PATTERN.strip("^$"), value):
        raise ValueError(f"the name of a sink has a-z, 0-9 and - in it, at most {NAME_MAX_LENGTH}, a - in the middle")
    return value


Address = Annotated[str, AfterValidator(_address), Field(json_schema_extra={"pattern": ADDRESS_PATTERN})]
SinkName = Annotated[
    str, AfterValidator(_name), Field(json_schema_extra={"pattern": NAME_PATTERN, "maxLength": NAME_MAX_LENGTH})
]


class AlertSinkTable(Table):
    """One receiver of alerts."""

    kind: Literal["webhook", "alertmanager", "apprise", "file"] = Field(description="What the receiver is.")
    name: SinkName | None = Field(
        default=None, description="What the receiver is called in lists of alerts. Not set: its kind."
    )
    url: Address | None = Field(
        default=None,
        description="Its address: http(s) for a webhook and for Alertmanager, one of Apprise's otherwise.",
    )
    url_env: values.EnvironmentName | None = Field(
        default=None, description="Name of the environment variable of the daemon that holds that address."
    )
    secret_env: values.EnvironmentName | None = Field(
        default=None, description="Name of the environment variable whose text signs what a webhook gets."
    )
    path: values.NonemptyText | None = Field(
        default=None, description="The file that gets a line for each alert; relative to the configuration."
    )
    min_severity: Literal["info", "warning", "critical"] = Field(
        default="info", description="The least severe alerts that it gets."
    )


class AlertsTable(Table):
    """Who is told when something needs a person."""

    webhook_url: values.WebAddress | None = Field(
        default=None, description="Address that each alert is posted to as JSON."
    )
    webhook_url_env: values.EnvironmentName | None = Field(
        default=None, description="Name of the environment variable of the daemon that holds that address."
    )
    sink: list[AlertSinkTable] = Field(default=[], max_length=32, description="Further receivers of alerts.")
