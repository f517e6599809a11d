"""Changes running HAProxy workers, all of them: old ones still carry connections and own their copy of the routes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

from bluegreen.domain.errors import RouterError
from bluegreen.domain.model import Color, Endpoint
from bluegreen.routers.haproxy import admin
from bluegreen.routers.haproxy.admin import RouterUnreachable, ServerLine, Worker
from bluegreen.routers.haproxy.config import ADMIN_SOCKET, COUNTERS, MASTER_SOCKET, ROUTES_MAP, address
from bluegreen.routers.haproxy.counters import Reading
from bluegreen.routers.haproxy.routes import RouteEntry, backend_name, encode, parse_table
from bluegreen.routers.haproxy.slots import Slots, assign

RELOAD_TIMEOUT_SECONDS = 30.0
_CHUNK_BYTES = 12_000
"""HAProxy takes at most one buffer (16 KiB) per command."""
_KEYS_PER_QUESTION = 40
_COMMANDS_PER_LINE = 60
_GONE = "Can't find the target"


class HaproxyRuntime:
    """The runtime API of one HAProxy: `run_directory` holds its two sockets."""

    def __init__(self, run_directory: Path) -> None:
        self._admin_socket = run_directory / ADMIN_SOCKET
        self._master_socket = run_directory / MASTER_SOCKET

    async def workers(self) -> list[Worker]:
        """The current worker first. Raises RouterUnreachable when there is none."""
        workers = admin.parse_workers(await admin.ask(self._master_socket, "show proc"))
        if all(worker.old for worker in workers):
            raise RouterUnreachable("HAProxy has no worker that takes requests", hint="See: bluegreen doctor")
        return sorted(workers, key=lambda worker: worker.old)

    async def info(self) -> dict[str, str]:
        return admin.parse_info(await admin.ask(self._admin_socket, "show info"))

    async def reload(self) -> None:
        """Returns when the new worker takes requests. Raises RouterError with HAProxy's reason when it refused."""
        answer = await admin.ask(self._master_socket, "reload", timeout_seconds=RELOAD_TIMEOUT_SECONDS)
        if not answer.startswith("Success=1"):
            alerts = [line for line in answer.splitlines() if "ALERT" in line] or answer.splitlines()
            raise RouterError("HAProxy refused the configuration: " + " ".join(alerts[:5]))

    async def routes(self) -> dict[str, RouteEntry]:
        """The routes of the current worker."""
        answer = await admin.ask(self._admin_socket, f"show map {ROUTES_MAP}")
        return parse_table(admin.parse_map(answer))

    async def routes_of(self, services: Sequence[str]) -> dict[str, RouteEntry]:
        if len(services) > _KEYS_PER_QUESTION:
            return await self.routes()
        question = ";".join(f"get map {ROUTES_MAP} {service}" for service in services)
        found = admin.parse_lookups(await admin.ask(self._admin_socket, question)) if services else {}
        return parse_table(f"{service} {value}" for service, value in found.items())

    async def apply_routes(
        self, table: Mapping[str, RouteEntry], changed: Sequence[str], workers: Sequence[Worker]
    ) -> None:
        """Puts the routes of `changed` in force in these workers, atomically, and reads them back from each."""
        apply = self._set_one if len(changed) == 1 else self._replace_all
        await asyncio.gather(*(apply(worker, table, changed) for worker in workers))

    async def counters(self, workload_ids: Sequence[str]) -> dict[int, dict[str, Reading]]:
        """By pid of every worker. Raises RouterError when one that runs can't be read."""
        question = f"show table {COUNTERS}"
        if len(workload_ids) <= _KEYS_PER_QUESTION:
            question = ";".join(f"show table {COUNTERS} key {workload_id}" for workload_id in workload_ids)
        workers = await self.workers()
        answers = await asyncio.gather(*(self._ask_worker(worker, question) for worker in workers))
        return {
            worker.pid: admin.parse_counters(answer)
            for worker, answer in zip(workers, answers, strict=True)
            if answer is not None
        }

    async def apply_endpoints(self, service: str, color: Color, endpoints: Sequence[Endpoint]) -> None:
        """Makes the workers' server lines of one slot these endpoints, and reads them back."""
        for worker in await self.workers():
            await self._apply_endpoints_to(worker, backend_name(service, color), endpoints)

    async def _set_one(self, worker: Worker, table: Mapping[str, RouteEntry], changed: Sequence[str]) -> None:
        (service,) = changed
        value = encode(table[service])
        answer = await self._ask_worker(
            worker, f"set map {ROUTES_MAP} {service} {value};get map {ROUTES_MAP} {service}"
        )
        if answer is None or (worker.old and "entry not found" in answer):
            # An old worker that does not know the service has no requests for it.
            return
        if admin.parse_lookups(answer).get(service) != value:
            raise RouterError(f"HAProxy process {worker.pid} did not take the route of {service!r}: {answer.strip()}")

    async def _replace_all(self, worker: Worker, table: Mapping[str, RouteEntry], changed: Sequence[str]) -> None:
        prepared = await self._ask_worker(worker, f"prepare map {ROUTES_MAP}")
        if prepared is None:
            return
        version = prepared.strip().rpartition(" ")[2]
        if not version.isdigit():
            raise RouterError(f"HAProxy process {worker.pid} can't prepare routes: {prepared.strip()}")
        for lines in _chunks([f"{service} {encode(entry)}\n" for service, entry in table.items()]):
            answer = await self._ask_worker(worker, f"add map @{version} {ROUTES_MAP} <<\n{lines}\n", payload=True)
            if answer is not None and answer.strip():
                raise RouterError(f"HAProxy process {worker.pid} did not take the routes: {answer.strip()}")
        answer = await self._ask_worker(worker, f"commit map @{version} {ROUTES_MAP};show map {ROUTES_MAP}")
        if answer is None:
            return
        in_force = dict(line.split(" ", 1) for line in admin.parse_map(answer))
        for service in changed:
            if in_force.get(service) != encode(table[service]):
                raise RouterError(f"HAProxy process {worker.pid} did not take the route of {service!r}")

    async def _apply_endpoints_to(self, worker: Worker, backend: str, wanted: Sequence[Endpoint]) -> None:
        question = f"show servers state {backend}"
        answer = await self._ask_worker(worker, question)
        lines = admin.parse_servers(answer or "")
        if worker.old and not lines:
            return
        slots = tuple(None if line.in_maintenance else line.endpoint for line in lines)
        # An old worker may have fewer lines than replicas are wanted now: some are better than none.
        target = assign(slots, wanted[: len(slots)] if worker.old else wanted)
        if target is None:
            raise RouterError(f"{backend} has {len(slots)} server lines, {len(wanted)} endpoints don't fit")
        commands = server_commands(backend, lines, slots, target)
        if not commands:
            return
        for start in range(0, len(commands), _COMMANDS_PER_LINE):
            await self._ask_worker(worker, ";".join(commands[start : start + _COMMANDS_PER_LINE]))
        answer = await self._ask_worker(worker, question)
        if answer is None:
            return
        seen = {line.endpoint for line in admin.parse_servers(answer) if not line.in_maintenance}
        if seen != {endpoint for endpoint in target if endpoint is not None}:
            listing = ", ".join(sorted(map(address, seen))) or "none"
            raise RouterError(f"HAProxy process {worker.pid} did not take the endpoints of {backend}: it has {listing}")

    async def _ask_worker(self, worker: Worker, command: str, *, payload: bool = False) -> str | None:
        """None when the worker, an old one, has ended meanwhile."""
        separator = " " if payload else ";"
        answer = await admin.ask(self._master_socket, f"@!{worker.pid}{separator}{command}")
        if not answer or answer.startswith(_GONE):
            return await self._unless_gone(worker, answer)
        return answer

    async def _unless_gone(self, worker: Worker, answer: str) -> str | None:
        if any(known.pid == worker.pid for known in await self.workers()):
            return answer
        if worker.old:
            return None
        raise RouterUnreachable(f"HAProxy process {worker.pid} ended while it was being changed")


def server_commands(backend: str, lines: Sequence[ServerLine], before: Slots, after: Slots) -> list[str]:
    """What comes arrives before what goes leaves. Going means maintenance: requests under way are finished."""
    arriving: list[str] = []
    leaving: list[str] = []
    for line, old, new in zip(lines, before, after, strict=True):
        server = f"{backend}/{line.name}"
        if old == new:
            continue
        if new is None:
            leaving.append(f"set server {server} state maint")
            continue
        if old is not None:
            arriving.append(f"set server {server} state maint")
        arriving.append(f"set server {server} addr {new.host} port {new.port}")
        arriving.append(f"set server {server} state ready")
    return arriving + leaving


def _chunks(lines: Sequence[str]) -> list[str]:
    chunks: list[str] = []
    current: list[str] = []
    size = 0
    for line in lines:
        if size + len(line) > _CHUNK_BYTES:
            chunks.append("".join(current))
            current, size = [], 0
        current.append(line)
        size += len(line)
    return [*chunks, "".join(current)] if current else chunks
