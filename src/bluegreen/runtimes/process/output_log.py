# ruff: noqa: PTH105
# pathlib and contextlib would cost every shim milliseconds and memory.
"""The log file of one replica, as the shim writes it. Standard library only."""

from __future__ import annotations

import os


class RotatingLog:
    """Appends bytes to a file, keeps `files` of at most `max_bytes` each. A full disk loses output, counted, but never
    blocks the replica."""

    def __init__(self, path: str, max_bytes: int, files: int) -> None:
        self.path, self.max_bytes, self.files = path, max_bytes, files
        self.lost_bytes = 0
        self.fd = -1
        self.size = 0

    def write(self, data: bytes) -> None:
        try:
            if self.lost_bytes:
                note = b"bluegreen: %d bytes of output were lost here\n" % self.lost_bytes
                self._append(note)
                self.lost_bytes = 0
            while data:
                data = data[self._append(data) :]
        except OSError:
            self.lost_bytes += len(data)

    def _append(self, data: bytes) -> int:
        """Writes as much as fits into the current file, whole lines if possible; returns how much."""
        if self.fd < 0:
            self.fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
            self.size = os.fstat(self.fd).st_size
        room = self.max_bytes - self.size
        if len(data) > room:
            fitting = data.rfind(b"\n", 0, max(room, 0)) + 1
            if fitting == 0 and self.size > 0:
                self._rotate()
                return 0
            data = data[: fitting or room]
        written = os.write(self.fd, data)
        self.size += written
        return written

    def _rotate(self) -> None:
        os.close(self.fd)
        self.fd = -1
        names = [self.path] + [f"{self.path}.{number}" for number in range(1, self.files)]
        if len(names) == 1:
            os.truncate(self.path, 0)
        for older, newer in zip(reversed(names), list(reversed(names))[1:], strict=False):
            try:
                os.replace(newer, older)
            except FileNotFoundError:
                continue
