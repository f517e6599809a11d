"""Operations as tools, their answers and errors as results."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

import mcp_types as types

from bluegreen.control.operations import OPERATIONS, Operation
from bluegreen.control.schemas import input_schema, output_schema
from bluegreen.domain.errors import BluegreenError

ERROR_KEY = "bluegreen/error"
"""Where a result that is an error has its code, message and hint for programs. Not in `structuredContent`: clients
check that against the tool's output schema, for errors too."""

BY_TOOL: Mapping[str, Operation] = {operation.tool: operation for operation in OPERATIONS.values()}

_SAFE_TO_REPEAT = frozenset({"approve", "workload_stop", "alert_silence"})
"""Names of operations that change something once, however often they are asked the same."""


@cache
def tool_of(operation: Operation) -> types.Tool:
    words = operation.tool.replace("_", " ")
    return types.Tool(
        name=operation.tool,
        title=words.capitalize(),
        description=operation.description,
        input_schema=_without_nulls(_without_titles(input_schema(operation))),
        output_schema=_without_titles(output_schema(operation)),
        annotations=types.ToolAnnotations(
            title=words.capitalize(),
            read_only_hint=not operation.changes,
            destructive_hint=operation.destructive,
            idempotent_hint=not operation.changes or operation.name in _SAFE_TO_REPEAT,
            open_world_hint=False,
        ),
    )


def _without_titles(schema: Any, *, names: bool = False) -> Any:
    """Pydantic gives every field its own name as a title, which an agent would only have to read. `names` tells that
    the keys are names of fields, not keywords."""
    if isinstance(schema, list):
        return [_without_titles(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: _without_titles(value, names=not names and key in ("properties", "$defs"))
        for key, value in schema.items()
        if names or key != "title"
    }


def _without_nulls(schema: dict[str, Any]) -> dict[str, Any]:
    """A parameter that may be null may also be left out, and many clients understand `{"type": "integer"}` better than
    a choice with null."""
    return {**schema, "properties": {name: _not_null(value) for name, value in schema["properties"].items()}}


def _not_null(field: dict[str, Any]) -> dict[str, Any]:
    choices = [choice for choice in field.get("anyOf", ()) if choice != {"type": "null"}]
    if len(choices) != 1:
        return field
    return {**choices[0], **{key: value for key, value in field.items() if key not in ("anyOf", "default")}}


def result_of(view: dict[str, Any]) -> types.CallToolResult:
    """The answer twice: structured, and as the same JSON in a text for clients that only show texts."""
    return types.CallToolResult(content=[_text(to_text(view))], structured_content=view)


def error_result(error: BluegreenError) -> types.CallToolResult:
    """What went wrong and what to do next, for the agent to read and act on."""
    details = {"code": error.code, "message": error.message, "hint": error.hint}
    return types.CallToolResult(content=[_text(str(error))], is_error=True, _meta={ERROR_KEY: details})


def to_text(view: Any) -> str:
    return json.dumps(view, ensure_ascii=False, separators=(",", ":"))


def _text(text: str) -> types.TextContent:
    return types.TextContent(text=text)
