"""`${NAME}` and its kin in the values of a Compose file, as the Compose specification has them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bluegreen.spec.problems import Location, Problem

MAX_VALUES = 100_000
"""Aliases of aliases make a small file as large as they like."""
MAX_DEPTH = 60
MAX_TEXT_LENGTH = 1_000_000
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OPERATOR = re.compile(r":?[-?+]")
_UNFIT = re.compile("[\0\ud800-\udfff]")


@dataclass(slots=True)
class Filled:
    """A text with its variables filled in. `used` are those whose value stands in it, `unset` those that had none."""

    text: str
    used: set[str] = field(default_factory=set)
    unset: set[str] = field(default_factory=set)


@dataclass(slots=True)
class FilledTree:
    """`used` and `unset` by the place of the text in the file."""

    tree: Any
    used: dict[Location, frozenset[str]]
    unset: dict[Location, frozenset[str]]
    problems: list[Problem]


def fill(text: str, variables: Mapping[str, str]) -> Filled:
    """Raises ValueError with a sentence for a variable that is required and missing, and for what is no variable."""
    result = Filled("")
    written: list[str] = []
    position = 0
    while (dollar := text.find("$", position)) >= 0:
        written.append(text[position:dollar])
        rest = text[dollar + 1 :]
        if rest.startswith("$"):
            written.append("$")
            position = dollar + 2
        elif rest.startswith("{"):
            inside = _braced(rest)
            written.append(_value(inside, variables, result))
            position = dollar + len(inside) + 3
        elif name := _NAME.match(rest):
            written.append(_plain(name[0], variables, result))
            position = dollar + 1 + len(name[0])
        else:
            written.append("$")
            position = dollar + 1
    result.text = "".join([*written, text[position:]])
    if len(result.text) > MAX_TEXT_LENGTH:
        raise ValueError(f"is longer than {MAX_TEXT_LENGTH} characters")
    return result


def _braced(rest: str) -> str:
    """What stands between the brace at the beginning of `rest` and the one that closes it."""
    depth = 0
    for index, character in enumerate(rest):
        if character == "{" and (index == 0 or rest[index - 1] == "$"):
            depth += 1
        elif character == "}":
            depth -= 1
            if depth == 0:
                return rest[1:index]
    raise ValueError("has a ${ without its }; write $$ for a dollar that is meant literally")


def _plain(name: str, variables: Mapping[str, str], result: Filled) -> str:
    if name in variables:
        result.used.add(name)
        return variables[name]
    result.unset.add(name)
    return ""


def _value(inside: str, variables: Mapping[str, str], result: Filled) -> str:
    name = _NAME.match(inside)
    if name is None:
        raise ValueError(f"${{{inside}}} is no variable; write $$ for a dollar that is meant literally")
    behind = inside[len(name[0]) :]
    if not behind:
        return _plain(name[0], variables, result)
    operator = _OPERATOR.match(behind)
    if operator is None:
        raise ValueError(f"${{{inside}}} is no variable that Compose knows")
    word = behind[len(operator[0]) :]
    sign = operator[0][-1]
    given = name[0] in variables and (bool(variables[name[0]]) or not operator[0].startswith(":"))
    if given and sign != "+":
        return _plain(name[0], variables, result)
    if not given and sign == "?":
        raise ValueError(f"the variable {name[0]} is required: {_nested(word, variables, result) or 'it has no value'}")
    return "" if not given and sign == "+" else _nested(word, variables, result)


def _nested(word: str, variables: Mapping[str, str], result: Filled) -> str:
    inner = fill(word, variables)
    result.used |= inner.used
    result.unset |= inner.unset
    return inner.text


def fill_tree(tree: Any, variables: Mapping[str, str]) -> FilledTree:
    """Every value, not the keys. What can't be filled in is a problem and stays as it is."""
    filled = FilledTree(None, {}, {}, [])
    count = 0

    def walk(value: Any, at: Location) -> Any:
        nonlocal count
        count += 1
        if count > MAX_VALUES or len(at) > MAX_DEPTH:
            raise OverflowError
        if isinstance(value, dict):
            return {str(key): walk(inner, (*at, str(key))) for key, inner in value.items()}
        if isinstance(value, list):
            return [walk(inner, (*at, index)) for index, inner in enumerate(value)]
        return _scalar(value, at, variables, filled) if isinstance(value, str) else value

    try:
        filled.tree = walk(tree, ())
    except OverflowError:
        filled.problems.append(Problem((), f"has more than {MAX_VALUES} values, or is nested too deeply"))
    return filled


def _scalar(text: str, at: Location, variables: Mapping[str, str], filled: FilledTree) -> str:
    try:
        made = fill(text, variables)
    except (ValueError, RecursionError) as error:
        nested = isinstance(error, RecursionError)
        filled.problems.append(Problem(at, "is nested too deeply" if nested else str(error)))
        return ""
    if _UNFIT.search(made.text):
        filled.problems.append(Problem(at, "must be text without NUL characters and broken Unicode"))
        return ""
    if made.used:
        filled.used[at] = frozenset(made.used)
    if made.unset:
        filled.unset[at] = frozenset(made.unset)
    return made.text
