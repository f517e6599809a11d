"""`bluegreen up`, `down` and `reload`."""

from __future__ import annotations

import os
import sys
import time
from typing import Annotated

from cyclopts import Parameter

from bluegreen.control import requests as r
from bluegreen.control import views as v
from bluegreen.domain.deployment import TERMINAL_PHASES
from bluegreen.domain.errors import BluegreenError, DaemonUnreachable, UsageError
from bluegreen.interfaces.cli import options as o
from bluegreen.interfaces.cli.client import DaemonClient
from bluegreen.interfaces.cli.daemon_process import daemon_command, is_running, start_daemon, wait_for_end
from bluegreen.interfaces.cli.decoding import decode
from bluegreen.interfaces.cli.location import command_line
from bluegreen.interfaces.cli.output import duration, note, plural, print_error, print_json
from bluegreen.interfaces.cli.waiting import wait_for

STOP_TIMEOUT_SECONDS = 900.0
"""Workloads are drained first, each for as long as its policy allows."""
EXIT_TIMEOUT_SECONDS = 30.0


def up(
    *,
    foreground: Annotated[
        bool, Parameter(name="--foreground", help="Run in this terminal, or under a process supervisor.")
    ] = False,
    deploy: Annotated[
        bool,
        Parameter(name="--deploy", help="Then deploy the configured image of every service that has no version yet."),
    ] = False,
    config: o.Config = o.CONFIG_DEFAULT,
) -> int:
    """Start the daemon and the router in the background. Deploys nothing by itself.

    Deployments that a crash interrupted are taken up again. When the daemon runs already, it says so.
    """
    if foreground and deploy:
        raise UsageError("--deploy waits for the daemon, which --foreground becomes", hint="Leave one of them out")
    client = DaemonClient(config)
    if is_running(client):
        view = client.call("status", r.StatusRequest(), v.StatusView)
        print(f"bluegreen is up already: daemon pid {view.pid}, router on {view.listen}")
    elif foreground:
        command = daemon_command(config)
        os.execv(command[0], command)  # noqa: S606 - no shell, and it is ourselves
    else:
        began = time.monotonic()
        start_daemon(client)
        took = time.monotonic() - began
        view = client.call("status", r.StatusRequest(), v.StatusView)
        what = plural(len(view.services), "service")
        print(f"bluegreen is up after {duration(took)}: router on {view.listen}, {what}, daemon pid {view.pid}")
    if not view.router_alive:
        note(f"the router is not alive: {view.router}", f"See the end of {client.log_path}")
    sys.stdout.flush()
    return _deploy_missing(client, view) if deploy else 0


def _deploy_missing(client: DaemonClient, view: v.StatusView) -> int:
    """The first deployment of each service that has none, all begun before the first is waited for."""
    begun: list[v.DeploymentView] = []
    exit_code = 0
    for service in view.services:
        current = service.deployment
        if service.active is not None:
            continue
        if not service.image:
            note(f"{service.name} has no version and no configured image: nothing to deploy")
            continue
        if current is not None and current.phase not in TERMINAL_PHASES:
            begun.append(current)
            continue
        try:
            request = r.DeployRequest(service.name, requested_by=o.requested_by(), note="bluegreen up --deploy")
            begun.append(client.call("deploy", request, v.DeploymentView))
        except DaemonUnreachable:
            raise
        except BluegreenError as error:
            print_error(error)
            exit_code = error.exit_code
    for deployment in begun:
        print(f"deployment {deployment.id}: {deployment.image}", flush=True)
        exit_code = max(exit_code, wait_for(client, deployment, "switched"))
    return exit_code


def down(
    *,
    keep_workloads: Annotated[
        bool,
        Parameter(
            name="--keep-workloads",
            help="Leave the services' processes running; nothing routes to them until the next `up`.",
        ),
    ] = False,
    daemon_only: Annotated[
        bool,
        Parameter(
            name="--daemon-only",
            help="Leave router and processes as they are, serving; for upgrades. The next `up` takes them over.",
        ),
    ] = False,
    force: Annotated[bool, Parameter(name="--force", help="Also in the middle of a deployment.")] = False,
    as_json: o.Json = False,
    config: o.Config = o.CONFIG_DEFAULT,
) -> int:
    """Stop the daemon, the router and the services' processes."""
    client = DaemonClient(config)
    try:
        pid = client.call("status", r.StatusRequest(), v.StatusView).pid
    except DaemonUnreachable as error:
        error.hint = (
            "A router and workloads that outlived it are taken over and then stopped by: "
            f"{command_line('up', config)} && {command_line('down', config)}"
        )
        raise
    request = r.ShutdownRequest(keep_workloads, force, daemon_only)
    raw = client.call_raw("shutdown", request, timeout_seconds=STOP_TIMEOUT_SECONDS)
    if not wait_for_end(pid, EXIT_TIMEOUT_SECONDS):
        raise BluegreenError(
            f"the daemon (pid {pid}) has not ended {EXIT_TIMEOUT_SECONDS:g} s after it said it would",
            hint=f"See the end of {client.log_path}, then: kill {pid}",
        )
    print_json(raw) if as_json else print(decode(v.MessageView, raw).message)
    return 0


def reload(*, as_json: o.Json = False, config: o.Config = o.CONFIG_DEFAULT) -> int:
    """Apply a changed configuration file as far as that touches no traffic, and say what needs a restart."""
    raw = DaemonClient(config).call_raw("reload", r.NoRequest())
    if as_json:
        print_json(raw)
        return 0
    view = decode(v.ReloadView, raw)
    for change in view.applied:
        print(f"applied: {change}")
    for change in view.needs_restart:
        print(f"needs a restart: {change}")
    if view.needs_restart:
        restart = f"{command_line('down --keep-workloads', config)} && {command_line('up', config)}"
        print(f"restart, with no router for a moment: {restart}")
    if not view.applied and not view.needs_restart:
        print("nothing has changed")
    return 0
