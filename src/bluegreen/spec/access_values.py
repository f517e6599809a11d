"""The kinds of text in `[api]` and `[policy]`. Each refuses with a sentence that goes behind the key's path."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated

from pydantic import AfterValidator, Field

from bluegreen.spec.toml_text import toml_text

_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?"
_NAME = rf"{_LABEL}(?:\.{_LABEL})*"
ORIGIN_PATTERN = rf"^https?://({_NAME}|\[[0-9A-Fa-f:.]+\])(:[0-9]{{1,5}})?$"
IMAGE_PATTERN = r"^[A-Za-z0-9._@:/*?-]+$"


def _host_name(value: str) -> str:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        if len(value) > 253 or not re.fullmatch(_NAME, value):
            raise ValueError(
                f'must be a host name or address without a port, such as "deploy.example.com", got {toml_text(value)}'
            ) from None
    return value


def _origin(value: str) -> str:
    if len(value) > 300 or not re.fullmatch(ORIGIN_PATTERN[1:-1], value):
        raise ValueError(
            f'must be an origin without a path, such as "https://console.example.com", got {toml_text(value)}'
        )
    return value


def _image_pattern(value: str) -> str:
    if len(value) > 300 or ".." in value or not re.fullmatch(IMAGE_PATTERN[1:-1], value):
        raise ValueError(
            f'must be an image with * and ? in it, such as "registry/*" or "registry/model:v2*", got {toml_text(value)}'
        )
    return value


HostName = Annotated[str, AfterValidator(_host_name), Field(json_schema_extra={"maxLength": 253})]
Origin = Annotated[str, AfterValidator(_origin), Field(json_schema_extra={"pattern": ORIGIN_PATTERN})]
ImagePattern = Annotated[str, AfterValidator(_image_pattern), Field(json_schema_extra={"pattern": IMAGE_PATTERN})]
