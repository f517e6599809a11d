"""The routes on disk: what a new or restarted HAProxy reads."""

from __future__ import annotations

import asyncio
import contextlib
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

    async def save(self, entries: Mapping[str, RouteEntry]) -> None:
        """Replaces the file and waits for the disk. Raises RouterError; then the file is as it was."""
        text = self._render(entries)
        try:
            await asyncio.to_thread(self._files.replace, self.path, text.encode(), durable=True)
        except OSError as error:
            raise RouterError(
                f"the routes can't be written to {self.path}: {error.strerror or error}; nothing was changed",
                hint="Make room on the disk or make the directory writable, then try again",
            ) from error
        self._saved(entries, text)

    def note(self, entries: Mapping[str, RouteEntry]) -> None:
        """Replaces the file without waiting for the disk: every process reads it at once, `sync` makes it last. When
        that fails it is overwritten in place, or else remembered as unsaved. No thread: it would cost more than the
        writing, on the way back of all ways."""
        text = self._render(entries)
        data = text.encode()
        try:
            try:
                self._files.replace(self.path, data, durable=False)
            except OSError:
                self._files.overwrite(self.path, data)
        except OSError:
            self.unsaved = dict(entries)
        else:
            self._saved(entries, text)

    async def sync(self) -> None:
        """Makes what was noted survive a loss of power; until then the event log alone would know.
        A disk that can't is no failure: every process reads the right file."""
        with contextlib.suppress(OSError):
            await asyncio.to_thread(self._files.sync, self.path)

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
