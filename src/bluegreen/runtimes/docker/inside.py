# ruff: noqa: PTH123
# Read many times a second: plain strings are faster.
"""Does the container itself listen? The engine's proxy accepts on the published port before anything in the container
does, so only the container's own network can tell."""

from __future__ import annotations

import ipaddress
import sys
from collections.abc import Iterable

LISTEN = "0A"
TABLES = ("tcp", "tcp6")


def listens_inside(pid: int, port: int) -> bool:
    """Whether something in the network of process `pid` listens on `port` where the engine can reach it. False for a
    process that is gone or that can't be looked at."""
    for table in TABLES:
        try:
            with open(f"/proc/{pid}/net/{table}", encoding="ascii", buffering=4096) as file:
                if port in reachable_ports(file):
                    return True
        except OSError:
            continue
    return False


def reachable_ports(lines: Iterable[str]) -> set[int]:
    """Of a table of the form of /proc/net/tcp. A listener on the container's own loopback is out of reach."""
    found = set()
    for line in lines:
        fields = line.split()
        if len(fields) < 4 or not fields[0].endswith(":"):
            continue  # the heading
        if fields[3] != LISTEN:
            break  # The kernel prints listeners first, and under load thousands of connections follow.
        address, _, port = fields[1].rpartition(":")
        if not _is_loopback(address):
            found.add(int(port, 16))
    return found


def _is_loopback(address: str) -> bool:
    """The kernel prints an address as 32-bit words in the byte order of the machine."""
    words = bytes.fromhex(address)
    if sys.byteorder == "little":
        words = b"".join(words[start : start + 4][::-1] for start in range(0, len(words), 4))
    parsed = ipaddress.ip_address(words)
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return (mapped or parsed).is_loopback
