"""Tables as a person would write them into `bluegreen.toml`, with comments."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Comments = Mapping[tuple[str, ...], Sequence[str]]
MAX_LINE_LENGTH = 100


def document(tables: Mapping[str, Any], comments: Comments, *, head: Sequence[str] = ()) -> str:
    """The text of a configuration. A comment on a key that is not there stands at the end of its table."""
    lines = [f"# {line}".rstrip() for text in head for line in text.splitlines()]
    lines += _table((), tables, comments)
    return "\n".join(lines).lstrip("\n") + "\n"


def _table(path: tuple[str, ...], table: Mapping[str, Any], comments: Comments) -> Iterator[str]:
    values = {key: value for key, value in table.items() if not isinstance(value, dict)}
    absent = [place for place in comments if place[:-1] == path and place[-1] not in table]
    if path and (values or absent or not table):
        yield ""
        yield f"[{'.'.join(map(_key, path))}]"
    for key, value in values.items():
        yield from _comment(comments.get((*path, key), ()))
        yield f"{_key(key)} = {value_text(value)}"
    for place in absent:
        yield from _comment(comments[place])
    inner = {key: value for key, value in table.items() if isinstance(value, dict)}
    for place in comments:
        if place[: len(path)] == path and len(place) > len(path) + 1:
            # A table that has nothing but the comment.
            inner.setdefault(place[len(path)], {})
    for key, value in inner.items():
        yield from _table((*path, key), value, comments)


def _comment(texts: Sequence[str]) -> Iterator[str]:
    for text in texts:
        yield from (f"# {line}".rstrip() for line in text.splitlines())


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _text(key)


def _text(text: str) -> str:
    # JSON's escapes are TOML's, but for DEL.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def value_text(value: Any) -> str:
    """A value of a key; a list that is too long for a line has its entries on lines of their own."""
    if isinstance(value, list):
        entries = [value_text(entry) for entry in value]
        line = f"[{', '.join(entries)}]"
        if len(line) <= MAX_LINE_LENGTH and not any(isinstance(entry, dict) for entry in value):
            return line
        return "[\n" + "".join(f"  {entry},\n" for entry in entries) + "]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_key(key)} = {value_text(entry)}" for key, entry in value.items()) + " }"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:g}" if value.is_integer() and abs(value) < 1e6 else repr(value)
    return str(value) if isinstance(value, int) else _text(str(value))
