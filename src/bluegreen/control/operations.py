"""All operations, each once: what every door offers, and the scope that it takes. docs/tools.md is made from this."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from bluegreen.control import alert_operations as alerts
from bluegreen.control import deploying, looking, metric_operations, planning, reporting, workloads
from bluegreen.control import report_views as rv
from bluegreen.control import requests as r
from bluegreen.control import tool_requests as t
from bluegreen.control import tool_views as tv
from bluegreen.control import views as v
from bluegreen.control.fleet import Fleet
from bluegreen.domain.access import Scope

Run = Callable[[Fleet, Any], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Operation:
    """One use case as the doors see it.

    `name` is its name over HTTP, `tool` over MCP, `command` on the command line. `run` gets the fleet as the caller
    may see it. `destructive` marks what can take something away that was running. `touches_all` concerns every service,
    so a token that is limited to some may not; `owner_only` takes the unix socket, whatever a token's scope.
    """

    name: str
    tool: str
    command: str
    run: Run
    request: type[Any]
    response: type[Any]
    scope: Scope
    destructive: bool = False
    touches_all: bool = False
    owner_only: bool = False

    @property
    def changes(self) -> bool:
        """Whether it can change anything."""
        return self.scope is not Scope.READ

    @property
    def description(self) -> str:
        """What it does, when to use it, what to do next: the docstring of its function."""
        return " ".join((self.run.__doc__ or "").split())

    @property
    def summary(self) -> str:
        return (self.run.__doc__ or "").strip().splitlines()[0]


_READ, _DEPLOY, _SWITCH, _ADMIN = Scope.READ, Scope.DEPLOY, Scope.SWITCH, Scope.ADMIN


def _high_level(
    run: Callable[[Fleet, Any], Awaitable[Any]],
    request: type,
    response: type,
    scope: Scope,
    *,
    destructive: bool = False,
) -> Operation:
    name = run.__name__
    return Operation(name, f"bluegreen_{name}", name, run, request, response, scope, destructive)


def _tool(
    run: Callable[[Fleet, Any], Awaitable[Any]],
    request: type,
    response: type,
    scope: Scope,
    *,
    destructive: bool = False,
) -> Operation:
    name = run.__name__
    return Operation(name, name, name.replace("_", " "), run, request, response, scope, destructive)


OPERATIONS: dict[str, Operation] = {
    operation.name: operation
    for operation in (
        _high_level(planning.plan, r.PlanRequest, v.PlanView, _READ),
        _high_level(deploying.deploy, r.DeployRequest, v.DeploymentView, _DEPLOY),
        _high_level(looking.status, r.StatusRequest, v.StatusView, _READ),
        _high_level(deploying.approve, r.ServiceRequest, v.DeploymentView, _SWITCH),
        _high_level(deploying.promote, r.ServiceRequest, v.DeploymentView, _SWITCH),
        _high_level(deploying.rollback, r.ServiceRequest, v.RollbackView, _SWITCH, destructive=True),
        _high_level(deploying.abort, r.ServiceRequest, v.DeploymentView, _DEPLOY, destructive=True),
        _high_level(looking.history, r.HistoryRequest, v.HistoryView, _READ),
        _high_level(looking.deployment, r.DeploymentRequest, v.DeploymentView, _READ),
        _high_level(reporting.report, r.ReportRequest, rv.ReportView, _READ),
        _high_level(looking.wait, r.WaitRequest, v.DeploymentView, _READ),
        _high_level(looking.events, r.EventsRequest, v.EventsView, _READ),
        _high_level(looking.logs, r.LogsRequest, v.LogsView, _READ),
        _high_level(looking.services, r.NoRequest, v.ServicesView, _READ),
        _tool(workloads.workload_submit, t.WorkloadSubmitRequest, tv.SubmittedView, _DEPLOY),
        _tool(workloads.workload_get, t.WorkloadRequest, tv.WorkloadView, _READ),
        _tool(workloads.workload_list, t.WorkloadListRequest, tv.WorkloadListView, _READ),
        _tool(workloads.workload_stop, t.WorkloadStopRequest, tv.StoppedView, _DEPLOY, destructive=True),
        _tool(workloads.workload_scale, t.WorkloadScaleRequest, tv.SubmittedView, _DEPLOY),
        _tool(workloads.workload_logs, t.WorkloadLogsRequest, tv.WorkloadLogsView, _READ),
        _tool(metric_operations.metrics_query, t.MetricsQueryRequest, tv.MetricsView, _READ),
        _tool(alerts.alert_create, t.AlertCreateRequest, tv.AlertCreatedView, _DEPLOY),
        _tool(alerts.alert_list, t.AlertListRequest, tv.AlertListView, _READ),
        _tool(alerts.alert_silence, t.AlertSilenceRequest, tv.SilencedView, _DEPLOY),
    )
}
"""Name → operation, in the order in which the doors list them."""


def daemon_operations(reload: Run, shutdown: Run) -> dict[str, Operation]:
    """What is done to the daemon itself: it concerns services that a token may not be allowed to see."""
    own = (
        Operation("reload", "bluegreen_reload", "reload", reload, r.NoRequest, v.ReloadView, _ADMIN, touches_all=True),
        Operation(
            "shutdown",
            "",
            "down",
            shutdown,
            r.ShutdownRequest,
            v.MessageView,
            _ADMIN,
            destructive=True,
            owner_only=True,
        ),
    )
    return {operation.name: operation for operation in own}
