"""Arguments and options that several commands share."""

from __future__ import annotations

import getpass
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from bluegreen.domain.errors import BluegreenError
from bluegreen.interfaces.cli.location import CONFIG_VARIABLE, DEFAULT_CONFIG, default_config, service_names

if TYPE_CHECKING:
    from cyclopts.completion import CompletionContext


def known_services(context: CompletionContext) -> list[str]:
    given = context.get("--config")
    path = given.value if given is not None and isinstance(given.value, Path) else default_config()
    try:
        return service_names(path)
    except BluegreenError:
        return []


SERVICE_HELP = "Name of the service."

Service = Annotated[str, Parameter(help=SERVICE_HELP, completer=known_services)]
OptionalService = Annotated[
    str | None, Parameter(help="Name of the service; all of them without it.", completer=known_services)
]
Config = Annotated[
    Path,
    Parameter(name="--config", env_var=CONFIG_VARIABLE, help="Configuration file.", show_default=True),
]
CONFIG_DEFAULT = DEFAULT_CONFIG
Json = Annotated[bool, Parameter(name="--json", help="Print one JSON document of a documented shape (docs/json.md).")]
Reason = Annotated[str, Parameter(name="--reason", help="Why; kept in the history.")]
Wait = Literal["switched", "monitored", "completed"]


def requested_by() -> str:
    """Login name of whoever typed the command, the user id where there is no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
