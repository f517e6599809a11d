"""Files that are replaced whole, and the lock that all processes which touch the router take."""

from __future__ import annotations

import asyncio
import fcntl
import os
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from bluegreen.domain.errors import RouterError

LOCK_TIMEOUT_SECONDS = 40.0
"""Longer than the longest holder: a reload that does not end."""


class Files:
    """Writes. Tests give another one that fails as a full disk does."""

    def replace(self, path: Path, data: bytes, *, durable: bool) -> None:
        """The old content or the new one, never a mixture; `durable` also after the machine loses power."""
        temporary = path.with_name(path.name + ".new")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(descriptor, view) :]
            if durable:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
        temporary.replace(path)
        if durable:
            _sync(path.parent)

    def sync(self, path: Path) -> None:
        """What `replace` did without `durable` survives a loss of power from now on."""
        _sync(path)
        _sync(path.parent)

    def overwrite(self, path: Path, data: bytes) -> None:
        """In place, where no new file can be made. The room is taken first, so that a full disk changes nothing."""
        descriptor = os.open(path, os.O_WRONLY)
        try:
            os.posix_fallocate(descriptor, 0, len(data))
            os.pwrite(descriptor, data, 0)
            os.ftruncate(descriptor, len(data))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class CachedText:
    """A file's text, read again only when somebody replaced or changed it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stamp: tuple[int, int, int] | None = None
        self._text = ""

    def read(self) -> tuple[str, bool]:
        """The text ("" without a file) and whether it is another one than last time. Raises OSError."""
        try:
            found = self.path.stat()
        except FileNotFoundError:
            changed, self._stamp, self._text = self._stamp is not None, None, ""
            return "", changed
        stamp = (found.st_ino, found.st_mtime_ns, found.st_size)
        if stamp == self._stamp:
            return self._text, False
        self._text, self._stamp = self.path.read_text(encoding="utf-8", errors="replace"), stamp
        return self._text, True

    def remember(self, text: str) -> None:
        """Says what the caller has just written, so that it needn't be read."""
        found = self.path.stat()
        self._text, self._stamp = text, (found.st_ino, found.st_mtime_ns, found.st_size)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class DirectoryLock:
    """One holder among all tasks and processes. Locks the directory itself, which works on a full disk too."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._tasks = asyncio.Lock()
        self._descriptor = -1

    async def __aenter__(self) -> Self:
        await self._tasks.acquire()
        try:
            await self._lock_directory()
        except BaseException:
            self._tasks.release()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)
        self._tasks.release()

    async def _lock_directory(self) -> None:
        try:
            descriptor = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise RouterError(
                f"the router's directory {self._directory} can't be opened: {error.strerror}",
                hint="Start the router first: bluegreen up",
            ) from error
        deadline = time.monotonic() + LOCK_TIMEOUT_SECONDS
        try:
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise RouterError(
                            f"another process has held the router for {LOCK_TIMEOUT_SECONDS:g} s",
                            hint=f"See who has it: fuser -v {self._directory}",
                        ) from None
                    await asyncio.sleep(0.001)
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
