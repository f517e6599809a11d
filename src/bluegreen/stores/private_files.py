"""Files that only their owner reads: replaced whole, and changed by one process at a time."""

from __future__ import annotations

import fcntl
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bluegreen.domain.errors import StoreError

LOCK_TIMEOUT_SECONDS = 10.0
"""Far longer than anybody holds a lock, who writes a few lines."""
MODE = 0o600


def write_all(descriptor: int, data: bytes) -> None:
    """Raises OSError; what was written until then stays."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def replace(path: Path, data: bytes) -> None:
    """The old content or the new one, never a mixture, on disk when it returns. Only under the lock. Raises OSError."""
    temporary = path.with_name(path.name + ".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, MODE)
    try:
        os.fchmod(descriptor, MODE)  # A leftover of ours may have another one.
        write_all(descriptor, data)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    temporary.replace(path)
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """So that a new name in it survives a loss of power."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def locked(path: Path, *, shared: bool = False) -> Iterator[None]:
    """One holder among all threads and processes, or several that only read. Ends with the process that has it.

    Makes the lock file and its directory. Raises OSError, or StoreError when somebody holds it for too long.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, MODE)
    try:
        deadline = time.monotonic() + LOCK_TIMEOUT_SECONDS
        while True:
            try:
                fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise StoreError(
                        f"{path}: another process has held this lock for {LOCK_TIMEOUT_SECONDS:g} s",
                        hint=f"See who has it: fuser -v {path}",
                    ) from None
                time.sleep(0.002)
        yield
    finally:
        os.close(descriptor)


def require_private(path: Path, found: os.stat_result) -> None:
    """Raises StoreError for a file that others may read or write, or that belongs to somebody else."""
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
        raise StoreError(f"{path} is no file of the user who runs bluegreen", hint=f"Look at it: ls -l {path}")
    if stat.S_IMODE(found.st_mode) & 0o077:
        raise StoreError(
            f"{path} may be read or written by others (mode {stat.S_IMODE(found.st_mode):04o}, must be 0600)",
            hint=f"Type: chmod 600 {path}   and if somebody may have read it, make new tokens",
        )


def explained(what: str, path: Path, error: OSError) -> StoreError:
    return StoreError(
        f"{what} {path}: {error.strerror or error}; nothing was changed",
        hint=f"Check that {path.parent} is writable and its disk has space, then try again",
    )
