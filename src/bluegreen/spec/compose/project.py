"""A Compose file with everything that it needs from outside, so that its translation is a function of it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bluegreen.domain.errors import ConfigurationError, UsageError
from bluegreen.spec.compose.env_file import parse_env_file
from bluegreen.spec.compose.interpolation import fill_tree
from bluegreen.spec.compose.yaml_text import parse_yaml
from bluegreen.spec.problems import Location, Problem, written

MAX_FILE_BYTES = 4 * 1024 * 1024
HINT = "See how Compose reads it: docker compose config"


@dataclass(frozen=True, slots=True)
class Project:
    """`tree` is the file with its variables filled in; `used` and `unset` are those of each text. `env_files` are what
    the services' `env_file` keys name, None for one that is not there. `name` is Compose's name of the project, which
    volumes and networks begin with."""

    source: str
    name: str
    tree: Mapping[str, Any]
    used: Mapping[Location, frozenset[str]]
    unset: Mapping[Location, frozenset[str]]
    variables: Mapping[str, str]
    env_files: Mapping[str, Mapping[str, str] | None]


def read(path: Path, environment: Mapping[str, str]) -> Project:
    """Reads the file, `.env` beside it, and the files that services name with `env_file`.

    Raises UsageError when the file can't be read, ConfigurationError with all problems when it is no Compose file.
    """
    text = _text(path)
    if text is None:
        raise UsageError(f"there is no Compose file {path}", hint="Name the file, such as compose.yaml")
    directory = path.absolute().parent
    beside = _env_file(directory / ".env", environment)
    variables = {**(beside or {}), **environment}
    tree = parse_yaml(text, str(path))
    files = {}
    for name in env_file_names(tree, variables):
        files[name] = _env_file(directory / os.path.expanduser(name), variables)  # noqa: PTH111 - as spec.convert does
    return project(tree, source=str(path), directory_name=directory.name, variables=variables, env_files=files)


def project(
    tree: Any,
    *,
    source: str,
    directory_name: str,
    variables: Mapping[str, str],
    env_files: Mapping[str, Mapping[str, str] | None],
) -> Project:
    """The same for a tree that was read already. Raises ConfigurationError when it is no Compose file."""
    if not isinstance(tree, dict) or not isinstance(tree.get("services"), dict) or not tree["services"]:
        raise refused(source, ["services: is missing or empty; this is no Compose file with services"])
    filled = fill_tree(tree, variables)
    if filled.problems:
        raise refused(source, written(filled.problems))
    named = str(filled.tree.get("name") or variables.get("COMPOSE_PROJECT_NAME") or directory_name)
    name = re.sub("[^a-z0-9_-]", "", named.lower()).lstrip("_-") or "default"
    return Project(source, name, filled.tree, filled.used, filled.unset, variables, env_files)


def refused(source: str, problems: tuple[str, ...] | list[str]) -> ConfigurationError:
    error = ConfigurationError(source, problems)
    error.hint = HINT
    return error


def env_file_names(tree: Any, variables: Mapping[str, str]) -> list[str]:
    """The files that the services' `env_file` keys name, variables filled in."""
    services = tree.get("services") if isinstance(tree, dict) else None
    names: dict[str, None] = {}
    for service in (services or {}).values() if isinstance(services, dict) else ():
        given = service.get("env_file") if isinstance(service, dict) else None
        filled = fill_tree(given, variables)
        names |= dict.fromkeys(name for name, _ in env_file_entries(filled.tree))
    return list(names)


def env_file_entries(value: Any) -> list[tuple[str, bool]]:
    """`(name, required)` of a text, a list of them, or a list of mappings with `path`."""
    entries = []
    for entry in value if isinstance(value, list) else [value]:
        if isinstance(entry, dict):
            entries.append((str(entry.get("path") or ""), str(entry.get("required", True)).lower() != "false"))
        elif isinstance(entry, str):
            entries.append((entry, True))
    return [entry for entry in entries if entry[0]]


def _env_file(path: Path, outside: Mapping[str, str]) -> dict[str, str] | None:
    text = _text(path)
    if text is None:
        return None
    try:
        return parse_env_file(text, outside)
    except ValueError as error:
        raise refused(str(path), [str(error)]) from None


def _text(path: Path) -> str | None:
    """None when there is no such file."""
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise UsageError(f"{path} is larger than {MAX_FILE_BYTES // 2**20} MiB", hint="Name a Compose file")
        return path.read_bytes().decode()
    except FileNotFoundError:
        return None
    except UnicodeDecodeError:
        raise refused(str(path), [str(Problem((), "is not UTF-8 text"))]) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise UsageError(f"{path} can't be read: {reason}", hint="Name a file that can be read") from error
