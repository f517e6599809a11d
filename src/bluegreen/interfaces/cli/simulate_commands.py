"""`bluegreen simulate`."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from bluegreen.interfaces.cli import options as o
from bluegreen.interfaces.cli.deploy_commands import Settings, Strategy
from bluegreen.interfaces.cli.output import duration, print_json, share, styled
from bluegreen.interfaces.cli.pairs import pairs

if TYPE_CHECKING:
    from bluegreen.control.simulating import SimulationView


def simulate(
    service: o.Service,
    /,
    *,
    rate: Annotated[float, Parameter(name="--rate", help="Requests per second to the service.")],
    error_rate: Annotated[
        float | None,
        Parameter(name="--error-rate", help="Share of the bad version's requests that fail; 0.05 without it."),
    ] = None,
    blue_error_rate: Annotated[
        float | None,
        Parameter(name="--blue-error-rate", help="That of the old version; a tenth of max_error_rate without it."),
    ] = None,
    latency_ms: Annotated[
        float | None,
        Parameter(name="--latency-ms", help="What the policy's latency_quantile of the bad version's requests take."),
    ] = None,
    blue_latency_ms: Annotated[
        float | None, Parameter(name="--blue-latency-ms", help="What those of the old version take.")
    ] = None,
    strategy: Strategy = "blue-green",
    settings: Settings = (),
    runs: Annotated[int, Parameter(name="--runs", help="How many deployments.", show_default=True)] = 1000,
    seed: Annotated[int, Parameter(name="--seed", help="The same seed, the same answer.", show_default=True)] = 1,
    as_json: o.Json = False,
    config: o.Config = o.CONFIG_DEFAULT,
) -> int:
    """Tell how soon a service's policy would notice a bad version, and whether it would keep a good one.

    Deployments are played with imagined traffic and the engine that decides in earnest, from the configuration file
    alone. Try another policy with `--set policy.monitor_seconds=60`.
    """
    from bluegreen.control import simulating
    from bluegreen.control.fleet import unknown
    from bluegreen.spec.loading import load
    from bluegreen.spec.overrides import apply_overrides

    services = load(config).services
    if service not in services:
        raise unknown("service", service, services)
    imagined = simulating.Imagined(rate, error_rate, blue_error_rate, latency_ms, blue_latency_ms, strategy, runs, seed)
    view = simulating.simulate(apply_overrides(services[service], pairs("--set", settings)), imagined)
    if as_json:
        print_json(dataclasses.asdict(view))
    else:
        print("\n".join(_lines(view)))
    return 0


def _lines(view: SimulationView) -> list[str]:
    slow = f", {share(view.slow_rate)} slow" if view.slow_rate else ""
    lines = [
        styled(f"{view.service}: {share(view.error_rate)} failing{slow}, at {view.rate:g} requests/s", "bold"),
        f"  accepted {share(view.error_limit)}; the old version fails {share(view.blue_error_rate)}; "
        f"watched for {duration(view.monitor_seconds)} ({view.strategy})",
        "",
        f"  {'':<24}{'median':>12}{'9 of 10 within':>18}",
        _row("until rolled back", _time(view.seconds_median), _time(view.seconds_p90)),
        _row("requests to it", _count(view.requests_median), _count(view.requests_p90)),
        _row("of them failed", _count(view.failed_median), _count(view.failed_p90)),
        "",
        f"  noticed while it is watched: {share(view.noticed_share)} of {view.runs} deployments; "
        f"passed {share(view.passed_share)}, held {share(view.held_share)}",
    ]
    if view.least_requests is not None:
        lines.append(
            f"  any test with this chance of a false alarm needs {view.least_requests:.0f} requests or more on average"
        )
    lines += [
        f"  for example: {view.verdict}",
        "",
        f"  a version as good as the old one: passed {share(view.good_passed_share)}, "
        f"held {share(view.good_held_share)}, rolled back {view.good_rolled_back} of {view.good_runs}",
        f"  (the policy bounds that at {share(view.false_rollback_probability)} a deployment, however often one looks)",
        f"  for example: {view.good_verdict}",
    ]
    lines += ["", *(styled(f"  ! {hint}", "warn") for hint in view.hints)] if view.hints else []
    return [*lines, "", *(styled(f"  assumed: {assumption}", "dim") for assumption in view.assumptions)]


def _row(name: str, median: str, p90: str) -> str:
    return f"  {name:<24}{median:>12}{p90:>18}"


def _time(seconds: float | None) -> str:
    return "not noticed" if seconds is None else duration(seconds)


def _count(count: int | None) -> str:
    return "-" if count is None else f"{count}"
