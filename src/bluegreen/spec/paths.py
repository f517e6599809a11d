"""Where things are on disk. Sockets get a short directory of their own: a socket's path ends at 108 bytes."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

from bluegreen.domain.errors import ConfigurationError

LONGEST_SOCKET_DIRECTORY = 80
"""Leaves room for the socket's name within the 108 bytes of sockaddr_un."""


def run_directory(state_directory: Path) -> Path:
    """The directory of the sockets, `<state>/run` when that is short enough, else one under the user's runtime
    directory or /tmp whose name follows from the state directory. Created with mode 0700 and checked to be ours.

    Raises ConfigurationError when it can't be made or belongs to somebody else.
    """
    preferred = state_directory / "run"
    if len(os.fsencode(preferred)) <= LONGEST_SOCKET_DIRECTORY:
        return _private(preferred)
    digest = hashlib.sha256(os.fsencode(state_directory)).hexdigest()[:12]
    base = os.environ.get("XDG_RUNTIME_DIR", "")
    if base and len(os.fsencode(base)) <= LONGEST_SOCKET_DIRECTORY - 30 and Path(base).is_dir():
        return _private(Path(base) / f"bluegreen-{digest}")
    return _private(Path("/tmp") / f"bluegreen-{os.getuid()}-{digest}")  # noqa: S108 - 0700, ownership checked


def _private(directory: Path) -> Path:
    try:
        # The mode is for the last one alone, and whoever asks first makes the state directory too.
        directory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        directory.mkdir(mode=0o700, exist_ok=True)
        found = directory.lstat()
    except OSError as error:
        problem = f"daemon.state_dir: {directory} can't be used: {error.strerror or error}"
        raise ConfigurationError("the state directory", [problem]) from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise ConfigurationError("the state directory", [f"daemon.state_dir: {directory} belongs to somebody else"])
    if stat.S_IMODE(found.st_mode) & 0o077:
        directory.chmod(0o700)
    return directory


def daemon_socket(state_directory: Path) -> Path:
    """The daemon's door, mode 0600."""
    return run_directory(state_directory) / "daemon.sock"


def event_log(state_directory: Path) -> Path:
    return state_directory / "events.sqlite"


def metrics_store(state_directory: Path) -> Path:
    """What was measured; beside it `-wal`, `-shm` and, once it was damaged, one `.damaged-…`. May be deleted."""
    return state_directory / "metrics.sqlite"


def token_file(state_directory: Path) -> Path:
    """Digests of the tokens, mode 0600."""
    return state_directory / "tokens.json"


def audit_log(state_directory: Path) -> Path:
    """Who did what; beside it `audit.head`, `audit.lock` and, after a crash, `audit.damaged`."""
    return state_directory / "audit.jsonl"


def daemon_log(state_directory: Path) -> Path:
    return state_directory / "daemon.log"


def absolute(path: str, base_directory: Path) -> Path:
    """Of a path as people write it, `~` included; a relative one begins at the directory."""
    return base_directory / os.path.expanduser(path)  # noqa: PTH111 - Path.expanduser raises for unknown users
