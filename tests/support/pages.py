"""Reads an HTML page strictly: every tag that is opened is closed, in order; what it would load is listed."""

from __future__ import annotations

from html.parser import HTMLParser

VOID = {"meta", "br", "hr"}
LOADING = {"src", "href", "srcset", "data", "action", "poster", "xlink:href", "formaction", "background"}


class Page(HTMLParser):
    """`tags` in the order of their beginning, `text` as a reader sees it, `loaded` what attributes point to."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.text = ""
        self.styles = ""
        self.loaded: list[str] = []
        self.handlers: list[str] = []
        self._open: list[str] = []

    @classmethod
    def of(cls, page: str) -> Page:
        parsed = cls()
        parsed.feed(page)
        parsed.close()
        assert parsed._open == [], f"never closed: {parsed._open}"
        return parsed

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in VOID:
            self._open.append(tag)
        self.loaded += [f"{tag} {name}={value}" for name, value in attrs if name in LOADING]
        self.handlers += [name for name, _ in attrs if name.startswith("on")]

    def handle_endtag(self, tag: str) -> None:
        assert self._open and self._open[-1] == tag, f"</{tag}> where {self._open[-1:]} is open"
        self._open.pop()

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] == "style":
            self.styles += data
        else:
            self.text += data
