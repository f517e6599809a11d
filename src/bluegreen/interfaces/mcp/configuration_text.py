"""The configuration file as an agent may read it: without comments and without what could be a secret."""

from __future__ import annotations

import datetime
import json
import math
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bluegreen.control.masking import MASK
from bluegreen.domain.errors import UsageError

_TABLES_OF_SECRETS = frozenset({"env", "headers"})
_SECRET_KEY = re.compile(r"(^|_)(urls?|secrets?|tokens?|passwords?|passphrase|credentials?|api_key)$")
_PASSWORD_IN_ADDRESS = re.compile(r"(?<=://)[^/@\s]*@")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def read_masked(path: Path, services: frozenset[str] | None = None) -> str:
    """The file with its secrets masked, and without other services than these. Raises UsageError."""
    try:
        return masked_configuration(path.read_text(encoding="utf-8"), services=services)
    except OSError as error:
        raise UsageError(
            f"configuration: {path.name} can't be read: {error.strerror}", hint="The daemon goes on with what it read"
        ) from error
    except (ValueError, RecursionError) as error:
        raise UsageError(
            f"configuration: {path.name} is not TOML at the moment",
            hint="A person can see what is wrong: bluegreen validate",
        ) from error


def masked_configuration(text: str, *, services: frozenset[str] | None = None) -> str:
    """TOML in, TOML out: the same keys, `***` for environment values, headers, addresses and other secrets.

    `services` None means all. Raises ValueError for what is not TOML.
    """
    document = tomllib.loads(text)
    declared = document.get("services")
    if isinstance(declared, dict):
        visible = {name: table for name, table in declared.items() if services is None or name in services}
        # A service may be called `env`: its name is no key.
        document["services"] = {name: _masked(table) for name, table in visible.items()}
    rest = {key: _masked_entry(key, value) for key, value in document.items() if key != "services"}
    return toml({**rest, **({"services": document["services"]} if "services" in document else {})})


def _masked(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _masked_entry(key, item) for key, item in value.items()}
    if isinstance(value, list):
        return [_masked(item) for item in value]
    if isinstance(value, str):
        return _PASSWORD_IN_ADDRESS.sub(f"{MASK}@", value)
    return value


def _masked_entry(key: str, value: Any) -> Any:
    if key in _TABLES_OF_SECRETS and isinstance(value, Mapping):
        return dict.fromkeys(value, MASK)
    if _SECRET_KEY.search(key) and not isinstance(value, Mapping):
        return MASK
    return _masked(value)


def toml(document: Mapping[str, Any]) -> str:
    """A document that `tomllib` reads back as the same value."""
    lines: list[str] = []
    _write_table(lines, (), document)
    return "\n".join(lines).strip("\n") + "\n"


def _write_table(lines: list[str], path: tuple[str, ...], table: Mapping[str, Any]) -> None:
    """Plain values first: what follows a header belongs to it."""
    for key, value in table.items():
        if not isinstance(value, Mapping) and not _is_list_of_tables(value):
            lines.append(f"{_key(key)} = {_inline(value)}")
    for key, value in table.items():
        name = (*path, key)
        header = ".".join(map(_key, name))
        if isinstance(value, Mapping):
            lines.extend(("", f"[{header}]"))
            _write_table(lines, name, value)
        elif _is_list_of_tables(value):
            for item in value:
                lines.extend(("", f"[[{header}]]"))
                _write_table(lines, name, item)


def _is_list_of_tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, Mapping) for item in value)


def _key(key: str) -> str:
    return key if _BARE_KEY.fullmatch(key) else _text(key)


def _text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _inline(value: Any) -> str:
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else str(value)
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, list):
        return f"[{', '.join(map(_inline, value))}]"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{_key(key)} = {_inline(item)}' for key, item in value.items())}}}"
    return str(value)
