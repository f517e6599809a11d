"""Our own words for what is wrong with a file, each behind the dotted path of its key."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from bluegreen.spec.file_model import Document
from bluegreen.spec.keys import fields, shape, table_at
from bluegreen.spec.toml_text import toml_text, type_name

Location = tuple[str | int, ...]
MAX_PROBLEMS = 100
_KEY_MARK = "[key]"
_SECRET_KEYS = ("env", "headers", "webhook_url", "url", "json", "body")


@dataclass(frozen=True, slots=True)
class Problem:
    location: Location
    text: str

    def __str__(self) -> str:
        return f"{dotted(self.location)}: {self.text}" if self.location else self.text


def dotted(location: Location) -> str:
    """`services.api.smoke[0].request`; keys that need quotes in TOML have them here too."""
    path = ""
    for part in location:
        if isinstance(part, int):
            path += f"[{part}]"
            continue
        short = part if len(part) <= 80 else part[:79] + "…"
        bare = re.fullmatch(r"[A-Za-z0-9_-]+", short)
        path += ("." if path else "") + (short if bare else json.dumps(short, ensure_ascii=False))
    return path


def is_secret(location: Location) -> bool:
    """Whether the value there may be a secret, so that it is never repeated in a message."""
    return any(key in _SECRET_KEYS for key in location)


def written(problems: Iterable[Problem]) -> tuple[str, ...]:
    """Sorted by path and without repetition, so that the same file always reads the same."""
    lines = list(dict.fromkeys(str(problem) for problem in sorted(problems, key=_order)))
    rest = len(lines) - MAX_PROBLEMS
    return tuple(lines) if rest <= 0 else (*lines[:MAX_PROBLEMS], f"… and {rest} more")


def _order(problem: Problem) -> list[tuple[bool, int, str]]:
    return [(isinstance(part, str), part if isinstance(part, int) else 0, str(part)) for part in problem.location]


def from_validation(error: ValidationError, root: type[BaseModel] = Document) -> list[Problem]:
    """Every problem that the model found."""
    return [_problem(dict(details), root) for details in error.errors(include_url=False)]


def _problem(details: dict[str, Any], root: type[BaseModel]) -> Problem:
    location: Location = tuple(part for part in details["loc"] if part != _KEY_MARK)
    if details["type"] == "extra_forbidden":
        return Problem(location, _unknown_key(location, root))
    return Problem(location, _sentence(details, location))


def _sentence(details: dict[str, Any], location: Location) -> str:
    context: dict[str, Any] = details.get("ctx", {})
    kind: str = details["type"]
    if kind == "missing":
        return "is missing"
    if kind == "value_error":
        return str(context["error"])
    got = f", got {type_name(details['input']) if is_secret(location) else toml_text(details['input'])}"
    if kind in _LIMITS:
        sign, limit = _LIMITS[kind]
        return f"must be {sign} {toml_text(context[limit])}{got}"
    if kind == "too_short":
        return "must not be empty"
    if kind in ("too_long", "string_too_long"):
        noun = "entries" if kind == "too_long" else "characters"
        return f"must have at most {context['max_length']} {noun}"
    if kind == "literal_error":
        return f"must be {str(context['expected']).replace(chr(39), chr(34))}{got}"
    return f"must be {_TYPES.get(kind, 'something else')}{got}"


_LIMITS = {
    "greater_than_equal": ("≥", "ge"),
    "greater_than": (">", "gt"),
    "less_than_equal": ("≤", "le"),
    "less_than": ("<", "lt"),
}
_TYPES = {
    "int_type": "a whole number",
    "int_parsing_size": "a smaller number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "string_type": "text in quotes",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
}


def _unknown_key(location: Location, root: type[BaseModel]) -> str:
    *parents, key = location
    table = table_at(tuple(parents), root)
    known = _reachable(table) if table is not None else {}
    word = str(key)
    near = known.get(word) or next(
        (known[match] for match in difflib.get_close_matches(word, known, n=1, cutoff=0.6)), None
    )
    return f"unknown key; did you mean '{near}'?" if near else "unknown key"


def _reachable(table: type[BaseModel]) -> dict[str, str]:
    """The keys of a table, and those of the tables in it by the path from here; own keys come first."""
    own = fields(table)
    deeper = {
        inner: f"{name}.{inner}"
        for name, field in own.items()
        if (model := shape(field.annotation).inner) is not None
        and isinstance(model, type)
        and issubclass(model, BaseModel)
        for inner in fields(model)
    }
    return deeper | {name: name for name in own}
