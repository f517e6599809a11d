"""HTML from nested calls: what is not Markup is text, and text is always escaped; every tag is closed."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable

VOID = frozenset({"meta", "br", "hr"})
_UNSEEN = re.compile(
    "\x1b\\[[0-?]*[ -/]*[@-~]"  # what colours a terminal
    "|[\x00-\x08\x0b-\x1f\x7f-\x9f]"  # control characters, which HTML forbids
    "|[\u200e\u200f\u202a-\u202e\u2066-\u2069]"  # what turns the direction of writing, and so can fake a line
    "|[\ud800-\udfff\ufffe\uffff]"  # no characters at all
)


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


Content = str | Iterable[str]


def seen(text: str) -> str:
    """Without what nobody can see."""
    return _UNSEEN.sub("", text.replace("\r\n", "\n"))


def tag(name: str, /, *content: Content, **attributes: object) -> Markup:
    """An element. `class_` is the attribute class, `aria_label` is aria-label; None leaves an attribute out, True
    writes its name alone."""
    written = "".join(_attribute(key, value) for key, value in attributes.items() if value not in (None, False))
    if name in VOID:
        return Markup(f"<{name}{written}>")
    return Markup(f"<{name}{written}>{joined(*content)}</{name}>")


def _attribute(key: str, value: object) -> str:
    name = key.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{html.escape(seen(str(value)))}"'


def joined(*content: Content) -> Markup:
    """One after the other; texts are escaped."""
    return Markup("".join(map(_one, content)))


def _one(content: Content) -> str:
    if isinstance(content, Markup):
        return content
    if isinstance(content, str):
        return html.escape(seen(content), quote=False)
    return joined(*content)
