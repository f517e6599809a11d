"""The JSON Schema (draft 2020-12) of the file, for editors. `python -m bluegreen.spec.schema` writes it anew."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bluegreen.spec.file_model import Document
from bluegreen.spec.values import SERVICE_NAME_MAX_LENGTH, SERVICE_NAME_PATTERN

PUBLISHED = Path(__file__).with_name("bluegreen.schema.json")


def json_schema() -> dict[str, Any]:
    """Describes every key. What spans keys (a host claimed twice) only `bluegreen validate` sees."""
    schema = _tidy(Document.model_json_schema(by_alias=True))
    schema["properties"]["services"]["propertyNames"] = {
        "pattern": SERVICE_NAME_PATTERN,
        "maxLength": SERVICE_NAME_MAX_LENGTH,
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "bluegreen.toml",
        **{key: value for key, value in schema.items() if key != "title"},
    }


def published_text() -> str:
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


def _tidy(node: Any) -> Any:
    """Takes out what pydantic adds and TOML has no use for: titles made of key names, and null."""
    if isinstance(node, list):
        return [_tidy(item) for item in node]
    if not isinstance(node, dict):
        return node
    choices = [choice for choice in node.get("anyOf", ()) if choice != {"type": "null"}]
    if "anyOf" in node and len(choices) == 1:
        rest = {key: value for key, value in node.items() if key != "anyOf"}
        return _tidy(choices[0] | rest)
    return {
        key: _tidy(value)
        for key, value in node.items()
        if not (key == "title" and isinstance(value, str)) and not (key == "default" and value is None)
    }


if __name__ == "__main__":
    PUBLISHED.write_text(published_text())
