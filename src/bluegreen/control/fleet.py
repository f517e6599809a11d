"""All services with their watchers, and the ports they share: what the operations work on."""

from __future__ import annotations

import asyncio
import copy
import difflib
import logging
import platform
from collections.abc import Mapping
from dataclasses import dataclass

from bluegreen.control.alert_rules import RuleBook
from bluegreen.control.alerting import AlertDesk
from bluegreen.control.alerting_store import AlertingStore
from bluegreen.control.analysis_keeper import Analysts
from bluegreen.control.analysis_ports import NoSource
from bluegreen.control.executor import Executor
from bluegreen.control.kept_watches import KeptWatches
from bluegreen.control.metric_ports import SampleStore
from bluegreen.control.metrics import MetricsRecorder
from bluegreen.control.observer import Observer
from bluegreen.control.ports import AnalysisSource, Clock, Prober, Store, TrafficRouter, WorkloadRuntime
from bluegreen.control.router_questions import RouterQuestions
from bluegreen.control.router_view import RouterView
from bluegreen.control.secrets import EnvironmentSecrets
from bluegreen.control.usage_watch import UsageWatch
from bluegreen.control.watcher import ServiceWatcher
from bluegreen.domain.access import OWNER, Caller
from bluegreen.domain.deployment import Deployment
from bluegreen.domain.errors import Forbidden, UnknownName
from bluegreen.domain.service import ServiceSpec
from bluegreen.spec.configuration import PolicySettings
from bluegreen.spec.overrides import apply_overrides

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Ports:
    """The adapters that the composition root chose."""

    runtime: WorkloadRuntime
    router: TrafficRouter
    prober: Prober
    store: Store
    clock: Clock
    analyses: AnalysisSource = NoSource()


class Fleet:
    """Knows every service. Reading it needs no lock: state changes only between awaits of one event loop."""

    def __init__(
        self,
        ports: Ports,
        services: Mapping[str, ServiceSpec],
        alerts: AlertDesk,
        samples: SampleStore,
        *,
        listen: str = "",
    ) -> None:
        self.ports = ports
        self.listen = listen
        self.caller: Caller = OWNER
        """On whose behalf this view of the fleet is used."""
        self.node_id = platform.node() or "localhost"
        self.policy = PolicySettings()
        self.secrets = EnvironmentSecrets()
        self.specs: dict[str, ServiceSpec] = {}
        self._all_specs = self.specs
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
            clock=ports.clock,
        )
        self.analysts = Analysts(ports.analyses, ports.prober, ports.clock)
        self.router_questions = RouterQuestions(ports.router, self.view)
        self.ended: dict[str, Deployment] = {}
        """Past deployments that were read lately; they don't change any more."""
        self.usage = UsageWatch(self.observers, ports.runtime, ports.clock)
        self.metrics = MetricsRecorder(self.observers, self.view, ports.clock, samples, alerts.tell)
        self.metrics.machine = self.usage.news
        self.rules = RuleBook(self.metrics, alerts, ports.store, ports.clock)
        for spec in services.values():
            self.add(spec)

    def acting_for(self, caller: Caller) -> Fleet:
        """The fleet as this caller may see it: other services are as good as not there."""
        limited = copy.copy(self)
        limited.caller = caller
        if caller.services is not None:
            limited._all_specs = self.specs
            limited.specs = {name: spec for name, spec in self.specs.items() if caller.may_use(name)}
            limited.watchers = {name: self.watchers[name] for name in limited.specs}
            limited.observers = {name: self.observers[name] for name in limited.specs}
        return limited

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
            analysts=self.analysts,
            kept_watches=KeptWatches(self.ports.store),
            baseline_of=self.metrics.baseline,
            prepare_baseline=self.metrics.record.prepare,
        )
        self.observers[name] = observer
        self.watchers[name] = ServiceWatcher(
            name,
            store=AlertingStore(self.ports.store, self.alerts),
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
            changed = apply_overrides(declared, self.secrets.revealed(deployment.id, deployment.overrides))
            self._changed_specs[deployment.id] = (declared, changed)
        return changed

    async def remove(self, name: str) -> None:
        await self.watchers.pop(name).stop()
        await self.observers.pop(name).stop()
        del self.specs[name]

    def spec(self, service: str, *, parameter: str = "service") -> ServiceSpec:
        """Raises UnknownName with the nearest names, Forbidden; `parameter` is where the name was given."""
        spec = self.specs.get(service)
        if spec is None:
            if service in self._all_specs:
                self.require_visible(service, parameter=parameter)
            raise unknown("service", service, self.specs, parameter=parameter)
        return spec

    def require_visible(self, service: str, *, parameter: str = "service") -> None:
        """Raises Forbidden when the caller is limited to other services."""
        if not self.caller.may_use(service):
            raise Forbidden(
                f"{parameter}: {self.caller.name} may not use {service!r}",
                hint=f"It is limited to: {', '.join(sorted(self.caller.services or ()))}",
            )

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
        await self.rules.stop()
        await self.metrics.stop()
        await self.usage.stop()
        await asyncio.gather(*(watcher.stop() for watcher in self.watchers.values()))
        await asyncio.gather(*(observer.stop() for observer in self.observers.values()))
        await self.view.stop()
        await self.alerts.close()


def unknown(kind: str, name: str, known: Mapping[str, object] | list[str], *, parameter: str = "") -> UnknownName:
    """`no service 'infrence-model'; did you mean 'inference-model'?`"""
    near = difflib.get_close_matches(name, list(known), n=3)
    if near:
        hint = "Did you mean " + " or ".join(repr(candidate) for candidate in near) + "?"
    else:
        listing = ", ".join(list(known)[:20]) or "none"
        hint = f"Known: {listing}"
    return UnknownName(f"{parameter or kind}: there is no {kind} {name[:100]!r}", hint=hint)
