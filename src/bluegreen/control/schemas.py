"""JSON forms of requests and views, made once for each type."""

from __future__ import annotations

from dataclasses import is_dataclass
from functools import cache
from typing import Any

from pydantic import TypeAdapter

from bluegreen.control.operations import Operation

OWNERS_PARAMETERS = ("requested_by", "expires_at")
"""Filled in by the gate for everybody but the owner's command line, so no schema shows them."""


_ADAPTERS: dict[Any, TypeAdapter[Any]] = {}


def adapter(kind: type[Any]) -> TypeAdapter[Any]:
    """The parser and writer of a request or view; made on first use, which takes milliseconds."""
    if kind not in _ADAPTERS:
        _ADAPTERS[kind] = TypeAdapter(kind)
    return _ADAPTERS[kind]


@cache
def input_schema(operation: Operation) -> dict[str, Any]:
    """JSON Schema of the arguments, with a description for each."""
    schema = dict(adapter(operation.request).json_schema())
    described: dict[str, Any] = {}
    # Descriptions are read from a class's own source, so those of inherited parameters are found with the parents.
    for kind in reversed([kind for kind in operation.request.__mro__ if is_dataclass(kind)]):
        for name, value in adapter(kind).json_schema().get("properties", {}).items():
            described[name] = {**described.get(name, {}), **value}
    schema["properties"] = {name: value for name, value in described.items() if name not in OWNERS_PARAMETERS}
    return schema


@cache
def output_schema(operation: Operation) -> dict[str, Any]:
    return adapter(operation.response).json_schema(mode="serialization")


def to_json(kind: type[Any], view: Any) -> bytes:
    return adapter(kind).dump_json(view)


def to_plain(kind: type[Any], view: Any) -> Any:
    """The view as dictionaries, lists, texts and numbers."""
    return adapter(kind).dump_python(view, mode="json")
