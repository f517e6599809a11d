"""Durations and moments as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bluegreen.domain.errors import UsageError
from bluegreen.domain.timespans import LAST_MOMENT, iso, parse_duration, parse_moment

NOW = 1_795_493_400.0
"""2026-11-24T04:10:00Z"""


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("10s", 10), ("5m", 300), ("2h", 7200), ("1d", 86_400), ("1.5h", 5400), (" 10 s ", 10), ("0.25s", 0.25)],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration("step", text) == seconds


@pytest.mark.parametrize(
    "text", ["", "10", "s", "-5m", "0s", "1w", "10ms", "1e3s", "5m5s", "nan", "inf d", "9" * 400 + "s", "٣s", "5m\x00"]
)
def test_what_is_no_duration_names_the_parameter_and_shows_how_to_write_it(text: str) -> None:
    with pytest.raises(UsageError, match=r"^step: ") as caught:
        parse_duration("step", text)
    assert "5m" in caught.value.hint
    assert len(caught.value.message) < 300


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("now", NOW),
        ("-30s", NOW - 30),
        ("30s", NOW - 30),
        ("-1d", NOW - 86_400),
        ("2026-11-24T04:10:00Z", NOW),
        ("2026-11-24T04:10:00", NOW),
        ("2026-11-24 04:10", NOW),
        ("2026-11-24T05:10:00+01:00", NOW),
        ("2026-11-24T04:10:00.250Z", NOW + 0.25),
        ("2026-11-24", NOW - 4 * 3600 - 600),
    ],
)
def test_moments(text: str, moment: float) -> None:
    assert parse_moment("startTime", text, NOW) == pytest.approx(moment)


@pytest.mark.parametrize(
    "text",
    ["", "yesterday", "+5m", "-5", "--5m", "2026-13-01", "2026-11-24T25:00", "1795493400", "-999999999d",
     "0001-01-01T00:00:00+14:00", "1969-12-31T23:59:59Z", "9999-12-31T23:59:59-10:00"],
)  # fmt: skip
def test_what_is_no_moment_names_the_parameter(text: str) -> None:
    with pytest.raises(UsageError, match=r"^endTime: ") as caught:
        parse_moment("endTime", text, NOW)
    assert "-5m" in caught.value.hint


@given(st.text(max_size=60))
def test_any_text_is_a_moment_that_can_be_written_or_a_usage_error(text: str) -> None:
    try:
        moment = parse_moment("startTime", text, NOW)
    except UsageError:
        return
    assert parse_moment("startTime", iso(moment), NOW) == pytest.approx(moment, abs=0.001)


@given(st.floats(0, LAST_MOMENT))
def test_what_was_written_is_read_again(moment: float) -> None:
    written = iso(moment)
    assert written.endswith("Z")
    assert parse_moment("startTime", written, 0.0) == pytest.approx(moment, abs=0.0011)


def test_iso_has_milliseconds() -> None:
    assert iso(NOW) == "2026-11-24T04:10:00.000Z"
    assert iso(NOW + 0.9996) == "2026-11-24T04:10:01.000Z"
