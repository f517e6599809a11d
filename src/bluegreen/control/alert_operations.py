"""`alert_create`, `alert_list` and `alert_silence`."""

from __future__ import annotations

import re
import secrets
from typing import Any

from bluegreen.control import tool_requests as t
from bluegreen.control import tool_views as v
from bluegreen.control.alert_rules import Rule
from bluegreen.control.fleet import Fleet, unknown
from bluegreen.control.ports import Alert
from bluegreen.control.silences import KIND as SILENCE
from bluegreen.domain.alert_rules import parse_condition
from bluegreen.domain.errors import Forbidden, UsageError
from bluegreen.domain.series import METRICS
from bluegreen.domain.text import require_plain_text
from bluegreen.domain.timespans import iso

MAX_MESSAGE_LENGTH = 4000
MAX_LABELS = 32
MAX_RULES = 500
LONGEST_SILENCE_SECONDS = 30 * 86_400.0
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")


async def alert_create(fleet: Fleet, request: t.AlertCreateRequest) -> v.AlertCreatedView:
    """Tells people something at once (no condition), or makes a standing rule (condition, such as
    `request_error_rate > 0.05 for 2m`) that fires once when it holds and is resolved once when it ends. Use it at the
    end of a deployment done by hand: deploy-complete (info) or deploy-rollback (warning). Deployments made with
    bluegreen_deploy tell people by themselves. Next: alert_list shows to whom it went."""
    _check(request)
    service = request.labels.get("app", "")
    _require_own_service(fleet, service)
    if request.condition:
        return await _make_rule(fleet, request)
    now = fleet.ports.clock.now()
    alert = Alert(
        id=f"manual:{secrets.token_hex(8)}",
        name=request.name,
        severity=request.severity,
        message=request.message,
        at=now,
        service=service,
        labels={**request.labels, "created_by": fleet.caller.name},
        version=request.labels.get("version", ""),
        next_command=f"bluegreen status {service}".strip(),
    )
    await fleet.alerts.create(alert)
    return v.AlertCreatedView(alert.id, alert.name, "alert", "on its way")


def _check(request: t.AlertCreateRequest) -> None:
    if not _NAME.fullmatch(request.name):
        raise UsageError(
            "name: must be 1 to 80 letters, digits, dots, dashes and underscores", hint="For example: deploy-complete"
        )
    if not request.message.strip():
        raise UsageError("message: must not be empty", hint="Say what happened, to which version, and what to do next")
    require_plain_text("message", re.sub(r"[\n\t]", " ", request.message), max_length=MAX_MESSAGE_LENGTH)
    if len(request.labels) > MAX_LABELS:
        raise UsageError(f"labels: at most {MAX_LABELS}, got {len(request.labels)}")
    for key, value in request.labels.items():
        require_plain_text("labels", key, max_length=80, empty=False)
        require_plain_text(f"labels.{key}", value, max_length=256)


def _require_own_service(fleet: Fleet, service: str) -> None:
    """Who is limited to services says which one it speaks of."""
    if service:
        fleet.spec(service, parameter="labels.app")
    elif fleet.caller.services is not None:
        raise Forbidden(
            f"labels.app: {fleet.caller.name} is limited to services, so it must say which one this is about",
            hint=f"It may use: {', '.join(sorted(fleet.caller.services))}",
        )


async def _make_rule(fleet: Fleet, request: t.AlertCreateRequest) -> v.AlertCreatedView:
    parse_condition(request.condition, METRICS)
    known = fleet.rules.rules.get(request.name)
    if known is None and len(fleet.rules.rules) >= MAX_RULES:
        raise UsageError(
            f"condition: there are {MAX_RULES} rules already", hint="Remove one: alert_silence(remove true)"
        )
    if known is not None and not fleet.caller.may_use(known.service):
        raise Forbidden(
            f"name: a rule {request.name!r} exists for something {fleet.caller.name} may not use",
            hint="Choose another name",
        )
    rule = Rule(
        name=request.name,
        severity=request.severity,
        message=request.message,
        condition=request.condition,
        labels=dict(request.labels),
        created_by=fleet.caller.name,
        created_at=fleet.ports.clock.now(),
    )
    await fleet.rules.put(rule)
    return v.AlertCreatedView(rule.name, rule.name, "rule", "replaced" if known else "standing")


async def alert_list(fleet: Fleet, request: t.AlertListRequest) -> v.AlertListView:
    """The last alerts, newest first, and to which sinks they were delivered; the standing rules and where they stand;
    what is silenced. Use it to see whether people were told."""
    if not 1 <= request.limit <= 1000:
        raise UsageError(f"limit: must be between 1 and 1000, got {request.limit}")
    if request.service:
        fleet.spec(request.service)
    store, caller = fleet.ports.store, fleet.caller
    found = await _alerts(fleet, request)
    delivered = await store.deliveries([alert.id for alert in found])
    now = fleet.ports.clock.now()
    silences = (await store.all(SILENCE)).items()
    return v.AlertListView(
        alerts=tuple(_alert_view(alert, dict(delivered.get(alert.id, {}))) for alert in found),
        rules=tuple(
            _rule_view(fleet, rule)
            for rule in fleet.rules.rules.values()
            if request.service in ("", rule.service) and caller.may_use(rule.service)
        ),
        silences=tuple(
            v.SilenceView(name, iso(float(silence["until"])), str(silence["reason"]), str(silence["by"]))
            for name, silence in silences
            if float(silence["until"]) > now and caller.services is None
        ),
    )


async def _alerts(fleet: Fleet, request: t.AlertListRequest) -> list[Alert]:
    """Newest first. What belongs to no service is seen by those alone who may see all."""
    own = fleet.caller.services
    wanted = [request.service] if request.service or own is None else sorted(own)
    found = [alert for name in wanted for alert in await fleet.ports.store.alerts(limit=request.limit, service=name)]
    return sorted(found, key=lambda alert: -alert.at)[: request.limit] if len(wanted) > 1 else found


def _alert_view(alert: Alert, deliveries: dict[str, str]) -> v.AlertView:
    return v.AlertView(
        id=alert.id,
        name=alert.name,
        severity=alert.severity,
        message=alert.message,
        at=iso(alert.at),
        service=alert.service,
        deployment=alert.deployment_id,
        labels=dict(alert.labels),
        version=alert.version,
        durationSeconds=alert.duration_seconds,
        cause=alert.cause,
        nextCommand=alert.next_command,
        resolved=alert.resolved,
        deliveries=deliveries,
    )


def _rule_view(fleet: Fleet, rule: Rule) -> v.AlertRuleView:
    standing, since = rule.standing, fleet.rules.since(rule)
    return v.AlertRuleView(
        name=rule.name,
        severity=rule.severity,
        message=rule.message,
        condition=rule.condition,
        labels=dict(rule.labels),
        state=str(standing.state),
        value=standing.value,
        since=None if since is None else iso(since),
        createdBy=rule.created_by,
    )


async def alert_silence(fleet: Fleet, request: t.AlertSilenceRequest) -> v.SilencedView:
    """Keeps the alerts of a name quiet for a while (durationSeconds; 0 ends it), or removes a standing rule for good
    (remove). Silenced alerts stay in alert_list. Use it for a trouble that people know of and work on."""
    if not 0 <= request.durationSeconds <= LONGEST_SILENCE_SECONDS:
        raise UsageError(
            f"durationSeconds: must be between 0 and {LONGEST_SILENCE_SECONDS:.0f} (30 days), "
            f"got {request.durationSeconds:g}"
        )
    require_plain_text("reason", request.reason, max_length=400)
    rule = await _require_known(fleet, request.name)
    if request.remove:
        if rule is None:
            raise unknown("rule", request.name, fleet.rules.rules, parameter="name")
        await fleet.rules.remove(request.name)
        return v.SilencedView(request.name, f"the rule {request.name} is removed", None)
    if request.durationSeconds == 0:
        await fleet.ports.store.remove(SILENCE, request.name)
        return v.SilencedView(request.name, f"{request.name} is not silenced any more", None)
    until = fleet.ports.clock.now() + request.durationSeconds
    silence: dict[str, Any] = {"until": until, "reason": request.reason, "by": fleet.caller.name}
    await fleet.ports.store.put(SILENCE, request.name, silence)
    return v.SilencedView(request.name, f"{request.name} is silenced until {iso(until)}", iso(until))


async def _require_known(fleet: Fleet, name: str) -> Rule | None:
    """The rule of that name, None when only alerts have it. Raises UnknownName, Forbidden."""
    rule = fleet.rules.rules.get(name)
    if fleet.caller.services is not None and not (rule and fleet.caller.may_use(rule.service)):
        raise Forbidden(
            f"name: {fleet.caller.name} is limited to services and may silence only rules of theirs",
            hint="Ask the owner: bluegreen alert silence",
        )
    recent = {alert.name for alert in await fleet.ports.store.alerts(limit=1000)}
    silenced = await fleet.ports.store.all(SILENCE)
    if rule is None and name not in recent | set(silenced):
        raise unknown("alert", name, sorted(recent | set(fleet.rules.rules)), parameter="name")
    return rule
