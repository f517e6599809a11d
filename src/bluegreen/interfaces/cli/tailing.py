"""Following log files while they grow and are rotated, as `tail -F` does."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from io import BufferedReader
from pathlib import Path

POLL_SECONDS = 0.2
BLOCK_BYTES = 65536


class FollowedFile:
    """One file from its present end on. When another file takes its name, the old one is read to its end first."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BufferedReader | None = None
        self._begun = b""
        self._open(at_end=True)

    def new_lines(self) -> list[str]:
        """Complete lines written since the last call."""
        data = self._read()
        if self._was_replaced():
            data += self._read()
            self._open(at_end=False)
            data += self._read()
        *lines, self._begun = (self._begun + data).split(b"\n")
        return [line.decode(errors="replace").rstrip("\r") for line in lines]

    def _open(self, *, at_end: bool) -> None:
        if self._file is not None:
            self._file.close()
        try:
            self._file = self._path.open("rb")
        except OSError:
            self._file = None
            return
        if at_end:
            self._file.seek(0, os.SEEK_END)

    def _was_replaced(self) -> bool:
        try:
            named = self._path.stat()
        except OSError:
            return False
        if self._file is None:
            return True
        opened = os.fstat(self._file.fileno())
        if named.st_size < self._file.tell() and named.st_ino == opened.st_ino:
            self._file.seek(0)
        return (named.st_dev, named.st_ino) != (opened.st_dev, opened.st_ino)

    def _read(self) -> bytes:
        data = b""
        while self._file is not None and (block := self._file.read(BLOCK_BYTES)):
            data += block
        return data


def follow_files(paths: Sequence[Path]) -> None:
    """Prints new lines until Ctrl-C; with several files, which replica wrote them."""
    followed = [(f"[{index}] " if len(paths) > 1 else "", FollowedFile(path)) for index, path in enumerate(paths)]
    while True:
        quiet = True
        for prefix, file in followed:
            for line in file.new_lines():
                quiet = False
                sys.stdout.write(f"{prefix}{line}\n")
        sys.stdout.flush()
        if quiet:
            time.sleep(POLL_SECONDS)
