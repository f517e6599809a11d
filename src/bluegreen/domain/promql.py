"""Placeholders in PromQL: `{service}` in a quoted string becomes the service's name, escaped so that it stays a string.

Braces mean something else in PromQL, and `/users/{id}` is a fine label value. Hence: in a quoted string the words
below are placeholders and everything else is left as it is; outside of one a single word in braces is an error, in
PromQL too.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

PLACEHOLDERS = ("service", "workload", "slot", "version")
MAX_CHARACTERS = 10_000
_PIECE = re.compile(
    r"""(?P<comment>\#[^\n]*)
      | (?P<string>"(?:[^"\\\n]|\\.)*" | '(?:[^'\\\n]|\\.)*')
      | (?P<raw>`[^`]*`)
      | (?P<open>["'`])
      | (?P<other>[^"'`\#]+)""",
    re.VERBOSE,
)
_WORD = re.compile(r"\{([A-Za-z_]+)\}")
_AFTER_REGEX_MATCHER = re.compile(r"[=!]~\s*$")
_ALIKE = 0.75
"""From how alike a word in a string is taken for a misspelt placeholder (difflib's ratio)."""


@dataclass(frozen=True, slots=True)
class _Piece:
    kind: str
    text: str
    regex: bool
    """Of a string: whether it is the right side of `=~` or `!~`."""


def problem_in(query: str) -> str:
    """A sentence about the first thing that can't be meant, "" when there is none."""
    if not query.strip():
        return "must not be empty"
    if len(query) > MAX_CHARACTERS:
        return f"must have at most {MAX_CHARACTERS} characters, got {len(query)}"
    for piece in _pieces(query):
        if piece.kind == "open":
            return f"has a quote {piece.text} that is never closed"
        words = _WORD.findall(piece.text) if piece.kind != "comment" else []
        for word in words:
            if problem := _problem_with(word, piece.kind):
                return problem
    return ""


def filled(query: str, values: Mapping[str, str]) -> str:
    """The query with the placeholders replaced. Names without a value are left as they are."""
    return "".join(_filled_string(piece, values) if piece.kind == "string" else piece.text for piece in _pieces(query))


def _problem_with(word: str, kind: str) -> str:
    known = " ".join(f"{{{name}}}" for name in PLACEHOLDERS)
    if kind == "string":
        near = difflib.get_close_matches(word, PLACEHOLDERS, n=1, cutoff=_ALIKE) if word not in PLACEHOLDERS else []
        return f"unknown placeholder {{{word}}}; did you mean {{{near[0]}}}?" if near else ""
    if kind == "raw":
        return f'{{{word}}} is not replaced between `; write it in "quotes"' if word in PLACEHOLDERS else ""
    if word in PLACEHOLDERS:
        return f'{{{word}}} must stand in quotes, such as label="{{{word}}}"'
    return f"{{{word}}} is no PromQL, and no placeholder; there are {known}, in quotes"


def _pieces(query: str) -> Iterator[_Piece]:
    before = ""
    for match in _PIECE.finditer(query):
        kind, text = match.lastgroup or "other", match.group()
        yield _Piece(kind, text, regex=_AFTER_REGEX_MATCHER.search(before) is not None)
        if kind != "comment":
            before = text


def _filled_string(piece: _Piece, values: Mapping[str, str]) -> str:
    quote = piece.text[0]

    def value(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in PLACEHOLDERS or name not in values:
            return match.group()
        text = _literal_regex(values[name]) if piece.regex else values[name]
        return _escaped(text, quote)

    return _WORD.sub(value, piece.text)


def _escaped(text: str, quote: str) -> str:
    """As in Go's string literals, which PromQL has."""
    text = text.replace("\\", "\\\\").replace(quote, f"\\{quote}")
    return "".join(character if character.isprintable() else _code(character) for character in text)


def _code(character: str) -> str:
    number = ord(character)
    return f"\\u{number:04x}" if number <= 0xFFFF else f"\\U{number:08x}"


def _literal_regex(text: str) -> str:
    """RE2's notation for exactly this text."""
    return re.sub(r"([\\.+*?()|\[\]{}^$])", r"\\\1", text)
