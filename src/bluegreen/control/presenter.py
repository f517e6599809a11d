"""Builds the views: reads what is known, decides nothing."""

from __future__ import annotations

from dataclasses import asdict

from bluegreen.control.fleet import Fleet
from bluegreen.control.views import DeploymentView, RouteView, ServiceView, SlotView
from bluegreen.domain.deployment import Deployment, Phase
from bluegreen.domain.health import Health
from bluegreen.domain.model import Color, Workload


def slot_view(fleet: Fleet, service: str, workload: Workload | None) -> SlotView:
    if workload is None:
        return SlotView()
    monitor = fleet.observers[service].monitors.get(workload.id)
    status = monitor.status if monitor else None
    health = monitor.health if monitor else None
    traffic = fleet.view.traffic(service)
    rates = fleet.view.rates(service, workload.color)
    verdict = health.verdict if health else Health.UNKNOWN
    return SlotView(
        workload_id=workload.id,
        image=workload.image,
        version=workload.version,
        state=str(status.state) if status else None,
        replicas=workload.replicas,
        replicas_healthy=health.healthy_count if health else 0,
        gpus=workload.resources.gpus * workload.replicas,
        endpoints=tuple(str(endpoint) for endpoint in status.endpoints) if status else (),
        in_flight=traffic[workload.color].in_flight if traffic and workload.color in traffic else None,
        healthy=None if verdict is Health.UNKNOWN else verdict is Health.HEALTHY,
        health=health.summary if health else "",
        restarts=status.restarts if status else 0,
        requests_per_second=round(rates.requests_per_second, 1) if rates else None,
        error_rate=rates.error_rate if rates else None,
    )


def deployment_view(fleet: Fleet, deployment: Deployment) -> DeploymentView:
    service = deployment.service
    watcher, observer = fleet.watchers.get(service), fleet.observers.get(service)
    live = watcher is not None and deployment.id in watcher.live
    reason = watcher.reasons.get(deployment.id, "") if watcher else ""
    traffic = fleet.view.traffic(service) if live and deployment.switched else None
    green = deployment.green
    counted = traffic.get(green.color) if traffic and green else None
    requests, errors = (counted.requests, counted.errors) if counted else deployment.judged_on or (None, None)
    return DeploymentView(
        id=deployment.id,
        service=service,
        phase=str(deployment.phase),
        reason=reason or deployment.cause or str(deployment.phase),
        strategy=deployment.strategy,
        image=deployment.image,
        version=deployment.image.rpartition(":")[2],
        previous_image=deployment.blue.image if deployment.blue else None,
        requested_by=deployment.requested_by,
        requested_at=deployment.requested_at,
        phase_since=deployment.phase_since,
        elapsed_seconds=round(observer.elapsed_seconds(deployment), 1) if live and observer else 0.0,
        ended_at=deployment.ended_at,
        switched_at=deployment.switched_at,
        switch_milliseconds=deployment.switch_milliseconds,
        rollback_milliseconds=deployment.rollback_milliseconds,
        requests=requests,
        errors=errors,
        cause=deployment.cause,
        attention=deployment.attention,
        cut_requests=deployment.cut_requests,
        blue=deployment.blue.id if deployment.blue else None,
        green=green.id if green else None,
        can_roll_back=deployment.can_roll_back,
        rollback_until=_rollback_until(fleet, deployment),
        rollback_command=f"bluegreen rollback {service}",
        logs=deployment.logs,
        exit_codes=deployment.exit_codes,
        share=deployment.share,
        steps=deployment.steps,
    )


def _rollback_until(fleet: Fleet, deployment: Deployment) -> float | None:
    """When retention will end, in seconds since the epoch; None when it has not begun or is over."""
    watcher = fleet.watchers.get(deployment.service)
    if watcher is None or deployment.phase is not Phase.RETAINING:
        return None
    spec = watcher.spec_of(deployment)
    elapsed = fleet.observers[deployment.service].elapsed_seconds(deployment)
    return fleet.ports.clock.now() + max(0.0, spec.policy.retain_seconds - elapsed)


def service_view(fleet: Fleet, service: str) -> ServiceView:
    spec, watcher = fleet.spec(service), fleet.watchers[service]
    last = watcher.current or watcher.last
    slots = {str(color): SlotView() for color in Color}
    for workload, _ in watcher.held():
        slots[str(workload.color)] = slot_view(fleet, service, workload)
    route = fleet.view.route(service)
    # The route is what is true of the traffic; the log may be about to learn of it.
    active = route.active if route is not None else (last.active.color if last and last.active else None)
    return ServiceView(
        name=service,
        active=str(active) if active else None,
        slots=slots,
        deployment=deployment_view(fleet, last) if last else None,
        route=RouteView(route.generation, {str(color): route.weights.get(color, 0) for color in Color})
        if route
        else None,
        hosts=spec.hosts,
        image=spec.image,
        policy=asdict(spec.policy),
    )
