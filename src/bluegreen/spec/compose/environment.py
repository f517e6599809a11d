"""`environment` and `env_file`: what is written into the configuration, and which secrets are not."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from bluegreen.spec.compose.draft import Draft, literal
from bluegreen.spec.compose.hosts import PROXY_VARIABLES
from bluegreen.spec.compose.notes import plain
from bluegreen.spec.compose.project import env_file_entries
from bluegreen.spec.problems import Location
from bluegreen.spec.values import ENVIRONMENT_NAME_PATTERN

_SECRET_WORDS = {
    "PASS",
    "PASSPHRASE",
    "PWD",
    "TOKEN",
    "KEY",
    "CREDENTIAL",
    "CREDENTIALS",
    "PRIVATE",
    "DSN",
    "SALT",
    "AUTH",
}
_SECRET_PARTS = ("PASSWORD", "PASSWD", "SECRET", "APIKEY")
_PLACES = ("FILE", "PATH", "DIR", "NAME", "ID", "ALGORITHM")
"""A last word that tells where a secret is, or how it is made, not what it is."""
_HARMLESS = re.compile(r"true|false|yes|no|on|off|0|1|/[a-z0-9_./-]*\.[a-z]{2,4}")
"""Switches, and paths of files."""
_CREDENTIALS = re.compile(r"://[^/\s:@]*:[^/\s@]+@")


@dataclass(frozen=True, slots=True)
class Variable:
    """`outside`: its value is not in the Compose file but in a variable of `from_variable` or in an `env_file`."""

    value: str
    place: Location
    outside: bool = False
    from_variable: str = ""


def is_secret_name(name: str) -> bool:
    """Whether a variable of this name usually holds a secret."""
    words = [word for word in re.split(r"[^A-Z0-9]+", name.upper()) if word]
    if not words or words[-1] in _PLACES or "PUBLIC" in words or words == ["PWD"]:
        return False
    return not _SECRET_WORDS.isdisjoint(words) or any(part in word for part in _SECRET_PARTS for word in words)


def read_environment(draft: Draft) -> dict[str, Variable]:
    """The variables of the container, as Compose would have them."""
    at = draft.part.at
    found: dict[str, Variable] = {}
    for name, required in env_file_entries(draft.part.take("env_file")):
        content = draft.project.env_files.get(name)
        if content is None and required:
            draft.part.lose("env_file", f"{name} is not there, so its variables are missing; write them into env")
        for key, value in (content or {}).items():
            found[key] = Variable(value, (*at, "env_file"), outside=True)
    given = draft.part.take("environment")
    if isinstance(given, dict):
        pairs: list[tuple[str, Any, Location]] = [(key, given[key], (*at, "environment", key)) for key in given]
    else:
        pairs = []
        for index, entry in enumerate(given if isinstance(given, list) else []):
            name, equals, value = plain(entry).partition("=")
            pairs.append((name, value if equals else None, (*at, "environment", index)))
        if given is not None and not isinstance(given, list):
            draft.part.wrong("environment", "must be a mapping or a list")
    for name, value, place in pairs:
        if isinstance(value, (dict, list)):
            draft.part.notes.wrong(place, "must be text")
        elif value is not None:
            used = sorted(draft.project.used.get(place, frozenset()) | draft.project.unset.get(place, frozenset()))
            found[name] = Variable(plain(value), place, bool(used), used[0] if used else "")
        elif name in draft.project.variables:
            found[name] = Variable(draft.project.variables[name], place, True, name)
        else:
            # Compose takes it out of the environment then, also when an env_file has it.
            found.pop(name, None)
            draft.part.notes.lose(place, f"the variable {name} is not set here, so it has no value")
    return found


def write_environment(draft: Draft, variables: dict[str, Variable]) -> None:
    """Writes `env`. A secret that is not in the Compose file itself is left out, with a word on how to give it."""
    env: dict[str, str] = {}
    for name, variable in variables.items():
        value, place = variable.value, variable.place
        if name in PROXY_VARIABLES or name.startswith("NVIDIA_VISIBLE_DEVICES"):
            continue
        if name == "PORT":
            _port(draft, variable)
        elif name == "CUDA_VISIBLE_DEVICES" and draft.table.get("gpus"):
            draft.part.notes.lose(place, "bluegreen chooses the devices, as many as gpus says")
        elif not re.fullmatch(ENVIRONMENT_NAME_PATTERN.strip("^$"), name) or re.search("[\0\ud800-\udfff]", value):
            draft.part.notes.lose(place, f"{name!r} has characters that no variable of a configuration may have")
        elif _is_secret(name, variable):
            _secret(draft, name, variable, env)
        else:
            env[name] = literal(value)
    if env:
        draft.table["env"] = env


def _is_secret(name: str, variable: Variable) -> bool:
    named = is_secret_name(name) and not _HARMLESS.fullmatch(variable.value.lower())
    return (named and bool(variable.value or variable.outside)) or _CREDENTIALS.search(variable.value) is not None


def _secret(draft: Draft, name: str, variable: Variable, env: dict[str, str]) -> None:
    if not variable.outside:
        env[name] = literal(variable.value)
        text = f"{name} looks like a secret and is written into the configuration; keep that file as safe as this one"
        draft.part.notes.change(variable.place, text)
        draft.holds_secrets = True
        return
    whole = variable.from_variable and draft.project.variables.get(variable.from_variable, "") == variable.value
    given = f'"${variable.from_variable}"' if whole else "VALUE"
    command = f"bluegreen deploy {draft.name} --set env.{name}={given}"
    draft.part.notes.lose(
        variable.place, f"{name} looks like a secret and is not in the Compose file: give it with {command}"
    )
    draft.comment("env", name, text=f"{name} is a secret that is not written here: {command}")


def _port(draft: Draft, variable: Variable) -> None:
    port = draft.container.get("port")
    if variable.value not in ("", str(port)):
        text = f"PORT is always the port of the container, {port or 'that of the image'}, not {variable.value}"
        draft.part.notes.change(variable.place, text)
