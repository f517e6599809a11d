"""The resources of the API: a table of paths over the same operations that every other door has."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from bluegreen.control import views as v


@dataclass(frozen=True, slots=True)
class ServiceRouteView:
    """Where a service's requests go. `weights` are shares in percent by color, `generation` grows with every switch."""

    service: str
    active: str | None
    generation: int
    weights: dict[str, int]
    hosts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RoutesView:
    routes: tuple[ServiceRouteView, ...]
    """Services whose route the router does not tell just now are missing."""
    router_alive: bool


@dataclass(frozen=True, slots=True)
class DeploymentPageView:
    """Newest first. `next` is the `cursor` of the page after this one, null on the last."""

    service: str
    deployments: tuple[v.DeploymentView, ...]
    next: str | None


@dataclass(frozen=True, slots=True)
class Resource:
    """A method of a path. Names in the path are parameters of the operation; the others are in the query for GET and
    DELETE, and in the body for POST.

    `fields` are the parameters that are offered beside those in the path; None: all. `show` makes what is answered of
    the operation's view, and `response` is its type. `location` is filled in from the answer.
    """

    method: str
    path: str
    operation: str
    tag: str
    status: int = 200
    fields: Sequence[str] | None = None
    location: str = ""
    show: Callable[[Any], Any] | None = None
    response: type[Any] | None = None
    summary: str = ""

    @property
    def path_fields(self) -> tuple[str, ...]:
        return tuple(re.findall(r"{(\w+)}", self.path))

    @property
    def operation_id(self) -> str:
        """`get_services_service_logs`; that of an operation's own path is its name."""
        if self.path == operation_path(self.operation):
            return self.operation
        return f"{self.method.lower()}_{re.sub(r'[^A-Za-z]+', '_', self.path.removeprefix('/v1')).strip('_')}"


def operation_path(name: str) -> str:
    return f"/v1/operations/{name}"


def _route(service: v.ServiceView) -> list[ServiceRouteView]:
    if service.route is None:
        return []
    return [
        ServiceRouteView(
            service.name, service.active, service.route.generation, dict(service.route.weights), service.hosts
        )
    ]


def _routes(status: v.StatusView) -> RoutesView:
    routes = tuple(route for service in status.services for route in _route(service))
    return RoutesView(routes, status.router_alive)


def _first_service(status: v.StatusView) -> v.ServiceView:
    return status.services[0]


def _deploy(method: str, path: str, operation: str, **more: Any) -> Resource:
    return Resource(method, f"/v1/services/{{service}}{path}", operation, "services", **more)


def _workload(method: str, path: str, operation: str, **more: Any) -> Resource:
    return Resource(method, f"/v1/workloads{path}", operation, "workloads", **more)


RESOURCES: tuple[Resource, ...] = (
    Resource("GET", "/v1/status", "status", "services", fields=(), summary="All services, and the router"),
    Resource("GET", "/v1/services", "services", "services"),
    _deploy("GET", "", "status", show=_first_service, response=v.ServiceView, summary="One service as it stands"),
    _deploy("POST", "/deployments", "deploy", status=201, location="/v1/deployments/{id}"),
    _deploy("POST", "/plan", "plan"),
    _deploy("POST", "/approve", "approve", fields=("reason",)),
    _deploy("POST", "/promote", "promote", fields=("reason",)),
    _deploy("POST", "/rollback", "rollback", fields=("reason",)),
    _deploy("POST", "/abort", "abort", fields=("reason",)),
    _deploy("GET", "/logs", "logs"),
    Resource("GET", "/v1/deployments/{deployment}", "deployment", "deployments"),
    Resource("GET", "/v1/deployments/{deployment}/events", "events", "deployments"),
    Resource("GET", "/v1/deployments/{deployment}/report", "report", "deployments"),
    Resource("GET", "/v1/routes", "status", "routes", fields=(), show=_routes, response=RoutesView,
             summary="Where the traffic of every service goes"),
    Resource("GET", "/v1/routes/{service}", "status", "routes", show=_routes, response=RoutesView,
             summary="Where the traffic of one service goes"),
    _workload("GET", "", "workload_list"),
    _workload("POST", "", "workload_submit", status=201, location="/v1/workloads/{id}"),
    _workload("GET", "/{workloadId}", "workload_get"),
    _workload("DELETE", "/{workloadId}", "workload_stop"),
    _workload("POST", "/{workloadId}/scale", "workload_scale"),
    _workload("GET", "/{workloadId}/logs", "workload_logs"),
    Resource("GET", "/v1/metrics/{metric}", "metrics_query", "metrics"),
    Resource("GET", "/v1/alerts", "alert_list", "alerts"),
    Resource("POST", "/v1/alerts", "alert_create", "alerts", status=201),
    Resource("POST", "/v1/alerts/{name}/silence", "alert_silence", "alerts"),
)  # fmt: skip
"""The history of a service and the stream of events are made by hand: one has pages, the other no end."""
