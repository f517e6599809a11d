"""`bluegreen alert …`."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from bluegreen.control import tool_requests as t
from bluegreen.control import tool_views as tv
from bluegreen.interfaces.cli import options as o
from bluegreen.interfaces.cli.client import DaemonClient
from bluegreen.interfaces.cli.decoding import decode
from bluegreen.interfaces.cli.output import console, print_json, printable
from bluegreen.interfaces.cli.pairs import pairs


def create(
    name: Annotated[str, Parameter(help="Such as deploy-complete.")],
    severity: Annotated[t.Severity, Parameter(help="How bad it is.")],
    message: Annotated[str, Parameter(help="What people are told.")],
    /,
    *,
    condition: Annotated[
        str, Parameter(name="--condition", help='Makes it a rule, such as "request_error_rate > 0.05 for 2m".')
    ] = "",
    label: Annotated[tuple[str, ...], Parameter(name="--label", help="A label, KEY=VALUE.", negative=())] = (),
    as_json: o.Json = False,
    config: o.Config = o.CONFIG_DEFAULT,
) -> int:
    """Tell people something now, or, with a condition, whenever it becomes true."""
    request = t.AlertCreateRequest(name, severity, message, condition, pairs("--label", label))
    raw = DaemonClient(config).call_raw("alert_create", request)
    if as_json:
        print_json(raw)
        return 0
    view = decode(tv.AlertCreatedView, raw)
    print(f"{view.kind} {view.name} is {view.state} ({view.id})")
    return 0


def list_(
    *,
    service: Annotated[str, Parameter(name="--service", help="Only those of this service.")] = "",
    limit: Annotated[int, Parameter(name="--limit", help="At most so many, the newest.", show_default=True)] = 50,
    as_json: o.Json = False,
    config: o.Config = o.CONFIG_DEFAULT,
) -> int:
    """List the last alerts and to whom they went, the standing rules, and what is silenced."""
    raw = DaemonClient(config).call_raw("alert_list", t.AlertListRequest(service, limit))
    if as_json:
        print_json(raw)
        return 0
    from rich.text import Text

    from bluegreen.interfaces.cli.tables import table

    view = decode(tv.AlertListView, raw)
    alerts = table("AT", "ALERT", "SEVERITY", "SERVICE", "DELIVERED", "MESSAGE", wrap=("MESSAGE", "DELIVERED"))
    for alert in view.alerts:
        delivered = ", ".join(f"{sink}: {state}" for sink, state in alert.deliveries.items())
        name = f"{alert.name} (resolved)" if alert.resolved else alert.name
        cells = (alert.at, name, alert.severity, alert.service or "-", delivered, alert.message)
        alerts.add_row(*(Text(printable(cell)) for cell in cells))
    console().print(alerts if view.alerts else "no alert was raised yet")
    for rule in view.rules:
        value = "nothing measured" if rule.value is None else f"now {rule.value:g}"
        print(printable(f"rule {rule.name} ({rule.severity}): {rule.condition} is {rule.state}, {value}"))
    for silence in view.silences:
        print(printable(f"silenced: {silence.name} until {silence.until} by {silence.createdBy} {silence.reason}"))
    return 0


def silence(
    name: Annotated[str, Parameter(help="Name of the alerts, as `bluegreen alert list` shows it.")],
    /,
    *,
    duration_seconds: Annotated[
        float, Parameter(name="--duration-seconds", help="For how long; 0 ends a silence.", show_default=True)
    ] = 3600.0,
    remove: Annotated[bool, Parameter(name="--remove", help="Remove the standing rule of that name for good.")] = False,
    reason: Annotated[str, Parameter(name="--reason", help="Why; `bluegreen alert list` shows it.")] = "",
    as_json: o.Json = False,
    config: o.Config = o.CONFIG_DEFAULT,
) -> int:
    """Keep the alerts of a name quiet for a while, or remove a standing rule."""
    request = t.AlertSilenceRequest(name, duration_seconds, remove, reason)
    raw = DaemonClient(config).call_raw("alert_silence", request)
    if as_json:
        print_json(raw)
        return 0
    view = decode(tv.SilencedView, raw)
    print(printable(view.message))
    return 0
