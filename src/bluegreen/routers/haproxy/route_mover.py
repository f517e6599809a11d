"""Moves routes: file first, then every HAProxy process, then read back."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from bluegreen.domain.errors import RouterError, UnknownName
from bluegreen.domain.model import Route, RouteTarget
from bluegreen.routers.haproxy import generations
from bluegreen.routers.haproxy.admin import Worker
from bluegreen.routers.haproxy.patience import RETURN_TIMEOUT_SECONDS, returning
from bluegreen.routers.haproxy.route_book import RouteBook
from bluegreen.routers.haproxy.routes import RouteEntry, merged, newest
from bluegreen.routers.haproxy.runtime import HaproxyRuntime, Replicas


class RouteMover:
    """Every method but the constructor is called with the directory's lock held."""

    def __init__(self, book: RouteBook, haproxy: HaproxyRuntime, replicas: Replicas) -> None:
        self._book = book
        self._replicas = replicas
        self._haproxy = haproxy
        self._syncing: set[asyncio.Future[None]] = set()

    async def switch(
        self, targets: Mapping[str, Sequence[RouteTarget]], expected: Mapping[str, int], durable: bool
    ) -> Mapping[str, Route]:
        """See the port for what it raises."""
        on_disk = self._book.load()
        workers, in_force = await self._workers_and_routes(list(targets))
        current: dict[str, RouteEntry] = {}
        for service in targets:
            entry = newest(on_disk.get(service), in_force.get(service))
            if entry is None:
                raise UnknownName(f"router: there is no service {service!r}", hint="See: bluegreen services")
            current[service] = entry
        wanted = generations.next_entries(current, targets, expected)
        table = {**on_disk, **wanted}
        if durable:
            await self._book.save(table)
        try:
            await self._put_in_force(table, list(wanted), workers)
        except RouterError as error:
            if not durable:
                self._book.note(table)
            raise await self._unconfirmed(error, on_disk, {**current, **in_force}, durable) from error
        if not durable:
            # The traffic first, the file after it: a full or hanging disk does not hold up the way back.
            self._book.note(table)
            self._sync_later()
        return {service: entry.route for service, entry in wanted.items()}

    def _sync_later(self) -> None:
        task = asyncio.ensure_future(self._book.sync())
        self._syncing.add(task)
        task.add_done_callback(self._syncing.discard)

    async def _workers_and_routes(self, services: Sequence[str]) -> tuple[Sequence[Worker], dict[str, RouteEntry]]:
        """Nothing while HAProxy is down: then the file alone tells."""
        try:
            return await self._haproxy.routes_of(services)
        except RouterError:
            return [], {}

    async def _put_in_force(
        self, table: Mapping[str, RouteEntry], changed: Sequence[str], workers: Sequence[Worker]
    ) -> None:
        """`workers` were seen under the lock: only a crash can have changed them, then they are looked up again."""
        known = list(workers)

        async def apply() -> None:
            found = known.copy() or await self._haproxy.workers()
            known.clear()
            await self._haproxy.apply_routes(table, changed, found, self._replicas)

        await returning(apply, RETURN_TIMEOUT_SECONDS)

    async def _unconfirmed(
        self, error: RouterError, on_disk: Mapping[str, RouteEntry], before: Mapping[str, RouteEntry], durable: bool
    ) -> RouterError:
        """A switch nobody confirmed must not happen later, when HAProxy is restarted; a rollback should."""
        names = ", ".join(sorted(before))
        if not durable:
            written = "the new route is on disk and takes effect as soon as HAProxy runs"
            if self._book.unsaved is not None:
                written = f"nor could it be written to {self._book.path}"
            return RouterError(f"HAProxy did not confirm the route of {names}: {error.message}; {written}")
        try:
            await self._book.save({**on_disk, **before})
            restored = "the old route was put back"
        except RouterError as failure:
            restored = f"and the old route could not be put back on disk ({failure.message})"
        try:
            await self._haproxy.apply_routes(
                {**on_disk, **before}, list(before), await self._haproxy.workers(), self._replicas
            )
        except RouterError:
            restored += ", HAProxy takes it when it runs"
        return RouterError(f"HAProxy did not confirm the route of {names}: {error.message}; {restored}")

    async def make_file_agree(self) -> None:
        """What is in force wins: a switch that was interrupted between file and HAProxy never was acknowledged."""
        in_force, on_disk = await self._haproxy.routes(), self._book.load()
        differing = {s: e for s, e in in_force.items() if s in on_disk and e.route != on_disk[s].route}
        if differing:
            self._book.note({**on_disk, **differing})

    async def renew_detours(self, service: str) -> None:
        """After a slot got other replicas: processes that are leaving learn of them through the route."""
        table = self._book.load()
        old = [worker for worker in await self._haproxy.workers() if worker.old]
        if old and service in table:
            await self._haproxy.apply_routes(table, [service], old, self._replicas)

    async def write_unsaved(self) -> None:
        """Writes the routes that a full disk has kept from the file, and puts them in force again when HAProxy was
        restarted with the old file meanwhile."""
        table = self._book.load()
        behind: list[str] = []
        try:
            in_force = await self._haproxy.routes()
            # A HAProxy that was restarted meanwhile has read the old file.
            behind = [s for s, e in table.items() if s in in_force and in_force[s].route != e.route]
            table = merged(table, {s: e for s, e in in_force.items() if s in table})
            if behind:
                await self._haproxy.apply_routes(table, behind, await self._haproxy.workers(), self._replicas)
        except RouterError:
            pass
        self._book.note(table)
