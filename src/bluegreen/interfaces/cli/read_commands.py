"""`bluegreen status`, `history`, `deployment`, `wait`, `events` and `services`."""

from __future__ import annotations

import dataclasses
import time
from functools import partial
from typing import Annotated, Any

from cyclopts import Parameter

from bluegreen.control import requests as r
from bluegreen.control import views as v
from bluegreen.domain.deployment import Phase
from bluegreen.domain.errors import DaemonUnreachable
from bluegreen.interfaces.cli import options as o
from bluegreen.interfaces.cli.client import DaemonClient
from bluegreen.interfaces.cli.decoding import decode
from bluegreen.interfaces.cli.output import (
    can_redraw,
    clock_time,
    console,
    note,
    print_json,
    print_json_line,
    printable,
    styled,
)
from bluegreen.interfaces.cli.patience import patiently
from bluegreen.interfaces.cli.sentences import sentence
from bluegreen.interfaces.cli.summary import report

WATCH_SECONDS = 1.0
FOLLOW_WAIT_SECONDS = 10.0


def status(
    service: o.OptionalService = None,
    /,
    *,
    watch: Annotated[bool, Parameter(name="--watch", alias="-w", help="Show it again every second.")] = False,
    as_json: o.Json = False,
    config: o.Config = o.CONFIG_DEFAULT,
) -> int:
    """Show slots, traffic, route and deployment of one service or of all.

    With `--watch --json` it prints one document a line, every second.
    """
    client = DaemonClient(config)
    request = r.StatusRequest(service or "")
    raw = client.call_raw("status", request)
    if watch:
        return _watch(client, request, as_json)
    if as_json:
        print_json(raw)
        return 0
    from bluegreen.interfaces.cli.tables import status_screen

    view = decode(v.StatusView, raw)
    console().print(status_screen(view))
    if not view.router_alive:
        note(f"the router is not alive: {view.router}")
    return 0


def _watch(client: DaemonClient, request: r.StatusRequest, as_json: bool) -> int:
    """Until Ctrl-C. A daemon that restarts is waited for."""

    def look() -> dict[str, Any]:
        return client.call_raw("status", request, timeout_seconds=5)

    if as_json:
        while True:
            print_json_line(patiently(look))
            time.sleep(WATCH_SECONDS)
    from rich.live import Live
    from rich.text import Text

    from bluegreen.interfaces.cli.tables import status_screen

    if not can_redraw():
        while True:
            console().print(status_screen(decode(v.StatusView, patiently(look))))
            time.sleep(WATCH_SECONDS)
    with Live(console=console(), auto_refresh=False, vertical_overflow="crop") as live:

        def say_trouble(error: DaemonUnreachable) -> None:
            live.update(Text(f"{error.message}; waiting for it", style="red"), refresh=True)

        while True:
            live.update(status_screen(decode(v.StatusView, patiently(look, say_trouble))), refresh=True)
            time.sleep(WATCH_SECONDS)


def history(
    service: o.Service,
    /,
    *,
    limit: Annotated[int, Parameter(name="--limit", help="At most so many, the newest.", show_default=True)] = 20,
    details: Annotated[
        bool, Parameter(name="--details", help="Add the report of each one that did not complete: cause, last logs.")
    ] = False,
    as_json: o.Json = False,
    config: o.Config = o.CONFIG_DEFAULT,
) -> int:
    """List the deployments of a service, newest first."""
    raw = DaemonClient(config).call_raw("history", r.HistoryRequest(service, limit))
    if as_json:
        print_json(raw)
        return 0
    view = decode(v.HistoryView, raw)
    if not view.deployments:
        print(f"{service} was never deployed")
        return 0
    from bluegreen.interfaces.cli.tables import history_table

    console().print(history_table(view))
    if details:
        for past in view.deployments:
            if past.phase in (Phase.ROLLED_BACK, Phase.ROLLING_BACK, Phase.FAILED, Phase.ABORTED):
                print("\n".join(["", styled(f"{past.id}  {past.image}  {past.phase}", "bold"), *report(past)]))
    return 0


DeploymentId = Annotated[str, Parameter(help="Id of the deployment, as `bluegreen history` shows it.")]


def deployment(deployment: DeploymentId, /, *, as_json: o.Json = False, config: o.Config = o.CONFIG_DEFAULT) -> int:
    """Show one deployment as it stands: phase, cause, last logs, what can be done."""
    return _show(DaemonClient(config).call_raw("deployment", r.DeploymentRequest(deployment)), as_json)


def wait(
    deployment: DeploymentId,
    /,
    *,
    until: Annotated[
        str,
        Parameter(
            name="--until", help="ended, or a phase: awaiting_approval, monitoring, retaining.", show_default=True
        ),
    ] = "ended",
    timeout_seconds: Annotated[
        float, Parameter(name="--timeout-seconds", help="How long to wait at most, up to 3600.", show_default=True)
    ] = 300.0,
    as_json: o.Json = False,
    config: o.Config = o.CONFIG_DEFAULT,
) -> int:
    """Wait until a deployment has ended, waits for approval, or is in the phase of `--until`."""
    request = r.WaitRequest(deployment, until, timeout_seconds)
    return _show(DaemonClient(config).call_raw("wait", request, timeout_seconds=timeout_seconds + 10), as_json)


def _show(raw: dict[str, Any], as_json: bool) -> int:
    """0 unless the deployment has ended without success."""
    view = decode(v.DeploymentView, raw)
    if as_json:
        print_json(raw)
    else:
        now = [f"  {printable(view.reason)}"] if view.ended_at is None else []
        print("\n".join([styled(f"{view.id}  {view.image}  {view.phase}", "bold"), *now, *report(view)]))
    return 1 if view.phase in (Phase.ROLLED_BACK, Phase.FAILED, Phase.ABORTED) else 0


def events(
    deployment: Annotated[str, Parameter(help="Id of the deployment, as `bluegreen history` shows it.")],
    /,
    *,
    follow: Annotated[bool, Parameter(name="--follow", alias="-f", help="Go on until the deployment ends.")] = False,
    as_json: Annotated[
        bool, Parameter(name="--json", help="Print JSON Lines: one event a line (docs/json.md).")
    ] = False,
    config: o.Config = o.CONFIG_DEFAULT,
) -> int:
    """Show the event log of a deployment: everything that happened, in order."""
    client = DaemonClient(config)
    after = 0
    while True:
        request = r.EventsRequest(deployment, after, FOLLOW_WAIT_SECONDS if follow and after else 0.0)
        ask = partial(client.call_raw, "events", request, timeout_seconds=FOLLOW_WAIT_SECONDS + 5)
        raw = patiently(ask) if after else ask()
        view = decode(v.EventsView, raw)
        for event, as_written in zip(view.events, raw["events"], strict=True):
            after = event.sequence
            if as_json:
                print_json_line(as_written)
            else:
                print(f"{clock_time(event.at)}  {event.kind:<21} {sentence(event)}", flush=True)
        if not follow or (view.ended and not view.events):
            return 0


def services(*, as_json: o.Json = False, config: o.Config = o.CONFIG_DEFAULT) -> int:
    """List the names of all services that the daemon knows."""
    view = DaemonClient(config).call("services", r.NoRequest(), v.ServicesView)
    if as_json:
        print_json(dataclasses.asdict(view))
    else:
        print("\n".join(view.services) or "no service is configured yet")
    return 0
