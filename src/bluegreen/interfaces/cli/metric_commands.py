"""`bluegreen metrics query`."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from bluegreen.control import tool_requests as t
from bluegreen.control import tool_views as tv
from bluegreen.interfaces.cli import options as o
from bluegreen.interfaces.cli.client import DaemonClient
from bluegreen.interfaces.cli.decoding import decode
from bluegreen.interfaces.cli.output import print_json
from bluegreen.interfaces.cli.pairs import pairs


def query(
    metric: Annotated[
        str,
        Parameter(help="health_check_success, request_error_rate, request_rate, requests_in_flight or restarts."),
    ],
    /,
    *,
    workload: Annotated[str, Parameter(name="--workload", help="Of this workload alone.")] = "",
    node: Annotated[str, Parameter(name="--node", help="Of workloads on this machine.")] = "",
    label: Annotated[
        tuple[str, ...], Parameter(name="--label", help="Of workloads with this label, KEY=VALUE.", negative=())
    ] = (),
    start: Annotated[
        str, Parameter(name="--start", help="ISO 8601, or such as -5m.", show_default=True, allow_leading_hyphen=True)
    ] = "-1h",
    end: Annotated[
        str,
        Parameter(name="--end", help="ISO 8601, now, or such as -1m.", show_default=True, allow_leading_hyphen=True),
    ] = "now",
    step: Annotated[str, Parameter(name="--step", help="Width of a point, such as 10s.")] = "",
    as_json: o.Json = False,
    config: o.Config = o.CONFIG_DEFAULT,
) -> int:
    """Show a metric over time, and its minimum, maximum, average and latest value."""
    request = t.MetricsQueryRequest(metric, workload, node, pairs("--label", label), start, end, step)
    raw = DaemonClient(config).call_raw("metrics_query", request)
    if as_json:
        print_json(raw)
        return 0
    view = decode(tv.MetricsView, raw)
    for point in view.points:
        if point.value is not None:
            print(f"{point.time}  {point.value:g}")
    summary = view.summary
    if summary.latest is None:
        print(f"{view.metric}: nothing was measured between {view.startTime} and {view.endTime}")
        return 0
    print(
        f"{view.metric} ({view.unit}): latest {summary.latest:g}, average {summary.avg or 0:g}, "
        f"between {summary.min or 0:g} and {summary.max or 0:g}"
    )
    return 0
