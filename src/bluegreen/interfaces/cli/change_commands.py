"""`bluegreen approve`, `promote`, `abort` and `rollback`."""

from __future__ import annotations

import dataclasses
import time
from typing import Annotated, Any

from cyclopts import Parameter

from bluegreen.control import requests as r
from bluegreen.control import views as v
from bluegreen.domain.errors import DaemonUnreachable
from bluegreen.interfaces.cli import options as o
from bluegreen.interfaces.cli.client import DaemonClient
from bluegreen.interfaces.cli.decoding import decode
from bluegreen.interfaces.cli.location import command_line
from bluegreen.interfaces.cli.output import milliseconds, note, print_json, styled
from bluegreen.interfaces.cli.summary import summary
from bluegreen.interfaces.cli.waiting import outcome_of

HANGING_AFTER_SECONDS = 3.0
"""A daemon that takes longer for a rollback is taken for dead: traffic comes first."""


def approve(
    service: o.Service, /, *, reason: o.Reason = "", as_json: o.Json = False, config: o.Config = o.CONFIG_DEFAULT
) -> int:
    """Let a verified version that waits for a person have the traffic, such as one that an agent deployed."""
    raw = DaemonClient(config).call_raw("approve", r.ServiceRequest(service, o.requested_by(), reason))
    if as_json:
        print_json(raw)
    else:
        view = decode(v.DeploymentView, raw)
        print(f"{view.id} is approved: {view.image}, asked for by {view.requested_by} (now {view.phase})")
        print(f"watch it: {command_line(f'status {service} --watch', config)}")
    return 0


def promote(
    service: o.Service, /, *, reason: o.Reason = "", as_json: o.Json = False, config: o.Config = o.CONFIG_DEFAULT
) -> int:
    """Let a verified green have the traffic, or accept a green that monitoring could not judge.

    On a canary step it ends the watching and goes on to the next share at once.
    """
    client = DaemonClient(config)
    raw = client.call_raw("promote", r.ServiceRequest(service, o.requested_by(), reason))
    if as_json:
        print_json(raw)
    else:
        view = decode(v.DeploymentView, raw)
        print(f"{view.id} is promoted: {view.image} (now {view.phase})")
        print(f"watch it: {command_line(f'status {service} --watch', config)}")
    return 0


def abort(
    service: o.Service, /, *, reason: o.Reason = "", as_json: o.Json = False, config: o.Config = o.CONFIG_DEFAULT
) -> int:
    """End a deployment that has not moved traffic yet. Green is stopped, blue was never touched."""
    client = DaemonClient(config)
    raw = client.call_raw("abort", r.ServiceRequest(service, o.requested_by(), reason))
    if as_json:
        print_json(raw)
    else:
        view = decode(v.DeploymentView, raw)
        untouched = f"{view.previous_image} was never touched and goes on" if view.previous_image else "nothing runs"
        print(f"{view.id} is aborted; the new version is being stopped, {untouched}")
    return 0


def rollback(
    service: o.Service,
    /,
    *,
    reason: o.Reason = "",
    detach: Annotated[
        bool, Parameter(name="--detach", help="Don't wait when the version before must be started anew.")
    ] = False,
    as_json: o.Json = False,
    config: o.Config = o.CONFIG_DEFAULT,
) -> int:
    """Move the traffic back to the version before: at once while it is kept, else by starting it anew.

    Works without the daemon, too: when nobody answers within 3 seconds, the router is switched directly.
    """
    client = DaemonClient(config)
    request = r.ServiceRequest(service, o.requested_by(), reason, expires_at=time.time() + HANGING_AFTER_SECONDS)
    try:
        raw = client.call_raw("rollback", request, timeout_seconds=HANGING_AFTER_SECONDS)
    except DaemonUnreachable as error:
        note(f"{error.message}: switching the router directly")
        return _without_daemon(client, request, as_json)
    view = decode(v.RollbackView, raw)
    if not as_json:
        _tell(view)
    if view.how == "deploy" and view.deployment is not None and not detach:
        return _wait_for_walk(client, view.deployment, raw, as_json)
    if as_json:
        print_json(raw)
    return 0


def _tell(view: v.RollbackView) -> None:
    took = f" ({milliseconds(view.milliseconds)})" if view.milliseconds is not None else ""
    print(styled("✓ " if view.how != "deploy" else "… ", "good") + view.message + took, flush=True)


def _wait_for_walk(client: DaemonClient, walk: v.DeploymentView, raw: dict[str, Any], as_json: bool) -> int:
    """The version before is being started anew: done only when it has the traffic."""
    outcome = outcome_of(client, walk, "switched", as_json=as_json)
    if as_json:
        print_json({**raw, "deployment": outcome.raw})
    else:
        print("\n".join(["", *summary(outcome, client.config_path)]), flush=True)
    return 0 if outcome.reached else 1


def _without_daemon(client: DaemonClient, request: r.ServiceRequest, as_json: bool) -> int:
    # Only here, for it brings every adapter with it.
    from bluegreen.main import direct_rollback

    view = direct_rollback(client.config_path, request.service, request.requested_by)
    print_json(dataclasses.asdict(view)) if as_json else _tell(view)
    return 0
