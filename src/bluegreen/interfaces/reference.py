"""`python -m bluegreen.interfaces.reference > docs/tools.md`: all operations, as the doors offer them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bluegreen.control.operations import OPERATIONS, Operation
from bluegreen.control.schemas import input_schema
from bluegreen.interfaces.http.resources import RESOURCES, operation_path

HEAD = """# The tools

Made by `python -m bluegreen.interfaces.reference` from the one list of operations that all doors share. How to
reach them, and who may: [agents.md](agents.md). Every operation can also be called as `POST /v1/operations/NAME` with
its parameters as a JSON object.

| tool (MCP) | command | HTTP | scope |
|---|---|---|---|"""


def lines() -> Iterator[str]:
    yield HEAD
    for operation in OPERATIONS.values():
        yield (
            f"| [`{operation.tool}`](#{operation.tool}) | `bluegreen {operation.command}` | {_paths(operation)} "
            f"| {operation.scope} |"
        )
    for operation in OPERATIONS.values():
        yield from _details(operation)


def _paths(operation: Operation) -> str:
    found = [f"`{r.method} {r.path}`" for r in RESOURCES if r.operation == operation.name]
    return "<br>".join(found or [f"`POST {operation_path(operation.name)}`"])


def _details(operation: Operation) -> Iterator[str]:
    yield f"\n## {operation.tool}\n\n{operation.description}"
    schema = input_schema(operation)
    required = schema.get("required", ())
    if not schema["properties"]:
        return
    yield "\n| parameter | type | |\n|---|---|---|"
    for name, value in schema["properties"].items():
        need = "**required.** " if name in required else ""
        text = " ".join(value.get("description", "").split()).replace("|", "\\|")
        yield f"| `{name}` | {_type(value)} | {need}{text} |"


def _type(value: dict[str, Any]) -> str:
    if "anyOf" in value:
        return " or ".join(_type(option) for option in value["anyOf"] if option.get("type") != "null")
    if "enum" in value:
        return ", ".join(f"`{choice}`" for choice in value["enum"])
    names = {"string": "text", "integer": "whole number", "boolean": "true or false", "array": "list of text"}
    return names.get(value["type"], str(value["type"]))


if __name__ == "__main__":
    print("\n".join(lines()))
