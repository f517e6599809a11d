"""Where a Docker Engine is: a socket of this machine, a TCP port, or another machine's socket through SSH."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, ip_address

from bluegreen.spec.toml_text import toml_text

DEFAULT_REMOTE_SOCKET = "/var/run/docker.sock"
# Neither may begin with a dash: both become arguments of ssh.
_NAME = r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?"
_HOST = rf"(?P<host>{_NAME}|\[[0-9A-Fa-f:.]+\])"
_USER = r"[A-Za-z0-9_][A-Za-z0-9_.+-]*"
_UNIX = re.compile(r"unix://(?P<path>/[!-~]+)")
_TCP = re.compile(rf"tcp://{_HOST}:(?P<port>[0-9]{{1,5}})")
_SSH = re.compile(rf"ssh://((?P<user>{_USER})@)?{_HOST}(:(?P<port>[0-9]{{1,5}}))?(?P<path>/[!-9;-~]*)?")
ENGINE_PATTERN = r"^(unix:///[!-~]+|tcp://[^\s/@]+:[0-9]+|ssh://[^\s/-][^\s/]*(/[!-~]*)?)$"
_KINDS = '"unix:///run/docker.sock", "tcp://10.0.0.5:2376" or "ssh://user@host"'


@dataclass(frozen=True, slots=True)
class EngineHost:
    """`path` is the socket's, of ssh on the other machine. `host` of an IPv6 address is without brackets. `port` is
    None where ssh decides; "" as `user` lets ssh decide too."""

    kind: str
    """unix, tcp or ssh."""
    path: str = ""
    host: str = ""
    port: int | None = None
    user: str = ""

    @property
    def is_elsewhere(self) -> bool:
        """Whether it names another machine. A unix socket and a loopback port may still be forwarded to one."""
        return self.kind == "ssh" or (self.kind == "tcp" and not on_loopback(self.host))


def parse_engine_host(text: str) -> EngineHost:
    """Raises ValueError with a sentence that goes behind the key's path."""
    if match := _UNIX.fullmatch(text):
        return EngineHost("unix", match["path"])
    if match := _TCP.fullmatch(text):
        return EngineHost("tcp", "", _bare(match["host"]), _port(match["port"], text))
    if match := _SSH.fullmatch(text):
        path = match["path"] or ""
        port = _port(match["port"], text) if match["port"] else None
        return EngineHost(
            "ssh", path if len(path) > 1 else DEFAULT_REMOTE_SOCKET, _bare(match["host"]), port, match["user"] or ""
        )
    raise ValueError(f"must be an engine's address, such as {_KINDS}, got {toml_text(text)}")


def on_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def engine_host(value: str) -> str:
    parse_engine_host(value)
    return value


def published_address(value: str) -> str:
    """An address that ports can be published on. Raises ValueError."""
    try:
        parsed = IPv4Address(value)
    except ValueError:
        raise ValueError(
            f'must be an IPv4 address of the engine\'s machine, such as "10.0.0.5", got {toml_text(value)}'
        ) from None
    if parsed.is_unspecified or parsed.is_multicast:
        raise ValueError(f"must be one address, under which this machine reaches the engine's, not {toml_text(value)}")
    return value


def _bare(host: str) -> str:
    if not host.startswith("["):
        return host
    bare = host[1:-1]
    try:
        ip_address(bare)
    except ValueError:
        raise ValueError(f"must hold an IPv6 address between its brackets, got {toml_text(host)}") from None
    return bare


def _port(digits: str, text: str) -> int:
    if not 1 <= int(digits) <= 65535:
        raise ValueError(f"must have a port from 1 to 65535, got {toml_text(text)}")
    return int(digits)
