"""`bluegreen logs`."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from bluegreen.control import requests as r
from bluegreen.control import views as v
from bluegreen.domain.errors import UsageError
from bluegreen.interfaces.cli import options as o
from bluegreen.interfaces.cli.client import DaemonClient
from bluegreen.interfaces.cli.decoding import decode
from bluegreen.interfaces.cli.output import note, print_json
from bluegreen.interfaces.cli.tailing import follow_files

PAGE_SECONDS = 0.5
"""How often is asked for what is new, where logs are no files."""


def logs(
    service: o.Service,
    /,
    *,
    slot: Annotated[
        Literal["blue", "green"] | None,
        Parameter(name="--slot", help="Which slot; the newest deployment's version without it."),
    ] = None,
    follow: Annotated[bool, Parameter(name="--follow", alias="-f", help="Go on with what is written.")] = False,
    lines: Annotated[
        int, Parameter(name="--lines", alias="-n", help="How many of the last lines.", show_default=True)
    ] = 100,
    as_json: o.Json = False,
    config: o.Config = o.CONFIG_DEFAULT,
) -> int:
    """Show what a version of a service wrote to stdout and stderr, also after it was stopped."""
    if follow and as_json:
        raise UsageError("--follow and --json don't go together", hint="Leave one of them out")
    client, request = DaemonClient(config), r.LogsRequest(service, slot or "", lines)
    raw = client.call_raw("logs", request)
    if as_json:
        print_json(raw)
        return 0
    view = decode(v.LogsView, raw)
    note(f"{view.workload_id} ({view.slot}), {len(view.lines)} lines")
    for line in view.lines:
        print(line)
    if follow and view.files:
        follow_files([Path(name) for name in view.files])
    elif follow:
        _follow_pages(client, request, view)
    return 0


def _follow_pages(client: DaemonClient, request: r.LogsRequest, view: v.LogsView) -> None:
    """Prints what is new until Ctrl-C, also of a version that takes over meanwhile."""
    position, workload = view.position, view.workload_id
    while True:
        time.sleep(PAGE_SECONDS)
        page = decode(v.LogsView, client.call_raw("logs", replace(request, position=position)))
        if page.workload_id != workload:
            note(f"{page.workload_id} ({page.slot})")
            workload = page.workload_id
        for line in page.lines:
            print(line)
        sys.stdout.flush()
        position = page.position or position
