"""Which placeholders commands, working directories and environment values may hold. The runtime fills them in."""

from __future__ import annotations

import difflib
import re

PLACEHOLDERS = ("port", "image", "repository", "tag", "color", "replica")
_TOKEN = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")


def problem_in(text: str) -> str:
    """A sentence about the first thing in braces that is no placeholder, "" when there is none.

    `{{` and `}}` stand for braces that are meant literally.
    """
    known = " ".join(f"{{{name}}}" for name in PLACEHOLDERS)
    for match in _TOKEN.finditer(text):
        token, name = match.group(0), match.group(1)
        if token in ("{{", "}}") or name in PLACEHOLDERS:
            continue
        if name is None:
            return f"has a lone {token}; write {token * 2} for a brace that is meant literally"
        near = difflib.get_close_matches(name, PLACEHOLDERS, n=1)
        shown = f"{{{name if len(name) <= 40 else name[:39] + '…'}}}"
        if near:
            return f"unknown placeholder {shown}; did you mean {{{near[0]}}}?"
        return f"unknown placeholder {shown}; there are {known}, and {{{{ }}}} for literal braces"
    return ""
