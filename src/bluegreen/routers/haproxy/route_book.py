"""The routes on disk: what a new or restarted HAProxy reads."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

from bluegreen.domain.errors import RouterError
from bluegreen.routers.haproxy.files import CachedText, Files
from bluegreen.routers.haproxy.routes import RouteEntry, encode, merged, parse_table


class RouteBook:
    """`unsaved` is the table that could not be written, None when the file is right."""

    def __init__(self, path: Path, files: Files) -> None:
        self.path = path
        self.unsaved: dict[str, RouteEntry] | None = None
        self._files = files
        self._text = CachedText(path)
        self._entries: dict[str, RouteEntry] = {}
        self._lines: dict[str, tuple[RouteEntry, str]] = {}

    def load(self) -> dict[str, RouteEntry]:
        """The newest that is known of every service. Raises RouterError when the file can't be read."""
        try:
            text, changed = self._text.read()
        except OSError as error:
            raise RouterError(f"the routes in {self.path} can't be read: {error.strerror}") from error
        if changed:
            self._entries = parse_table(text.splitlines())
        return merged(self._entries, self.unsaved) if self.unsaved else dict(self._entries)

    async def save(self, entries: Mapping[str, RouteEntry], *, durable: bool) -> None:
        """Replaces the file. When that fails: `durable` raises RouterError and the file is as it was; otherwise
        it is overwritten in place, or else remembered as unsaved."""
        text = self._render(entries)
        data = text.encode()
        try:
            await asyncio.to_thread(self._files.replace, self.path, data, durable=True)
            self._saved(entries, text)
        except OSError as error:
            if durable:
                raise RouterError(
                    f"the routes can't be written to {self.path}: {error.strerror or error}; nothing was changed",
                    hint="Make room on the disk or make the directory writable, then try again",
                ) from error
            try:
                await asyncio.to_thread(self._files.overwrite, self.path, data)
                self._saved(entries, text)
            except OSError:
                self.unsaved = dict(entries)

    def _saved(self, entries: Mapping[str, RouteEntry], text: str) -> None:
        self.unsaved = None
        self._entries = dict(entries)
        self._text.remember(text)

    def _render(self, entries: Mapping[str, RouteEntry]) -> str:
        """One line per service. Lines of unchanged entries are kept, for a switch among 1,000 services is quick."""
        known = self._lines
        self._lines = {
            service: known[service]
            if service in known and known[service][0] is entry
            else (entry, f"{service} {encode(entry)}\n")
            for service, entry in entries.items()
        }
        return "".join(sorted(line for _, line in self._lines.values()))
