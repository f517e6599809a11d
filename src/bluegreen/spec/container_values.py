"""The kinds of values in `[services.NAME.container]`. Each refuses with a sentence that goes behind the key's path."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from bluegreen.spec.toml_text import toml_text

CAPABILITY_PATTERN = r"^(ALL|[A-Z]+(_[A-Z]+)*)$"
USER_PATTERN = r"^[A-Za-z0-9_][A-Za-z0-9_.-]*(:[A-Za-z0-9_][A-Za-z0-9_.-]*)?$"
INNER_PATH_PATTERN = r"^/[^:\x00]*$"
FILE_NAME_PATTERN = r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$"
VOLUME_PATTERN = r"[A-Za-z0-9][A-Za-z0-9_.-]+"


def _matches(pattern: str, value: str) -> bool:
    return re.fullmatch(pattern.removeprefix("^").removesuffix("$"), value) is not None


def _capability(value: str) -> str:
    if not _matches(CAPABILITY_PATTERN, value):
        raise ValueError(f'must be "ALL" or a capability such as "NET_RAW", got {toml_text(value)}')
    return value.removeprefix("CAP_")


def _user(value: str) -> str:
    if not _matches(USER_PATTERN, value):
        raise ValueError(f'must be a user, or user and group, such as "1000:1000", got {toml_text(value)}')
    return value


def inner_path(value: str) -> str:
    if not _matches(INNER_PATH_PATTERN, value) or ".." in value.split("/"):
        raise ValueError(f'must be an absolute path in the container, such as "/data", got {toml_text(value)}')
    return value


def _source(value: str) -> str:
    if not is_path(value) and not _matches(VOLUME_PATTERN, value):
        raise ValueError(
            f'must be a path ("/srv/models", "./models") or the name of a volume ("models"), got {toml_text(value)}'
        )
    if "\0" in value or ":" in value:
        raise ValueError("must not hold a colon or a NUL character")
    return value


def is_path(source: str) -> bool:
    """A path begins as one does; everything else names a volume."""
    return source.startswith(("/", "./", "../", "~/")) or source in (".", "..", "~")


def _secret_name(value: str) -> str:
    if not _matches(FILE_NAME_PATTERN, value):
        raise ValueError("the name of a secret has at most 64 of A-Z a-z 0-9 _ . -, and begins with none of . -")
    return value


Capability = Annotated[str, AfterValidator(_capability), Field(json_schema_extra={"pattern": CAPABILITY_PATTERN})]
User = Annotated[str, AfterValidator(_user), Field(json_schema_extra={"pattern": USER_PATTERN})]
InnerPath = Annotated[str, AfterValidator(inner_path), Field(json_schema_extra={"pattern": r"^/[^:]*$"})]
MountSource = Annotated[str, AfterValidator(_source), Field(json_schema_extra={"pattern": r"^[^:]+$"})]
SecretName = Annotated[str, AfterValidator(_secret_name)]
