"""From a request's path, query and body to the arguments of an operation. Strict, and bounded before it reads."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from pydantic_core import from_json
from starlette.requests import ClientDisconnect, Request

from bluegreen.domain.errors import UsageError
from bluegreen.interfaces.http.problems import TooSlow, UnsupportedMediaType

MOST_QUERY_PARAMETERS = 200
_WHOLE = re.compile(r"-?[0-9]{1,15}")
_DECIMAL = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,15})?([eE][+-]?[0-9]{1,2})?")
_KINDS = {"integer": "a whole number", "number": "a number", "boolean": "true or false"}


@dataclass(frozen=True, slots=True)
class QueryField:
    """A parameter of an operation in the query: `name` there, `field` in the request, and its JSON Schema."""

    name: str
    field: str
    schema: Mapping[str, Any]

    @property
    def is_pairs(self) -> bool:
        """Whether it is written as `label=key:value`, as often as needed."""
        return self.schema.get("type") == "object"


def query_fields(properties: Mapping[str, Mapping[str, Any]], names: Sequence[str]) -> dict[str, QueryField]:
    """Query name → field. An object of texts, `labels`, is called `label` and repeated."""
    found = {}
    for name in names:
        schema = _without_null(properties[name])
        query_name = name.removesuffix("s") if schema.get("type") == "object" else name
        found[query_name] = QueryField(query_name, name, schema)
    return found


def _without_null(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """An optional parameter is left out rather than null."""
    choices = [choice for choice in schema.get("anyOf", ()) if choice.get("type") != "null"]
    if not choices:
        return {name: value for name, value in schema.items() if name != "title"}
    kept = {name: value for name, value in schema.items() if name == "description"}
    return {**choices[0], **kept}


def from_query(query_string: bytes, fields: Mapping[str, QueryField]) -> dict[str, Any]:
    """Raises UsageError for a parameter that is unknown, given twice or no value of its kind."""
    try:
        pairs = parse_qsl(
            query_string.decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=MOST_QUERY_PARAMETERS,
        )
    except ValueError:
        raise UsageError(
            f"query: can't be read; it must be percent-encoded UTF-8 of at most {MOST_QUERY_PARAMETERS} parameters"
        ) from None
    arguments: dict[str, Any] = {}
    for name, text in pairs:
        field = fields.get(name)
        if field is None:
            listing = ", ".join(fields) or "none"
            raise UsageError(f"query: unknown parameter {name[:100]!r}", hint=f"It takes: {listing}")
        if field.is_pairs:
            _add_pair(arguments.setdefault(field.field, {}), name, text)
        elif field.field in arguments:
            raise UsageError(f"{name}: is given more than once", hint="Give it once")
        else:
            arguments[field.field] = _value(field, text)
    return arguments


def _add_pair(pairs: dict[str, str], name: str, text: str) -> None:
    key, colon, value = text.partition(":")
    if not colon or not key:
        raise UsageError(
            f"{name}: must be key:value, got {text[:100]!r}", hint=f"For example {name}=app:inference-model"
        )
    if key in pairs:
        raise UsageError(f"{name}: {key[:100]!r} is given more than once")
    pairs[key] = value


def _value(field: QueryField, text: str) -> Any:
    kind = str(field.schema.get("type"))
    if kind == "integer" and _WHOLE.fullmatch(text):
        return int(text)
    if kind == "number" and _DECIMAL.fullmatch(text):
        return float(text)
    if kind == "boolean" and text in ("true", "false"):
        return text == "true"
    if kind in _KINDS:
        hint = str(field.schema.get("description", ""))
        raise UsageError(f"{field.name}: must be {_KINDS[kind]}, got {text[:100]!r}", hint=hint)
    return text


async def read_body(request: Request, *, timeout_seconds: float) -> bytes:
    """Raises TooSlow, UnsupportedMediaType, and TooLarge from the bound around it."""
    chunks = []
    try:
        async with asyncio.timeout(timeout_seconds):
            async for chunk in request.stream():
                chunks.append(chunk)
    except TimeoutError:
        raise TooSlow(f"body: did not arrive within {timeout_seconds:g} s") from None
    except ClientDisconnect:
        raise TooSlow("body: ended before it was complete") from None
    body = b"".join(chunks)
    kind = request.headers.get("content-type", "")
    if body and kind.partition(";")[0].strip().lower() != "application/json":
        raise UnsupportedMediaType(
            f"body: must be application/json, got {kind[:100]!r}" if kind else "body: has no Content-Type",
            hint="Send the header  Content-Type: application/json",
        )
    return body


def refuse_body(request: Request) -> None:
    """Raises UsageError when a request of a method that takes none has a body."""
    if request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers:
        raise UsageError(f"body: {request.method} takes none", hint="Put the parameters into the query")


def from_body(body: bytes, known: Sequence[str] | None) -> dict[str, Any]:
    """The object in the body; {} without one. `known` None leaves it to the operation to refuse unknown keys.

    Raises UsageError, whatever the body is: bad JSON, NaN, numbers without end, nesting without end.
    """
    try:
        given = from_json(body or b"{}", allow_inf_nan=False)
    except ValueError as error:
        raise UsageError(f"body: is not JSON: {str(error)[:200]}") from None
    if not isinstance(given, dict):
        raise UsageError("body: must be a JSON object", hint='For example {"reason": "…"}')
    for name, value in given.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise UsageError(f"{name[:100]}: is a number too large for any purpose")
        if known is not None and name not in known:
            listing = ", ".join(known) or "none"
            raise UsageError(f"body: unknown key {name[:100]!r}", hint=f"It takes: {listing}")
    return given
