"""Which port of the container is the service's, and whether it speaks HTTP at all."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from bluegreen.spec.compose.draft import Draft
from bluegreen.spec.compose.notes import plain
from bluegreen.spec.compose.units import whole

SSH = 22
NOT_HTTP = {
    SSH: "SSH",
    25: "SMTP",
    53: "DNS",
    389: "LDAP",
    1433: "SQL Server",
    1521: "Oracle",
    1883: "MQTT",
    2181: "ZooKeeper",
    3306: "MySQL",
    4222: "NATS",
    5432: "PostgreSQL",
    5672: "AMQP",
    6379: "Redis",
    9042: "Cassandra",
    9092: "Kafka",
    11211: "memcached",
    27017: "MongoDB",
}
"""Ports that are known for another protocol."""
_SHORT = re.compile(
    r"(?:(?P<ip>\[[0-9a-fA-F:.]+\]|[0-9]+(?:\.[0-9]+){3}|::1?):)?"
    r"(?:(?P<host>[0-9]*(?:-[0-9]+)?):)?(?P<port>[0-9]+(?:-[0-9]+)?)(?:/(?P<protocol>[a-z]+))?"
)


@dataclass(frozen=True, slots=True)
class PublishedPort:
    """`host` is the port outside, "" when only other containers reach it. `place` is its key path in the service."""

    port: int
    host: str
    place: tuple[str | int, ...]
    application: str = ""


def published(draft: Draft) -> list[PublishedPort]:
    """Every TCP port of `ports` and `expose`, in that order. Other protocols are lost."""
    found: list[PublishedPort] = []
    for key in ("ports", "expose"):
        for index, entry in enumerate(draft.part.items(key)):
            place = (key, index)
            if isinstance(entry, dict):
                found += _long(draft, entry, place)
            else:
                found += _short(draft, plain(entry), place, inside=key == "expose")
    return found


def _short(draft: Draft, text: str, place: tuple[str | int, ...], *, inside: bool) -> list[PublishedPort]:
    match = _SHORT.fullmatch(text)
    ports = _range(match["port"]) if match else []
    if match is None or not ports or (inside and match["host"]):
        draft.part.notes.wrong((*draft.part.at, *place), f"{text!r} is no port such as 8080 or 80:8080")
        return []
    if (match["protocol"] or "tcp") != "tcp":
        draft.part.notes.lose((*draft.part.at, *place), f"{match['protocol']}: bluegreen sends HTTP over TCP alone")
        return []
    hosts = _range(match["host"] or "")
    if len(hosts) != len(ports):
        return [PublishedPort(port, match["host"] or "", place) for port in ports]
    return [PublishedPort(port, str(host), place) for port, host in zip(ports, hosts, strict=True)]


def _long(draft: Draft, entry: dict[str, Any], place: tuple[str | int, ...]) -> list[PublishedPort]:
    port, protocol = whole(entry.get("target")), plain(entry.get("protocol")) or "tcp"
    if port is None or not 1 <= port <= 65535:
        draft.part.notes.wrong((*draft.part.at, *place, "target"), "must be a port from 1 to 65535")
        return []
    if protocol != "tcp":
        draft.part.notes.lose((*draft.part.at, *place), f"{protocol}: bluegreen sends HTTP over TCP alone")
        return []
    return [PublishedPort(port, plain(entry.get("published")), place, plain(entry.get("app_protocol")))]


def _range(text: str) -> list[int]:
    first, _, last = text.partition("-")
    if not first or len(first) > 5 or len(last) > 5:
        return []
    begin, end = int(first), int(last or first)
    return list(range(begin, end + 1)) if 1 <= begin <= end <= 65535 and end - begin < 1000 else []


def why_not_http(ports: list[PublishedPort], *, known_http: bool, checked_port: int | None) -> str:
    """A reason not to import the service, "" when it is taken for an HTTP service."""
    if known_http:
        return ""
    if not ports:
        more = ""
        if checked_port is not None:
            more = f"; its health check asks port {checked_port}: write expose: [{checked_port}] if users do too"
        return f"has no ports, so no requests reach it through a router; leave it with Compose{more}"
    # SSH beside another port is for the users of a service that may well be one of HTTP.
    first = next((port.port for port in ports if port.port != SSH), SSH)
    other = NOT_HTTP.get(first, "")
    return f"speaks {other}, not HTTP; leave it with Compose" if other else ""


def choose_port(draft: Draft, ports: list[PublishedPort], *, routed: int | None, asked: int | None) -> None:
    """Writes the container's port: the one that another router sends to; the one that is `asked` otherwise, if there is
    such a port; else the first. Says what becomes of the others."""
    given = sorted((port.port for port in ports), key=lambda port: port in NOT_HTTP)
    chosen = routed or (asked if asked in given or not given else given[0])
    if chosen is None:
        return
    draft.container["port"] = chosen
    notes, at = draft.part.notes, draft.part.at
    others: dict[tuple[str | int, ...], list[int]] = {}
    for port in ports:
        if port.port != chosen:
            others.setdefault(port.place, []).append(port.port)
        elif port.host and port.place[0] == "ports":
            text = f"host port {port.host} is not published: the router listens in its place, where router.listen says"
            notes.change((*at, *port.place), text)
    for place, lost in others.items():
        named = f"port {lost[0]}" if len(lost) == 1 else f"ports {lost[0]} to {lost[-1]}"
        notes.lose((*at, *place), f"{named}: a service has one port, {chosen} was taken")
    if any(port.port == chosen and port.application.lower() in ("h2c", "grpc") for port in ports):
        draft.table["protocol"] = "h2c"
