"""`python -m bench.power_curves [FILE.svg]`: the chance that a version is rolled back, by its true share of errors.

Writes docs/power-curves.svg, the same bytes each time with the same matplotlib, and prints the numbers that it shows.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter, PercentFormatter

from bench.false_rollbacks import ALLOWED
from bench.simulation import DEPLOYMENT_SECONDS, Outcomes, Scenario, constant
from bench.usual_rules import RULES, USUAL_SHARE, deployments, judged

PICTURE = Path(__file__).parents[1] / "docs" / "power-curves.svg"
RATES = (200.0, 20.0, 2.0)
SHARES = (0.001, 0.002, 0.003, 0.005, 0.007, 0.01, 0.013, 0.017, 0.02, 0.03, 0.04, 0.05, 0.07, 0.1, 0.2, 0.5, 1.0)
WITHIN_SECONDS = (5.0, 30.0, DEPLOYMENT_SECONDS)
# Okabe and Ito's colours: told apart by colour-blind people too; lines differ in style and marks as well.
BLUE, SKY, ORANGE, GREEN, VERMILION = "#0072B2", "#56B4E9", "#E69F00", "#009E73", "#D55E00"
OWN_STYLES = ((SKY, ":", "s"), (BLUE, "--", "o"), ("black", "-", "D"))
RULE_STYLES = (("black", "-", "D"), (ORANGE, "--", "s"), (GREEN, "-.", "^"), (VERMILION, ":", "o"))

LEGENDS: Sequence[Literal["outside upper center", "outside lower center"]] = (
    "outside upper center",
    "outside lower center",
)

Curves = Mapping[str, Sequence[float]]


def outcomes(rule: str, rate: float, share: float, count: int) -> Outcomes:
    scenario = Scenario("", constant(rate), constant(share), other_share=constant(USUAL_SHARE))
    return judged(scenario, rule, count)


def curves(rate: float, count: int) -> tuple[Curves, Curves]:
    """Of our rule by seconds, and of all rules at the end of the deployment; one value for each of SHARES."""
    own = [outcomes("ours", rate, share, count) for share in SHARES]
    within = {f"within {seconds:g} s": [some.within(seconds) for some in own] for seconds in WITHIN_SECONDS}
    rules: dict[str, Sequence[float]] = {"ours": within[f"within {DEPLOYMENT_SECONDS:g} s"]}
    for rule in list(RULES)[1:]:
        rules[rule] = [outcomes(rule, rate, share, count).within(DEPLOYMENT_SECONDS) for share in SHARES]
    return within, rules


def draw(found: Sequence[tuple[Curves, Curves]], path: Path) -> None:
    style: Any = {"svg.hashsalt": "bluegreen", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
    with mpl.rc_context(style):
        layout = ConstrainedLayoutEngine(wspace=0.06, hspace=0.04)
        figure = Figure(figsize=(10, 6.4), layout=layout, facecolor="white")
        panels = figure.subplots(2, len(RATES), sharex=True, sharey=True)
        for column, (rate, both) in enumerate(zip(RATES, found, strict=True)):
            for row, (lines, styles) in enumerate(zip(both, (OWN_STYLES, RULE_STYLES), strict=True)):
                _panel(panels[row][column], lines, styles)
            panels[0][column].set_title(f"{rate:g} requests/s")
            panels[1][column].set_xlabel("true share of failed requests")
        panels[0][0].set_ylabel("ours: chance of a rollback")
        panels[1][0].set_ylabel(f"all rules: chance within {DEPLOYMENT_SECONDS:g} s")
        for row, place in enumerate(LEGENDS):
            lines, names = panels[row][0].get_legend_handles_labels()
            figure.legend(lines, names, loc=place, ncols=4, frameon=False, handlelength=3.5)
        figure.savefig(path, format="svg", metadata={"Date": None})


def _panel(axes: Axes, lines: Curves, styles: Sequence[tuple[str, str, str]]) -> None:
    axes.axvspan(SHARES[0], ALLOWED, color="#EEEEEE", zorder=0)
    axes.text(SHARES[0] * 1.15, 0.5, "allowed", color="#555555", rotation=90, va="center")
    for (name, values), (color, line, mark) in zip(lines.items(), styles, strict=True):
        axes.plot(SHARES, values, color=color, linestyle=line, marker=mark, markersize=3.5, linewidth=1.4, label=name)
    axes.set_xscale("log")
    axes.set_xlim(SHARES[0], 1.0)
    axes.set_ylim(-0.03, 1.03)
    axes.set_xticks([0.001, 0.01, 0.1, 1.0])
    axes.xaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:g} %"))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
    axes.grid(color="#DDDDDD", linewidth=0.6)


def main() -> int:
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else PICTURE
    count, found = deployments(), []
    for rate in RATES:
        found.append(curves(rate, count))
        print(f"\n{rate:g} requests/s, {count:,} deployments a point\n{'':28}", *(f"{100 * s:>6g}%" for s in SHARES))
        for name, values in {**found[-1][0], **found[-1][1]}.items():
            print(f"{name:28}", *(f"{value:>7.4f}" for value in values), flush=True)
    draw(found, path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
