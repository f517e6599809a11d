"""The page and the text of a report: whatever is in it, the page is whole, loads nothing and runs nothing."""

from __future__ import annotations

import re
from datetime import UTC

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bluegreen.control import report_views as rv
from bluegreen.control.views import DeploymentView, EventView
from bluegreen.interfaces.report import content as c
from bluegreen.interfaces.report.charts import Chart, Line, Mark, draw, nice_top
from bluegreen.interfaces.report.html_page import POLICY, html_page
from bluegreen.interfaces.report.markdown import markdown
from bluegreen.interfaces.report.markup import joined, tag
from bluegreen.interfaces.report.recognition import is_report
from tests.support.pages import Page

SIGNS = "<>&\"'`|*_[](){}#-\\\n\r\t \x00\x1b\u202e\ud800abcé/=:;!?~0."
HOSTILE = st.text(st.sampled_from(SIGNS), max_size=40).map(lambda text: text + "x")
"""Never empty, for what is empty is left out."""


def view(text: str = "text", values: tuple[float | None, ...] = (1.0, None, 0.0, 250.0)) -> rv.ReportView:
    """A report with this text everywhere where text from outside can be."""
    deployment = DeploymentView(
        id="app-2", service="app", phase="rolled_back", reason=text, strategy="blue-green", image=f"app:{text}",
        version=text, previous_image=text, requested_by=text, requested_at=100.0, phase_since=110.0,
        elapsed_seconds=0.0, ended_at=120.0, switched_at=105.0, switch_milliseconds=2.5, rollback_milliseconds=1.5,
        requests=None, errors=None, cause=text, attention=text, cut_requests=3, blue="app-blue-1", green="app-green-2",
        can_roll_back=False, rollback_until=None, rollback_command="", logs=(text, text), exit_codes=(text,),
        share=0, steps=(100,),
    )  # fmt: skip
    verdict = rv.ReportVerdictView(
        "errors", "fail", text, 803, 41, 41 / 803, 0.01, 0.002, 9.1, 36.908, None, None, 30.0
    )
    found = rv.ReportVerdictView("queue", "fail", text, 0, 0, None, None, None, None, None, None, 171.5, 0.0)
    series = tuple(
        rv.ReportSeriesView(metric, "", role, slot, text, f"app-{slot}", 120.0, 5.0, values, text)
        for metric in ("request_rate", "request_error_rate", "request_latency_p50", "request_latency_p99")
        for role, slot in (("old", "blue"), ("new", "green"))
    )
    asked = {"requested_by": text, "image": text, "strategy": text, "note": text, "overrides": {"env.A": "***"}}
    return rv.ReportView(
        headline=text,
        made_at=130.0,
        deployment=deployment,
        old_version=text,
        phases=(
            rv.ReportPhaseView("monitoring", 105.0, 110.0, 5.0),
            rv.ReportPhaseView("rolling_back", 110.0, None, 9),
        ),
        moves=(rv.ReportMoveView(105.0, "switch", 100, 2.5), rv.ReportMoveView(106.0, "rollback", 0, 1.5)),
        decisions=(rv.ReportDecisionView(110.0, "rollback", text, text, (verdict, found)),),
        record=(rv.ReportRecordView(text, 1000, 2, 0.002, 12.5, None),),
        window_start=100.0,
        window_end=120.0,
        series=series,
        events=(EventView(1, "app-2", "app", 100.0, "deployment_requested", asked),),
        next=(rv.NextCommandView("bluegreen logs app", text),),
    )


@given(HOSTILE)
def test_whatever_a_text_is_the_page_is_whole_and_has_no_more_tags(text: str) -> None:
    page = Page.of(html_page(view(text), UTC))
    assert page.tags == Page.of(html_page(view(), UTC)).tags
    assert page.handlers == []


@given(HOSTILE)
def test_whatever_a_text_is_the_markdown_has_the_same_structure(text: str) -> None:
    """The same headings and as many rows: a text stays in its cell. What is fenced stays fenced."""

    def structure(markdown_text: str) -> list[str]:
        found, fence = [], ""
        for line in markdown_text.split("\n"):
            if fence:
                fence = "" if line == fence else fence
            elif opened := re.fullmatch(r"(`{3,})text", line):
                fence = opened[1]
            elif re.match(r"(#+|\||-) ", line):
                cells = len(re.findall(r"(?<!\\)(?:\\\\)*\|", line))
                found.append(f"{line.split(' ')[0]} {cells if line.startswith('|') else ''}")
        assert not fence
        return found

    assert structure(markdown(view(text), UTC)) == structure(markdown(view(), UTC))


@given(HOSTILE)
def test_what_no_file_or_terminal_should_get_is_left_out(text: str) -> None:
    for written in (html_page(view(text), UTC), markdown(view(text), UTC)):
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202e\ud800]", written)
        assert is_report(written.encode())


def test_the_page_loads_nothing_and_forbids_itself_to() -> None:
    text = html_page(view(), UTC)
    page = Page.of(text)
    assert page.loaded == []
    assert not re.search(r"https?://|//[a-z]|@import|url\(", text)
    assert "script" not in page.tags
    assert POLICY.startswith("default-src 'none'")
    assert "prefers-color-scheme: dark" in page.styles and "@media print" in page.styles


def test_each_plot_has_a_name_and_a_description_and_its_numbers_as_a_table() -> None:
    text = html_page(view("v2"), UTC)
    page = Page.of(text)
    assert page.tags.count("figure") == page.tags.count("desc") == 3
    assert text.count('role="img"') == 3
    assert page.tags.count("details") == 4
    for words in ("switch", "rollback", "allowed 1.0 %", "v2 (green, new, p99)", "01:40", "The numbers"):
        assert words in page.text


def test_numbers_of_a_verdict_are_in_its_row() -> None:
    table = c.verdict_table(view("why").decisions[0])
    assert dict(zip(table.columns, table.rows[0], strict=True)) == {
        "Measured": "errors", "Answer": "fail", "n": "803", "k": "41", "Found": "5.1 %", "Allowed": "1.0 %",
        "Old version": "0.20 %", "Evidence": "9.1 of 36.9", "In words": "why",
    }  # fmt: skip
    assert "at most 0.1 %" in c.evidence_note(view())


def test_what_is_not_known_is_said_and_not_drawn() -> None:
    page, text = html_page(view(values=()), UTC), markdown(view(values=()), UTC)
    assert "chart" not in re.findall(r'<svg [^>]*class="(\w+)"', page)
    assert page.count("is not kept any more") == text.count("is not kept any more") == 3


@given(
    st.lists(st.none() | st.floats(0, 1e9), max_size=20),
    st.floats(-1e6, 1e6),
    st.floats(0.1, 1e5),
    st.lists(st.floats(-1e7, 1e7), max_size=4),
)
def test_a_chart_stays_within_its_frame(
    values: list[float | None], start: float, width: float, at: list[float]
) -> None:
    line = Line("name", "blue", start + width, 1.0, values)
    marks = [Mark(moment, "switch", "plain") for moment in at]
    drawn = draw(Chart("t", "d", [line], marks, start, start + width, str, str, limit=(0.01, "allowed")))
    Page.of(drawn)
    assert "nan" not in drawn and "inf" not in drawn
    for path in re.findall(r' d="([^"]*)"', drawn):
        assert all(-1 <= float(number) <= 901 for number in re.findall(r"[-0-9.]+", path))


def test_a_gap_is_a_gap_and_a_lonely_value_is_drawn() -> None:
    line = Line("name", "blue", 4.0, 1.0, (None, 5.0, None, 5.0))
    drawn = draw(Chart("t", "d", [line], [], 0.0, 4.0, str, str))
    (path,) = re.findall(r' d="([^"]*)"', drawn)
    assert path.count("M") == 2 and path.count("H") == 2


@pytest.mark.parametrize(
    ("value", "top"), [(0.0011, 0.002), (0.01, 0.01), (0.051, 0.06), (1, 1), (1.0, 1), (99, 100), (120, 200), (7, 8)]
)
def test_an_axis_ends_at_a_round_number(value: float, top: float) -> None:
    assert nice_top(value) == pytest.approx(top)


def test_text_is_escaped_unless_it_is_markup() -> None:
    assert tag("p", "<b>", tag("i", "a & b"), title='"x"') == '<p title="&quot;x&quot;">&lt;b&gt;<i>a &amp; b</i></p>'
    assert joined("<", (">", tag("br"))) == "&lt;&gt;<br>"
    assert tag("details", open=True, hidden=False, id=None) == "<details open></details>"


@pytest.mark.parametrize("content", [b"# Notes\n", b"<!DOCTYPE html><p>mine</p>", b"[services.app]\n", b"\x00\x01"])
def test_what_is_no_report_is_not_taken_for_one(content: bytes) -> None:
    assert not is_report(content)


def test_what_is_forgiven_what_an_analysis_found_and_what_is_missing_are_told() -> None:
    shown = view("the store can't be read")
    for page in (markdown(shown, UTC), html_page(shown, UTC)):
        assert "9.1 of 36.9" in page
        assert "reaches 6.9 with a probability of at most 0.1 %" in page
        assert "is forgiven the new one" in page
        assert "172" in page
        assert "be read" in page
