"""Changes running HAProxy workers, all of them: old ones still carry connections and own their copy of the routes."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from bluegreen.domain.errors import RouterError
from bluegreen.domain.model import Color, Endpoint
from bluegreen.routers.haproxy import admin
from bluegreen.routers.haproxy.admin import RouterSilent, RouterUnreachable, ServerLine, Worker
from bluegreen.routers.haproxy.config import ADMIN_SOCKET, MASTER_SOCKET, ROUTES_MAP, address
from bluegreen.routers.haproxy.routes import Detour, RouteEntry, backend_name, encode, parse_table
from bluegreen.routers.haproxy.slots import Slots, assign, slot_count

RELOAD_TIMEOUT_SECONDS = 30.0
FIRST_PATIENCE_SECONDS = 0.05
_CHUNK_BYTES = 12_000
"""HAProxy takes at most one buffer (16 KiB) per command."""
KEYS_PER_QUESTION = 40
_COMMANDS_PER_LINE = 60
_GONE = ("Can't find the target", "Can't connect to the target")


_PID = re.compile(r"^Pid: (\d+)$", re.MULTILINE)
_NEW_VERSION = re.compile(r"New version created: (\d+)")

Replicas = Callable[[str, Color], tuple[Sequence[Endpoint], str]]
"""Which replicas a slot should have now, and the protocol they speak."""


class HaproxyRuntime:
    """The runtime API of one HAProxy: `run_directory` holds its two sockets."""

    def __init__(self, run_directory: Path) -> None:
        self._admin_socket = run_directory / ADMIN_SOCKET
        self._master_socket = run_directory / MASTER_SOCKET
        self._alone = 0
        """Pid of a current worker that was seen without old ones: they come only with a reload, and that is a new
        current worker. So the master need not be asked, which saves two process switches on every way."""

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

    async def routes_of(self, services: Sequence[str]) -> tuple[list[Worker], dict[str, RouteEntry]]:
        """The workers, as `workers()` has them, and these routes of the current one."""
        if len(services) > KEYS_PER_QUESTION:
            workers, answer = await self._ask_current(f"show map {ROUTES_MAP}")
            return workers, parse_table(admin.parse_map(answer))
        workers, answer = await self._ask_current(";".join(f"get map {ROUTES_MAP} {service}" for service in services))
        return workers, parse_table(f"{service} {value}" for service, value in admin.parse_lookups(answer).items())

    async def _ask_current(self, question: str) -> tuple[list[Worker], str]:
        """All workers, and the current one's answer."""
        answer = await admin.ask(self._admin_socket, f"show info;{question}")
        found = _PID.search(answer)
        if found is not None and int(found[1]) == self._alone:
            return [Worker(self._alone, False)], answer
        workers = await self.workers()
        self._alone = workers[0].pid if len(workers) == 1 else 0
        return workers, answer

    async def apply_routes(
        self, table: Mapping[str, RouteEntry], changed: Sequence[str], workers: Sequence[Worker], replicas: Replicas
    ) -> None:
        """Puts the routes of `changed` in force in these workers, atomically, and reads them back from each."""
        await asyncio.gather(*(self._apply_routes_to(worker, table, changed, replicas) for worker in workers))

    async def ask_all(self, question: str) -> dict[int, str]:
        """The answer of every worker, by pid. Raises RouterError when one that runs can't be read."""
        (current, *old), first = await self._ask_current(question)
        others = await asyncio.gather(*(self._ask_worker(worker, question) for worker in old))
        answers = zip(old, others, strict=True)
        return {current.pid: first} | {worker.pid: answer for worker, answer in answers if answer is not None}

    async def apply_endpoints(self, service: str, color: Color, endpoints: Sequence[Endpoint]) -> None:
        """Makes the server lines of one slot these endpoints, and reads them back. In the current worker only:
        old ones reach new replicas by detour."""
        worker, *_ = await self.workers()
        await self._apply_endpoints_to(worker, backend_name(service, color), endpoints)

    async def _apply_routes_to(
        self, worker: Worker, table: Mapping[str, RouteEntry], changed: Sequence[str], replicas: Replicas
    ) -> None:
        values = {service: encode(table[service]) for service in changed}
        if worker.old:
            detours = await self._detours(worker, [table[service] for service in changed], replicas)
            values.update({service: encode(table[service], found) for service, found in detours.items()})
        revivals: list[str] = []
        if not worker.old and len(changed) <= KEYS_PER_QUESTION:
            revivals = [command for service in changed for command in revived(table[service], replicas)]
        if len(changed) == 1:
            await self._set_one(worker, changed[0], values[changed[0]], revivals)
        else:
            for start in range(0, len(revivals), _COMMANDS_PER_LINE):
                await self._ask_worker(worker, ";".join(revivals[start : start + _COMMANDS_PER_LINE]))
            await self._replace_all(worker, table, values)

    async def _detours(
        self, worker: Worker, entries: Sequence[RouteEntry], replicas: Replicas
    ) -> dict[str, dict[Color, Detour]]:
        """HAProxy refuses to change the servers of a process that is leaving ("Proxy is disabled"), but not its
        routes. Where its servers are not those of now, the route names a replica itself."""
        targets = [(entry.route.service, target.color) for entry in entries for target in entry.route.targets]
        if not targets:
            return {}
        question = ";".join(f"show servers state {backend_name(*target)}" for target in targets)
        if len(targets) > KEYS_PER_QUESTION:
            question = "show servers state"
        known: dict[str, set[Endpoint]] = {}
        for line in admin.parse_servers(await self._ask_worker(worker, question) or ""):
            if not line.in_maintenance:
                known.setdefault(line.backend, set()).add(line.endpoint)
        found: dict[str, dict[Color, Detour]] = {}
        for service, color in targets:
            wanted, protocol = replicas(service, color)
            if wanted and known.get(backend_name(service, color), set()) != set(wanted):
                found.setdefault(service, {})[color] = Detour(wanted[0], protocol)
        return found

    async def _set_one(self, worker: Worker, service: str, value: str, first: Sequence[str]) -> None:
        commands = [*first, f"set map {ROUTES_MAP} {service} {value}", f"get map {ROUTES_MAP} {service}"]
        answer = await self._ask_worker(worker, ";".join(commands))
        if answer is None or (worker.old and "entry not found" in answer):
            # An old worker that does not know the service has no requests for it.
            return
        if admin.parse_lookups(answer).get(service) != value:
            raise RouterError(f"HAProxy process {worker.pid} did not take the route of {service!r}: {answer.strip()}")

    async def _replace_all(self, worker: Worker, table: Mapping[str, RouteEntry], changed: Mapping[str, str]) -> None:
        # The current worker has exactly the table; an old one may have detours, which stay as they are.
        also = f";show map {ROUTES_MAP}" if worker.old else ""
        prepared = await self._ask_worker(worker, f"prepare map {ROUTES_MAP}{also}")
        if prepared is None:
            return
        version = _NEW_VERSION.search(prepared)
        if version is None:
            raise RouterError(f"HAProxy process {worker.pid} can't prepare routes: {prepared.strip()[:200]}")
        kept = {**_pairs(prepared), **changed}
        values = kept | {service: encode(entry) for service, entry in table.items() if service not in kept}
        for lines in _chunks([f"{service} {value}\n" for service, value in values.items()]):
            answer = await self._ask_worker(worker, f"add map @{version[1]} {ROUTES_MAP} <<\n{lines}\n", payload=True)
            if answer is not None and answer.strip():
                raise RouterError(f"HAProxy process {worker.pid} did not take the routes: {answer.strip()[:200]}")
        answer = await self._ask_worker(worker, f"commit map @{version[1]} {ROUTES_MAP};show map {ROUTES_MAP}")
        if answer is None:
            return
        in_force = _pairs(answer)
        for service, value in changed.items():
            if in_force.get(service) != value:
                raise RouterError(f"HAProxy process {worker.pid} did not take the route of {service!r}")

    async def _apply_endpoints_to(self, worker: Worker, backend: str, wanted: Sequence[Endpoint]) -> None:
        question = f"show servers state {backend}"
        answer = await self._ask_worker(worker, question)
        lines = admin.parse_servers(answer or "")
        slots = tuple(None if line.in_maintenance else line.endpoint for line in lines)
        target = assign(slots, wanted)
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
        """None when the worker, an old one, has ended meanwhile.

        The master passes commands on, and does not notice when an old worker ends without having taken one: then no
        answer ever comes. So the question is repeated, as long as the worker is there; every command may be.
        """
        if not worker.old:
            answer = await admin.ask(self._admin_socket, command)
            if answer:
                return answer
        line = f"@!{worker.pid}{' ' if payload else ';'}{command}"
        patience_seconds = FIRST_PATIENCE_SECONDS if worker.old else admin.ANSWER_TIMEOUT_SECONDS
        deadline = time.monotonic() + admin.ANSWER_TIMEOUT_SECONDS
        while True:
            try:
                answer = await admin.ask(self._master_socket, line, timeout_seconds=patience_seconds)
                if answer and not answer.startswith(_GONE):
                    return answer
                await asyncio.sleep(0.002)
            except RouterSilent:
                patience_seconds = min(2 * patience_seconds, 1.0)
            if not await self._is_there(worker):
                return None
            if time.monotonic() > deadline:
                raise RouterSilent(
                    f"HAProxy process {worker.pid} does not answer", hint=f"If it stays so, end it: kill {worker.pid}"
                )

    async def _is_there(self, worker: Worker) -> bool:
        """Raises RouterUnreachable when the current worker is gone: then another one is about to come."""
        if any(known.pid == worker.pid for known in await self.workers()):
            return True
        if worker.old:
            return False
        raise RouterUnreachable(f"HAProxy process {worker.pid} ended while it was being changed")


def revived(entry: RouteEntry, replicas: Replicas) -> list[str]:
    """Who decided to move the traffic has just seen these replicas healthy. HAProxy's own checks go at their own pace
    and may still hold one for down that has come back: then it would answer 503. If it is right after all, it takes
    the replica out again after `fall` checks. Not for large groups, where it would take longer than the switch."""
    commands = []
    for target in entry.route.targets:
        endpoints, _ = replicas(entry.route.service, target.color)
        if not endpoints:
            continue
        backend = backend_name(entry.route.service, target.color)
        commands += [f"set server {backend}/r{n} health up" for n in range(1, slot_count(len(endpoints)) + 1)]
    return commands


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


def _pairs(answer: str) -> dict[str, str]:
    pairs = (line.partition(" ") for line in admin.parse_map(answer))
    return {service: value for service, _, value in pairs}


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
