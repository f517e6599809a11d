"""`deploy --set KEY=VALUE`: one deployment of a service with some keys changed."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from bluegreen.domain.errors import ConfigurationError
from bluegreen.domain.service import ServiceSpec
from bluegreen.spec import contradictions
from bluegreen.spec.convert import to_service, to_table
from bluegreen.spec.file_model import ServiceTable
from bluegreen.spec.keys import Kind, fields, shape
from bluegreen.spec.problems import Problem, from_validation, written

# These belong to the service, not to one deployment of it: the router knows them already.
_NOT_HERE = {
    "image": "is given with --image",
    "hosts": "can't be changed for one deployment; change the file and type: bluegreen reload",
    "protocol": "can't be changed for one deployment; change the file and type: bluegreen reload",
    **dict.fromkeys(
        ("canary.sticky", "canary.set_cookie", "canary.force_header", "canary.force_cookie"),
        "can't be changed for one deployment; change the file and type: bluegreen reload",
    ),
    "runtime": "can't be changed for one deployment; change the file and type: bluegreen reload",
    "smoke": "can't be changed for one deployment; change the file and type: bluegreen reload",
    "analysis": "can't be changed for one deployment; change the file and type: bluegreen reload",
}


def apply_overrides(spec: ServiceSpec, overrides: Mapping[str, str]) -> ServiceSpec:
    """The spec with the keys changed, checked like the file. Keys are paths below `services.NAME`.

    Values are TOML (`3`, `true`, `"text"`, `["a", "b"]`); a word that is no TOML is text, and so is anything
    for a key that holds text. Raises ConfigurationError with all problems.
    """
    if not overrides:
        return spec
    table, problems = to_table(spec), []
    for key, text in overrides.items():
        problem = _set(table, key, text)
        if problem is not None:
            problems.append(problem)
    problems += contradictions.in_service(table, ())
    changed: ServiceTable | None = None
    try:
        changed = ServiceTable.model_validate(table)
    except ValidationError as error:
        problems += from_validation(error, ServiceTable)
    if changed is None or problems:
        wrong = ConfigurationError(f"overrides (--set) for '{spec.name}'", written(problems))
        wrong.hint = f"The keys are those of [services.{spec.name}] in the file, for example replicas"
        raise wrong
    # An unchanged workdir is absolute and stays as it is.
    return to_service(spec.name, changed, Path("/"))


def _set(table: dict[str, Any], key: str, text: str) -> Problem | None:
    first, _, rest = key.partition(".")
    field = fields(ServiceTable).get(first)
    for name in (first, key):
        if name in _NOT_HERE:
            return Problem(tuple(name.split(".")), _NOT_HERE[name])
    here = shape(field.annotation) if field is not None else None
    if here is not None and here.kind in (Kind.TABLE, Kind.MAP):
        if not rest:
            return Problem((first,), f"name one key in it, such as {first}.{_example(here.inner)}")
        holds = here.inner if here.kind is Kind.MAP else None
        if here.kind is Kind.TABLE and rest in fields(here.inner):
            holds = fields(here.inner)[rest].annotation
        table.setdefault(first, {})[rest] = _value(text, holds)
        return None
    value = _value(text, field.annotation if field is not None else None)
    if key == "workdir" and not str(value).startswith("/"):
        return Problem((key,), "must be an absolute path here")
    table[key] = value
    return None


def _example(inner: Any) -> str:
    here = shape(inner)
    return next(iter(fields(here.inner))) if here.kind is Kind.TABLE else "NAME"


def _value(text: str, annotation: Any) -> Any:
    try:
        parsed = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    # More than one key means that the text had a line break in it: then it is no TOML value.
    value = parsed["value"] if len(parsed) == 1 else text
    here = shape(annotation)
    holds_text = here.kind is Kind.SCALAR and here.inner is str
    return text if holds_text and not isinstance(value, str) else value
