"""One writer per event log: a lock that ends with the process that has it."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from bluegreen.domain.errors import StoreError


class WriterLock:
    """Held from `take` to `release` or the end of the process. Children do not inherit it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def take(cls, log_path: Path) -> WriterLock:
        """Raises StoreError, with the holder's process id when another process has it."""
        directory = log_path.absolute().parent
        path = log_path.with_name(f"{log_path.name}.lock")
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise StoreError(
                f"event log {log_path}: {path.name} cannot be made ({error.strerror})",
                hint=f"Check that {directory} exists and is writable for the user of the daemon.",
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        except BlockingIOError:
            holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(descriptor)
            raise StoreError(
                f"event log {log_path} is written to by process {holder}; it has one writer at a time",
                hint="Use the daemon that runs (bluegreen status), or stop it first: bluegreen down",
            ) from None
        except OSError:
            # A full disk: the lock is what counts, the process id in it only helps people.
            pass
        return cls(descriptor)

    def release(self) -> None:
        os.close(self._descriptor)
