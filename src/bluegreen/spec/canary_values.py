"""The kinds of values in `[services.NAME.canary]`. Each refuses with a sentence that goes behind the key's path."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from bluegreen.spec.toml_text import toml_text

_NAME = r"[A-Za-z0-9_.-]{1,64}"
NAME_PATTERN = rf"^{_NAME}$"
STICKY_PATTERN = rf"^(cookie|header):{_NAME}$"


def _request_name(value: str) -> str:
    if not re.fullmatch(_NAME, value):
        raise ValueError(
            f"must be the name of a header or cookie, at most 64 of A-Z a-z 0-9 _ . -, got {toml_text(value)}"
        )
    return value


def _sticky(value: str) -> str:
    if not re.fullmatch(STICKY_PATTERN[1:-1], value):
        raise ValueError(f'must be "cookie:NAME" or "header:NAME", such as "cookie:session", got {toml_text(value)}')
    return value


Percent = Annotated[int, Field(ge=1, le=100)]
RequestName = Annotated[str, AfterValidator(_request_name), Field(json_schema_extra={"pattern": NAME_PATTERN})]
Sticky = Annotated[str, AfterValidator(_sticky), Field(json_schema_extra={"pattern": STICKY_PATTERN})]
