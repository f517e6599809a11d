"""Files of environment variables: `.env` beside the Compose file, and what `env_file` names."""

from __future__ import annotations

import re
from collections.abc import Mapping

from bluegreen.spec.compose.interpolation import fill

_LINE = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_.-]*)\s*(?:[=:]\s*)?", re.ASCII)
_DOUBLE = re.compile(r'"((?:[^"\\]|\\.)*)"', re.S)
_SINGLE = re.compile(r"'((?:[^'\\]|\\.)*)'", re.S)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "$": "$$"}


def parse_env_file(text: str, outside: Mapping[str, str]) -> dict[str, str]:
    """The variables of the file, later ones over earlier ones. A value may name variables of the file and of `outside`,
    which come first; a name alone is the variable of `outside`. Raises ValueError with the number of a line that is
    none.
    """
    variables: dict[str, str] = {}
    position, text = 0, text.removeprefix("\ufeff").replace("\r\n", "\n")
    while position < len(text):
        end = _line_end(text, position)
        line = text[position:end]
        if not line.strip() or line.lstrip().startswith("#"):
            position = end + 1
            continue
        number = text.count("\n", 0, position) + 1
        head = _LINE.match(line)
        if head is None:
            raise ValueError(f"line {number}: must be NAME=value")
        name, start = head[1], position + head.end()
        if not re.search(r"[=:]", head[0]):
            if head.end() < len(line.rstrip()):
                raise ValueError(f"line {number}: must be NAME=value")
            if name in outside:
                variables[name] = outside[name]
            position = end + 1
            continue
        try:
            variables[name], position = _value(text, start, end, {**variables, **outside})
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from None
    return variables


def _line_end(text: str, position: int) -> int:
    found = text.find("\n", position)
    return len(text) if found < 0 else found


def _value(text: str, start: int, end: int, variables: Mapping[str, str]) -> tuple[str, int]:
    """The value that begins at `start`, and where the next line does. Quoted ones may have several lines."""
    quote = text[start : start + 1]
    if quote in ('"', "'") and start < end:
        quoted = (_DOUBLE if quote == '"' else _SINGLE).match(text, start)
        if quoted is None:
            raise ValueError(f"has a {quote} without its end")
        after = _line_end(text, quoted.end())
        if quote == "'":
            return quoted[1].replace("\\'", "'"), after + 1
        plain = re.sub(r"\\(.)", lambda found: _ESCAPES.get(found[1], found[1]), quoted[1], flags=re.S)
        return fill(plain, variables).text, after + 1
    plain = re.split(r"(?:^|\s)#", text[start:end], maxsplit=1)[0].strip()
    return fill(plain, variables).text, end + 1
