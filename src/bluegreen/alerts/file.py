"""Alerts as lines of a file."""

from __future__ import annotations

import asyncio
import json
import os
import stat
from dataclasses import asdict
from pathlib import Path

from bluegreen.control.ports import Alert
from bluegreen.domain.errors import AdapterError


class FileSink:
    """Appends each alert as one JSON object on a line of its own, on disk when `deliver` returns.

    The file is made with mode 0600 in a directory that is there; it may be moved away at any time. A line that
    could not be written whole is taken back.
    """

    def __init__(self, path: Path, *, name: str = "file") -> None:
        self.name = name
        self._path = path

    async def deliver(self, alert: Alert) -> None:
        line = json.dumps(asdict(alert)).encode() + b"\n"
        try:
            # In a thread: a disk that hangs must not stop the event loop.
            await asyncio.to_thread(_append, self._path, line)
        except OSError as error:
            raise AdapterError(
                f"alert {alert.name!r} of {alert.service!r} was not written to {self._path}: "
                f"{error.strerror or type(error).__name__}",
                hint=f"Check that {self._path.parent} exists, is writable for the user of the daemon, and has space.",
            ) from error


def _append(path: Path, line: bytes) -> None:
    # Without waiting, so that a pipe that nobody reads is an error and not a standstill.
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
    descriptor = os.open(path, flags, 0o600)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(0, "it is not a regular file")
        torn = found.st_size > 0 and os.pread(descriptor, 1, found.st_size - 1) != b"\n"
        try:
            _write_all(descriptor, b"\n" + line if torn else line)
            os.fsync(descriptor)
        except OSError:
            os.ftruncate(descriptor, found.st_size)
            raise
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
