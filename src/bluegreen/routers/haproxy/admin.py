"""Talks to HAProxy's sockets, and reads what they answer.

One connection per command: about 0.1 ms on an idle machine, and nothing to keep alive across restarts.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bluegreen.domain.errors import RouterError
from bluegreen.domain.model import Endpoint

ANSWER_TIMEOUT_SECONDS = 5.0

_LOOKUP = re.compile(r'key="([^"]*)", value="([^"]*)"')
_FORCED_MAINTENANCE = 0x01


class RouterUnreachable(RouterError):
    """Nobody answers on the socket: HAProxy is down or being restarted."""


class RouterSilent(RouterError):
    """HAProxy took the connection and does not answer: a process of it is stuck."""


@dataclass(frozen=True, slots=True)
class Worker:
    """A HAProxy process that serves requests. An old one finishes what it began before a reload."""

    pid: int
    old: bool


@dataclass(frozen=True, slots=True)
class ServerLine:
    backend: str
    name: str
    endpoint: Endpoint
    in_maintenance: bool


async def ask(socket: Path, command: str, *, timeout_seconds: float = ANSWER_TIMEOUT_SECONDS) -> str:
    """Sends one command (or several with `;`) and returns the whole answer."""
    try:
        async with asyncio.timeout(timeout_seconds):
            reader, writer = await asyncio.open_unix_connection(str(socket))
            try:
                writer.write(command.encode() + b"\n")
                writer.write_eof()
                answer = await reader.read(-1)
            finally:
                writer.close()
    except TimeoutError as error:
        raise RouterSilent(f"HAProxy did not answer on {socket} within {timeout_seconds:g} s") from error
    except OSError as error:
        raise RouterUnreachable(
            f"HAProxy does not answer on {socket}: {error.strerror or error}", hint="See: bluegreen doctor"
        ) from error
    return answer.decode(errors="replace")


def parse_workers(answer: str) -> list[Worker]:
    """Of `show proc` on the master socket."""
    workers: list[Worker] = []
    old = False
    for line in answer.splitlines():
        if line.startswith("# old workers"):
            old = True
        elif line.startswith("# "):
            old = False
        fields = line.split()
        if len(fields) > 1 and fields[0].isdigit() and fields[1] == "worker":
            workers.append(Worker(int(fields[0]), old))
    return workers


def parse_lookups(answer: str) -> dict[str, str]:
    """Of `get map`, several in a row; keys that are not there are left out."""
    return dict(_LOOKUP.findall(answer))


def parse_map(answer: str) -> list[str]:
    """Of `show map FILE`: lines `key value`, the entry's address removed."""
    lines = (line.partition(" ") for line in answer.splitlines())
    return [rest for head, _, rest in lines if head.startswith("0x")]


def parse_info(answer: str) -> dict[str, str]:
    """Of `show info`."""
    pairs = (line.partition(":") for line in answer.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def parse_servers(answer: str) -> list[ServerLine]:
    """Of `show servers state BACKEND`; empty when there is no such backend."""
    return list(_server_lines(answer))


def _server_lines(answer: str) -> Iterator[ServerLine]:
    columns: list[str] = []
    for line in answer.splitlines():
        fields = line.split()
        if line.startswith("# "):
            columns = fields[1:]
        elif columns and len(fields) >= len(columns) - 1:
            row = dict(zip(columns, fields, strict=False))
            maintenance = bool(int(row["srv_admin_state"]) & _FORCED_MAINTENANCE)
            yield ServerLine(
                row["be_name"], row["srv_name"], Endpoint(row["srv_addr"], int(row["srv_port"])), maintenance
            )
