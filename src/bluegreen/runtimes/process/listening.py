# ruff: noqa: PTH115, PTH123, PTH208
# Called many times a second, for every descriptor of every process: plain strings are faster.
"""Is it the replica itself that listens on its port? A free port can be taken by a stranger before it binds."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress

from bluegreen.runtimes.process.proc import descendants_of
from bluegreen.runtimes.process.sock_diag import listening_sockets

TABLES = ("/proc/net/tcp", "/proc/net/tcp6")
LISTEN = "0A"
LOCAL_ADDRESSES = frozenset(
    socket.inet_pton(family, address)
    for family, address in (
        (socket.AF_INET, "127.0.0.1"),
        (socket.AF_INET, "0.0.0.0"),  # noqa: S104
        (socket.AF_INET6, "::"),
        (socket.AF_INET6, "::ffff:127.0.0.1"),
    )
)
"""Listeners on these get what is sent to 127.0.0.1. One on ::1 does not, so it does not count."""


def parse_listeners(lines: Iterable[str]) -> Iterator[tuple[int, int]]:
    """(port, socket inode) of each local listener in a table of the form of /proc/net/tcp.

    The kernel prints listening sockets before all others, so reading ends at the first that is none: under load
    tens of thousands of connections follow.
    """
    for line in lines:
        fields = line.split()
        if len(fields) < 10 or not fields[0].endswith(":"):
            continue  # the heading
        if fields[3] != LISTEN:
            return
        address, _, port = fields[1].rpartition(":")
        if _network_order(address) in LOCAL_ADDRESSES:
            yield int(port, 16), int(fields[9])


def _network_order(address: str) -> bytes:
    """The kernel prints an address as 32-bit words in the byte order of the machine."""
    words = bytes.fromhex(address)
    if sys.byteorder == "big":
        return words
    return b"".join(words[start : start + 4][::-1] for start in range(0, len(words), 4))


def parse_socket_link(target: str) -> int | None:
    """The inode in `socket:[12345]`, what /proc/<pid>/fd/<n> points to; None for anything else."""
    if not target.startswith("socket:["):
        return None
    return int(target[len("socket:[") : -1])


def local_listeners() -> Mapping[int, frozenset[int]]:
    """port → inodes of the sockets that listen on it."""
    found: dict[int, set[int]] = {}
    for port, inode in _local_listeners():
        found.setdefault(port, set()).add(inode)
    return {port: frozenset(inodes) for port, inodes in found.items()}


def _local_listeners() -> Iterator[tuple[int, int]]:
    try:
        sockets = listening_sockets(socket.AF_INET) + listening_sockets(socket.AF_INET6)
    except OSError:
        for table in TABLES:
            with suppress(OSError), open(table, encoding="ascii", buffering=4096) as file:
                yield from parse_listeners(file)
        return
    for address, port, inode in sockets:
        if address in LOCAL_ADDRESSES:
            yield port, inode


def holds_all(pids: Iterable[int], inodes: frozenset[int]) -> bool:
    """Whether each of these sockets is open in one of the processes."""
    missing = set(inodes)
    for pid in pids:
        folder = f"/proc/{pid}/fd"
        try:
            descriptors = sorted(os.listdir(folder), key=int)
        except OSError:
            continue
        for descriptor in descriptors:
            try:
                missing.discard(parse_socket_link(os.readlink(f"{folder}/{descriptor}")) or 0)
            except OSError:
                continue
            if not missing:
                return True
    return False


def replica_listens(shim_pid: int, port: int, listeners: Mapping[int, frozenset[int]]) -> bool:
    """Every local listener on `port` belongs to the processes under this shim, and there is one. With a stranger
    beside it (SO_REUSEPORT) it is False: some connections would go astray."""
    inodes = listeners.get(port)
    return bool(inodes) and holds_all(descendants_of(shim_pid), inodes or frozenset())
