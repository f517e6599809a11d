"""The API's own page: the OpenAPI document and a small script in one file that asks nobody for anything."""

from __future__ import annotations

import base64
import hashlib
import json
from functools import cached_property
from importlib.resources import files

from fastapi import FastAPI

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


class DocsPage:
    """Made when it is first asked for, and then kept."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app

    @cached_property
    def document(self) -> str:
        return json.dumps(self._app.openapi(), separators=(",", ":"))

    @cached_property
    def html(self) -> str:
        # `</script>` in a description must not end the element that holds the document.
        document = self.document.replace("<", "\\u003c")
        page = _asset("docs.html").replace("@style@", _asset("docs.css")).replace("@script@", _asset("docs.js"))
        return page.replace("@document@", document)

    @cached_property
    def policy(self) -> str:
        """Nothing but the style and the script of this page; nobody may frame it."""
        script, style = _hash(_asset("docs.js")), _hash(_asset("docs.css"))
        return (
            f"default-src 'none'; script-src '{script}'; style-src '{style}'; "
            "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )


def _asset(name: str) -> str:
    return (files(__package__) / "page" / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
