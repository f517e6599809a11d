"""The port of one replica, as the shim chooses and holds it. Standard library only."""

from __future__ import annotations

import fcntl
import os
import socket


class NoFreePort(Exception):
    """Every port of the range is taken."""


class PortLease:
    """The replica's port. The lock on `<lock_dir>/<port>.lock` keeps other shims from choosing it too."""

    def __init__(self, first: int, last: int, lock_dir: str) -> None:
        self.first, self.last, self.lock_dir = first, last, lock_dir
        self.port: int | None = None
        self.lock_fd = -1

    def ensure(self, wanted: int | None) -> int:
        """The port held so far, or `wanted`, unless a stranger has it now; else a free one."""
        candidates = [port for port in (self.port, wanted) if port is not None]
        count = self.last - self.first + 1
        offset = int.from_bytes(os.urandom(4), "big")
        candidates += [self.first + (offset + step) % count for step in range(count)]
        for port in candidates:
            if self._take(port):
                return port
        raise NoFreePort(f"no free port between {self.first} and {self.last}")

    def _take(self, port: int) -> bool:
        if port != self.port:
            lock_fd = os.open(f"{self.lock_dir}/{port}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            if not lock(lock_fd):
                os.close(lock_fd)
                return False
            if self.lock_fd >= 0:
                os.close(self.lock_fd)
            self.lock_fd, self.port = lock_fd, port
        return can_bind("127.0.0.1", port) and can_bind("", port)


def lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def can_bind(host: str, port: int) -> bool:
    """SO_REUSEADDR: connections of an ended replica in TIME_WAIT don't count, a listener does."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
