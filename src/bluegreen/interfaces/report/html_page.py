"""The report as one HTML page that needs nothing else: no script, no request, no font from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import tzinfo
from importlib.resources import files

from bluegreen import __version__
from bluegreen.control.report_views import ReportPhaseView, ReportSeriesView, ReportView
from bluegreen.interfaces.report import content as c
from bluegreen.interfaces.report.charts import Chart, Line, Mark, draw
from bluegreen.interfaces.report.markup import Markup, joined, tag
from bluegreen.interfaces.report.recognition import GENERATOR, SIGNATURE

POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
"""Should a hostile log line ever get through, the browser runs and loads nothing all the same."""


def html_page(view: ReportView, zone: tzinfo) -> str:
    """Times are written for `zone`."""
    clock = c.Clock(zone)
    style = files(__package__).joinpath("page.css").read_text()
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="generator", content=GENERATOR),
        tag("meta", name="robots", content="noindex"),
        tag("title", f"{c.title(view)} – {c.outcome(view)[0]}"),
        tag("style", Markup(style)),
    )
    body = tag(
        "main",
        _top(view, clock),
        _next(view),
        _phases(view, clock),
        _charts(view, clock),
        _decisions(view, clock),
        _record(view),
        _logs(view),
        _events(view, clock),
        _foot(view, clock),
    )
    return f"<!DOCTYPE html>\n{tag('html', head, tag('body', body), lang='en')}\n"


def _section(title: str, *parts: str | Sequence[str]) -> Markup:
    return tag("section", tag("h2", title), *parts)


def _table(table: c.Table, *, style: str | None = None, answers: str = "") -> Markup:
    """`answers` is the column whose text is also the style of its cell."""

    def cell(column: str, text: str) -> Markup:
        kind = "number" if column in table.numbers else "text" if column in ("In words", "What") else None
        return tag("td", text, class_=text if column == answers else kind)

    titles = [
        tag("th", column, scope="col", class_="number" if column in table.numbers else None) for column in table.columns
    ]
    rows = [tag("tr", map(cell, table.columns, row)) for row in table.rows]
    return tag("div", tag("table", tag("thead", tag("tr", titles)), tag("tbody", rows), class_=style), class_="scroll")


def _top(view: ReportView, clock: c.Clock) -> Markup:
    word, mood = c.outcome(view)
    listing = [joined(tag("dt", name), tag("dd", value)) for name, value in c.facts(view, clock)]
    return tag(
        "header",
        tag("span", word, class_=f"badge {mood}"),
        tag("h1", c.title(view)),
        tag("p", f"Deployment {view.deployment.id}", class_="dim"),
        tag("p", view.headline, class_=f"headline {mood}"),
        tag("dl", listing),
    )


def _next(view: ReportView) -> Markup:
    if not view.next:
        return Markup()
    listing = [tag("li", tag("code", command.command), f" {command.why}") for command in view.next]
    return _section("What to do next", tag("ul", listing))


def _phases(view: ReportView, clock: c.Clock) -> Markup:
    table = c.phase_table(view, clock)
    first = view.phases[0].began_at if view.phases else view.made_at
    last = max((phase.began_at + phase.seconds for phase in view.phases), default=first)
    titles = [
        tag("th", column, scope="col", class_="number" if column in table.numbers else None) for column in table.columns
    ]
    rows = [
        tag("tr", tag("td", name), tag("td", began, class_="number"), tag("td", lasted, class_="number"),
            tag("td", _bar(phase, first, last), class_="bar"))
        for (name, began, lasted), phase in zip(table.rows, view.phases, strict=True)
    ]  # fmt: skip
    head = tag("thead", tag("tr", titles, tag("th", "", scope="col", aria_label="Share of the whole time")))
    return _section("Phases", tag("div", tag("table", head, tag("tbody", rows), class_="phases"), class_="scroll"))


def _bar(phase: ReportPhaseView, first: float, last: float) -> Markup:
    """Where the phase lies in the whole; a short one is at least a hair wide."""
    whole = max(last - first, 1e-9)
    begin = min(99.4, 100 * max(0.0, phase.began_at - first) / whole)
    width = max(0.6, min(100 - begin, 100 * phase.seconds / whole))
    return tag(
        "svg",
        tag("rect", x=0, y=2, width=100, height=6, class_="track"),
        tag("rect", x=f"{begin:.2f}", y=2, width=f"{width:.2f}", height=6, class_=f"part {phase.phase}"),
        viewBox="0 0 100 10",
        preserveAspectRatio="none",
        aria_hidden="true",
    )


def _charts(view: ReportView, clock: c.Clock) -> Markup:
    return _section(
        "Traffic around the switch",
        tag("p", f"Times: {clock.full(view.window_start)} to {clock.full(view.window_end)}", class_="dim"),
        *([tag("p", note)] if (note := c.series_note(view)) else []),
        _figure(view, clock, "rate"),
        _figure(view, clock, "errors"),
        _figure(view, clock, "latency"),
    )


def _figure(view: ReportView, clock: c.Clock, which: str) -> Markup:
    title, metrics = c.METRIC_TITLES[which]
    found = c.series_of(view, metrics)
    missing = c.why_empty(found)
    if missing:
        return tag("figure", tag("figcaption", title), tag("p", missing, class_="none"))
    lines = [_line(series) for series in found if series.values]
    text = c.VALUE_TEXTS[which]
    described = "; ".join(
        f"{c.series_name(series)}: " + (_range(series, text) if series.values else "not measured") for series in found
    )
    chart = Chart(
        title=title,
        description=described,
        lines=lines,
        marks=[Mark(move.at, c.move_label(move), "bad" if move.kind == "rollback" else "plain") for move in view.moves],
        start=view.window_start,
        end=view.window_end,
        value_text=text,
        time_text=clock.short,
        limit=_limit(view) if which == "errors" else None,
        least_top=0.002 if which == "errors" else 1.0,
    )
    caption = tag("figcaption", title, tag("div", map(_legend, found), class_="legend"))
    return tag("figure", caption, draw(chart), _numbers(lines, clock, text))


def _line(series: ReportSeriesView) -> Line:
    dashed = " dashed" if series.metric.endswith("_p50") else ""
    return Line(c.series_name(series), f"{series.slot}{dashed}", series.end_at, series.step_seconds, series.values)


def _legend(series: ReportSeriesView) -> Markup:
    line = _line(series)
    sample = tag("line", x1=0, x2=30, y1=6, y2=6, class_=f"line {line.style}")
    told = line.name if series.values else f"{line.name}: not measured"
    return tag("span", tag("svg", sample, viewBox="0 0 30 12", aria_hidden="true"), told)


def _limit(view: ReportView) -> tuple[float, str] | None:
    """The last one that green's errors were held against."""
    limits = [
        verdict.limit
        for decision in view.decisions
        for verdict in decision.verdicts
        if verdict.measurement == "errors" and verdict.limit is not None
    ]
    return (limits[-1], f"allowed {c.share(limits[-1])}") if limits else None


def _range(series: ReportSeriesView, text: c.ValueText) -> str:
    known = [value for value in series.values if value is not None]
    return f"{text(min(known))} to {text(max(known))}"


def _numbers(lines: Sequence[Line], clock: c.Clock, text: c.ValueText) -> Markup:
    """The chart as a table, for who can't see it and for who wants to know exactly."""
    values: dict[str, dict[str, str]] = {}
    for line in lines:
        for _, end, value in line.steps():
            if value is not None:
                values.setdefault(clock.short(end), {})[line.name] = text(value)
    rows = tuple((at, *(row.get(line.name, c.NOTHING) for line in lines)) for at, row in sorted(values.items()))
    columns = ("Until", *(line.name for line in lines))
    return tag("details", tag("summary", "The numbers"), _table(c.Table(columns, rows, frozenset(columns[1:]))))


def _decisions(view: ReportView, clock: c.Clock) -> Markup:
    if not view.decisions:
        return _section("Verdicts", tag("p", "Nothing was decided from measurements.", class_="dim"))
    parts: list[Markup] = []
    for decision in view.decisions:
        parts += [tag("h3", c.decision_title(decision, clock)), tag("p", decision.reason)]
        if decision.verdicts:
            parts.append(_table(c.verdict_table(decision), answers="Answer"))
    if note := c.evidence_note(view):
        parts.append(tag("p", note, class_="dim"))
    return _section("Verdicts", *parts)


def _record(view: ReportView) -> Markup:
    title = "The old version's record"
    if not view.record:
        return _section(title, tag("p", "Nothing was recorded before a switch.", class_="dim"))
    return _section(title, _table(c.record_table(view)))


def _logs(view: ReportView) -> Markup:
    if not view.deployment.logs:
        return Markup()
    count = len(view.deployment.logs)
    return _section(f"Last {count} log lines of the new version", tag("pre", "\n".join(view.deployment.logs)))


def _events(view: ReportView, clock: c.Clock) -> Markup:
    every = tag(
        "details", tag("summary", f"All {len(view.events)} events"), _table(c.event_table(view, clock, routine=True))
    )
    return _section("Events", _table(c.event_table(view, clock, routine=False)), every)


def _foot(view: ReportView, clock: c.Clock) -> Markup:
    return tag(
        "footer", f"Made {clock.full(view.made_at)}{SIGNATURE}{__version__} from its event log and measurements."
    )
