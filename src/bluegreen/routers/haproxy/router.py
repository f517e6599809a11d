"""The router port on HAProxy."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from bluegreen.control.ports import RouterHealth
from bluegreen.domain.errors import RouterError
from bluegreen.domain.model import Color, Endpoint, Route, RouteTarget, SlotTraffic
from bluegreen.domain.service import ServiceSpec
from bluegreen.routers.haproxy import binary
from bluegreen.routers.haproxy.admin import RouterUnreachable
from bluegreen.routers.haproxy.config import ADMIN_SOCKET, ROUTES_MAP, ProxySettings, address
from bluegreen.routers.haproxy.config_files import ConfigFiles
from bluegreen.routers.haproxy.files import DirectoryLock, Files
from bluegreen.routers.haproxy.patience import RETURN_TIMEOUT_SECONDS, returning
from bluegreen.routers.haproxy.route_book import RouteBook
from bluegreen.routers.haproxy.route_mover import RouteMover
from bluegreen.routers.haproxy.routes import RouteEntry, merged, require_valid_targets
from bluegreen.routers.haproxy.runtime import HaproxyRuntime
from bluegreen.routers.haproxy.supervisor import HaproxySupervisor
from bluegreen.routers.haproxy.traffic_reader import TrafficReader
from bluegreen.spec.configuration import RouterSettings

READY_TIMEOUT_SECONDS = 10.0
HOPELESS_RESTARTS = 3
"""A HAProxy that was restarted this often while we wait for it will not come up."""
HEAL_INTERVAL_SECONDS = 1.0

T = TypeVar("T")


class HaproxyRouter:
    """`directory` holds configuration, routes and log; `run_directory` (short path, mode 0700) the sockets.

    Several instances, in several processes, may work on one directory: `bluegreen rollback` does without a daemon.
    """

    def __init__(
        self,
        *,
        directory: Path,
        run_directory: Path,
        settings: RouterSettings,
        stop_grace_seconds: float = 5.0,
        files: Files | None = None,
    ) -> None:
        self._directory = directory.absolute()
        self._settings = settings
        certificate = str(settings.certificate.absolute()) if settings.certificate else ""
        self._config = ConfigFiles(
            self._directory,
            ProxySettings(str(run_directory.absolute()), certificate, settings.threads),
            files or Files(),
        )
        self._book = RouteBook(self._directory / ROUTES_MAP, files or Files())
        self._haproxy = HaproxyRuntime(run_directory)
        self._mover = RouteMover(self._book, self._haproxy, self._config.replicas)
        self._lock = DirectoryLock(self._directory)
        self._supervisor = HaproxySupervisor(
            directory=self._directory,
            run_directory=run_directory,
            listen=settings.listen,
            stop_grace_seconds=stop_grace_seconds,
        )
        self._traffic = TrafficReader(self._book, self._haproxy, run_directory / ADMIN_SOCKET)
        self._heal_after = 0.0
        self._services: tuple[ServiceSpec, ...] | None = None

    @property
    def listen(self) -> Endpoint:
        """Where it listens; the port that was given when port 0 was asked for."""
        status = self._supervisor.status()
        port = status.bound_port if status is not None else 0
        return Endpoint(self._settings.listen.host, port or self._settings.listen.port)

    async def start(self, services: Sequence[ServiceSpec]) -> None:
        """Starts HAProxy, or takes over the one that runs, and makes `services` known. Ready when it returns.
        Raises RouterError when there is no HAProxy, the address is taken, or it does not come up."""
        await _whole(self._start(services))

    async def keep(self) -> None:
        """A killed shim is replaced while its HAProxy goes on; without either, both are started anew."""
        if self._services is not None and not self._supervisor.supervised:
            await _whole(self._start(self._services))

    async def stop(self) -> None:
        """Stops HAProxy: new connections are refused, requests under way get the grace time. Routes stay on disk."""
        await self._traffic.stop()
        if self._directory.is_dir():
            async with self._lock:
                await self._supervisor.stop()

    async def configure(self, services: Sequence[ServiceSpec]) -> None:
        await _whole(self._configure(services))

    async def set_endpoints(self, service: str, color: Color, endpoints: Sequence[Endpoint]) -> None:
        for endpoint in endpoints:
            address(endpoint)
        await _whole(self._set_endpoints(service, color, list(dict.fromkeys(endpoints))))

    async def switch(
        self,
        targets: Mapping[str, Sequence[RouteTarget]],
        *,
        expected_generation: Mapping[str, int] | None = None,
        durable: bool = True,
    ) -> Mapping[str, Route]:
        """When it raises RouterError: with `durable` the old route was put back; without, the new one is in the
        file when that could be written and takes effect as soon as HAProxy runs."""
        for service, wanted in targets.items():
            require_valid_targets(service, wanted)
        if not targets:
            return {}

        async def move() -> Mapping[str, Route]:
            async with self._lock:
                return await self._mover.switch(targets, expected_generation or {}, durable)

        return await _whole(move())

    async def routes(self) -> Mapping[str, Route]:
        try:
            entries = await self._haproxy.routes()
        except RouterUnreachable:
            entries = self._book.load()
        return {service: entry.route for service, entry in entries.items()}

    async def traffic(self, services: Sequence[str]) -> Mapping[str, Mapping[Color, SlotTraffic]]:
        await self._heal()
        return await self._traffic.read(services)

    async def health(self) -> RouterHealth:
        await self._heal()
        try:
            info = await self._haproxy.info()
            workers = await self._haproxy.workers()
        except RouterError as error:
            return RouterHealth(False, error.message)
        detail = f"HAProxy {info.get('Version', '?').partition('-')[0]}, process {info.get('Pid', '?')}"
        if old := sum(worker.old for worker in workers):
            detail += f"; {old} old process{'es' if old > 1 else ''} finishing requests"
        if not self._supervisor.supervised:
            detail += "; its shim is gone, so nobody restarts it when it dies (the daemon replaces the shim)"
        if self._book.unsaved is not None:
            detail += f"; the routes are in force but could not be written to {self._book.path}"
        return RouterHealth(True, detail)

    async def _start(self, services: Sequence[ServiceSpec]) -> None:
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise RouterError(f"the router's directory {self._directory} can't be made: {error.strerror}") from error
        async with self._lock:
            if await self._supervisor.adopt():
                await self._until_ready()
                await self._mover.make_file_agree()
            else:
                program = binary.find_binary(self._settings.haproxy)
                await binary.read_version(program)
                planned = self._config.planned(services)
                await self._book.save(_routes_for(services, self._book.load()))
                self._config.write(planned)
                await self._supervisor.start(program)
                await self._until_ready()
            await self._configure_locked(services)

    async def _until_ready(self) -> None:
        before = self._restarts()
        try:
            await returning(
                self._haproxy.workers,
                READY_TIMEOUT_SECONDS,
                give_up=lambda: self._restarts() >= before + HOPELESS_RESTARTS,
            )
            await returning(self._haproxy.info, READY_TIMEOUT_SECONDS)
        except RouterUnreachable as error:
            await self._supervisor.stop()
            raise RouterError(
                f"HAProxy does not come up: {self._supervisor.log_tail() or error.message}",
                hint=f"Its log is {self._directory}/haproxy.log",
            ) from error

    def _restarts(self) -> int:
        status = self._supervisor.status()
        return status.restarts if status is not None else 0

    async def _configure(self, services: Sequence[ServiceSpec]) -> None:
        async with self._lock:
            await self._configure_locked(services)

    async def _configure_locked(self, services: Sequence[ServiceSpec]) -> None:
        self._services = tuple(services)
        planned = self._config.planned(services)
        in_force = await returning(self._haproxy.routes, RETURN_TIMEOUT_SECONDS)
        before = merged(self._book.load(), in_force)
        wanted = _routes_for(services, before)
        loaded = (await self._haproxy.info()).get("description", "")
        if wanted != before or self._book.unsaved is not None:
            await self._book.save(wanted)
        if loaded == planned.fingerprint and set(wanted) == set(in_force):
            self._config.write(planned)
            return
        kept = self._config.current()
        self._config.write(planned)
        try:
            await self._reload(planned.fingerprint)
        except RouterError:
            # A HAProxy that is restarted must find something that it can run.
            self._config.write(kept)
            self._book.note(before)
            raise

    async def _reload(self, fingerprint: str) -> None:
        async with self._traffic.across_reload():
            # After a reload that failed the master starts itself again, and is away for some milliseconds.
            await returning(self._haproxy.reload, RETURN_TIMEOUT_SECONDS)
        loaded = (await returning(self._haproxy.info, RETURN_TIMEOUT_SECONDS)).get("description", "")
        if loaded != fingerprint:
            raise RouterError("HAProxy reloaded but runs another configuration", hint="See: bluegreen doctor")

    async def _set_endpoints(self, service: str, color: Color, endpoints: Sequence[Endpoint]) -> None:
        async with self._lock:
            change = self._config.with_endpoints(service, color, endpoints)
            self._config.write(change.rendered)
            entries = self._book.load()
            entry = entries.get(service)
            if entry is not None and change.replaced and not entry.route.sends_to(color) and entry.occupant(color):
                # Another workload moves in: what the last one counted is not its doing.
                self._book.note({**entries, service: entry.without_occupant(color)})
            if change.needs_reload:
                await self._reload(change.rendered.fingerprint)

            async def apply() -> None:
                await self._haproxy.apply_endpoints(service, color, endpoints)
                await self._mover.renew_detours(service)

            await returning(apply, RETURN_TIMEOUT_SECONDS)

    async def _heal(self) -> None:
        """Once a second at most."""
        if self._book.unsaved is None or time.monotonic() < self._heal_after:
            return
        self._heal_after = time.monotonic() + HEAL_INTERVAL_SECONDS
        async with self._lock:
            await self._mover.write_unsaved()


def _routes_for(services: Sequence[ServiceSpec], known: Mapping[str, RouteEntry]) -> dict[str, RouteEntry]:
    return {spec.name: known.get(spec.name) or RouteEntry(Route(spec.name)) for spec in services}


async def _whole(work: Coroutine[Any, Any, T]) -> T:
    """A caller that goes away does not leave a change half done."""
    return await asyncio.shield(asyncio.ensure_future(work))
