"""`bluegreen metrics METRIC` for people, and `bluegreen metrics query`, the tool as agents have it."""

from __future__ import annotations

import dataclasses
import sys
import time
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from bluegreen.control import tool_requests as t
from bluegreen.control import tool_views as tv
from bluegreen.domain.errors import UsageError
from bluegreen.domain.series import METRICS
from bluegreen.interfaces.cli import options as o
from bluegreen.interfaces.cli.client import DaemonClient
from bluegreen.interfaces.cli.decoding import decode
from bluegreen.interfaces.cli.metric_series import Question, gather
from bluegreen.interfaces.cli.output import clock_time, console, note, print_json
from bluegreen.interfaces.cli.pairs import pairs

MetricName = Annotated[str, Parameter(help=f"{', '.join(list(METRICS)[:-1])} or {list(METRICS)[-1]}.")]


def show(
    metric: MetricName,
    /,
    *,
    service: Annotated[
        str,
        Parameter(
            name="--service", help="Its slots side by side; all services without it.", completer=o.known_services
        ),
    ] = "",
    slot: Annotated[Literal["blue", "green"] | None, Parameter(name="--slot", help="This slot alone.")] = None,
    since: Annotated[
        str, Parameter(name="--since", help="ISO 8601, or such as -5m.", show_default=True, allow_leading_hyphen=True)
    ] = "-15m",
    until: Annotated[
        str,
        Parameter(name="--until", help="ISO 8601, now, or such as -1m.", show_default=True, allow_leading_hyphen=True),
    ] = "now",
    step: Annotated[
        str, Parameter(name="--step", help="Width of a point, such as 10s; chosen for at most 60 points without it.")
    ] = "",
    as_csv: Annotated[
        bool, Parameter(name="--csv", help="Print CSV: a row for each step, a column for each series.")
    ] = False,
    plot: Annotated[
        Path | None,
        Parameter(name="--plot", help="Draw a picture into this file, .png or .svg; needs bluegreen[plot]."),
    ] = None,
    as_json: o.Json = False,
    config: o.Config = o.CONFIG_DEFAULT,
) -> int:
    """Show a metric over time: points, its course as a line of bars, minimum, average, maximum and latest value.

    Switches of the traffic are marked. `-`, a dot and a broken line stand for steps in which nothing was measured.
    """
    if as_json and as_csv:
        raise UsageError("--csv: choose one of --csv and --json")
    if plot is not None:
        from bluegreen.interfaces.cli.metric_plot import check_plot_file

        check_plot_file(plot)
    chart = gather(DaemonClient(config), Question(metric, service, slot or "", since, until, step), time.time())
    if plot is not None:
        from bluegreen.interfaces.cli.metric_plot import plot as draw

        draw(chart, plot)
        note(f"the picture is in {plot}")
    if as_json:
        print_json(dataclasses.asdict(chart))
        return 0
    from bluegreen.interfaces.cli.metric_tables import chart_screen, write_csv

    if as_csv:
        write_csv(chart, sys.stdout)
    elif chart.measured:
        console().print(chart_screen(chart, with_points=plot is None))
    else:
        print(
            f"{chart.metric}: nothing was measured between {clock_time(chart.start_at)} and {clock_time(chart.end_at)}"
        )
    return 0


def query(
    metric: MetricName,
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
    """Ask as agents do: one series, of a workload or of all with some labels together."""
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
