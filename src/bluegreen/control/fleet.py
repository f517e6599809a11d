"""All services with their watchers, and the ports they share: what the operations work on."""

from __future__ import annotations

import asyncio
import difflib
import logging
from collections.abc import Mapping
from dataclasses import dataclass

from bluegreen.control.alerting import AlertDesk
from bluegreen.control.executor import Executor
from bluegreen.control.observer import Observer
from bluegreen.control.ports import Clock, EventStore, Prober, TrafficRouter, WorkloadRuntime
from bluegreen.control.router_view import RouterView
from bluegreen.control.watcher import ServiceWatcher
from bluegreen.domain.deployment import Deployment
from bluegreen.domain.errors import UnknownName
from bluegreen.domain.service import ServiceSpec
from bluegreen.spec.overrides import apply_overrides

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Ports:
    """The adapters that the composition root chose."""

    runtime: WorkloadRuntime
    router: TrafficRouter
    prober: Prober
    store: EventStore
    clock: Clock


class Fleet:
    """Knows every service. Reading it needs no lock: state changes only between awaits of one event loop."""

    def __init__(
        self, ports: Ports, services: Mapping[str, ServiceSpec], alerts: AlertDesk, *, listen: str = ""
    ) -> None:
        self.ports = ports
        self.listen = listen
        self.specs: dict[str, ServiceSpec] = {}
        self.watchers: dict[str, ServiceWatcher] = {}
        self.observers: dict[str, Observer] = {}
        self.alerts = alerts
        self._changed_specs: dict[str, tuple[ServiceSpec, ServiceSpec]] = {}
        self.view = RouterView(ports.router, ports.clock)
        self.executor = Executor(
            runtime=ports.runtime,
            router=ports.router,
            prober=ports.prober,
            view=self.view,
            alerts=alerts,
            clock=ports.clock,
        )
        for spec in services.values():
            self.add(spec)

    def add(self, spec: ServiceSpec) -> None:
        name = spec.name
        self.specs[name] = spec
        if name in self.watchers:
            return
        observer = Observer(
            name,
            runtime=self.ports.runtime,
            router=self.ports.router,
            prober=self.ports.prober,
            view=self.view,
            clock=self.ports.clock,
        )
        self.observers[name] = observer
        self.watchers[name] = ServiceWatcher(
            name,
            store=self.ports.store,
            executor=self.executor,
            observer=observer,
            clock=self.ports.clock,
            spec_of=self.spec_of,
        )

    def spec_of(self, deployment: Deployment) -> ServiceSpec:
        """The service as this deployment was asked to run it."""
        declared = self.specs[deployment.service]
        if not deployment.overrides:
            return declared
        base, changed = self._changed_specs.get(deployment.id, (None, declared))
        if base is not declared:
            changed = apply_overrides(declared, deployment.overrides)
            self._changed_specs[deployment.id] = (declared, changed)
        return changed

    async def remove(self, name: str) -> None:
        await self.watchers.pop(name).stop()
        await self.observers.pop(name).stop()
        del self.specs[name]

    def spec(self, service: str) -> ServiceSpec:
        """Raises UnknownName with the nearest names."""
        spec = self.specs.get(service)
        if spec is None:
            raise unknown("service", service, self.specs)
        return spec

    def watcher(self, service: str) -> ServiceWatcher:
        self.spec(service)
        return self.watchers[service]

    def watcher_of(self, deployment_id: str) -> ServiceWatcher | None:
        """The watcher that knows this deployment without asking the log."""
        for watcher in self.watchers.values():
            if deployment_id in watcher.live or (watcher.last and watcher.last.id == deployment_id):
                return watcher
        return None

    async def close(self) -> None:
        """Stops watching. Workloads and router go on."""
        await asyncio.gather(*(watcher.stop() for watcher in self.watchers.values()))
        await asyncio.gather(*(observer.stop() for observer in self.observers.values()))
        await self.view.stop()
        await self.alerts.close()


def unknown(kind: str, name: str, known: Mapping[str, object] | list[str]) -> UnknownName:
    """`no service 'infrence-model'; did you mean 'inference-model'?`"""
    near = difflib.get_close_matches(name, list(known), n=3)
    if near:
        hint = "Did you mean " + " or ".join(repr(candidate) for candidate in near) + "?"
    else:
        listing = ", ".join(list(known)[:20]) or "none is configured"
        hint = f"Known: {listing}"
    return UnknownName(f"{kind}: there is no {kind} {name!r}", hint=hint)
