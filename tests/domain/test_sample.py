"""Merging samples loses nothing that is counted, however it is done."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bluegreen.domain.columns import COLUMNS, LATENCY, PLACE, STATUSES, Kind
from bluegreen.domain.sample import Sample, bucket, merged, thinned
from tests.domain.samples import samples


def nearly(found: list[Sample]) -> list[object]:
    """Seconds are no whole numbers; sums of them depend on the order in the last digit."""
    return [(sample.at, tuple(None if v is None else pytest.approx(v) for v in sample.values)) for sample in found]


def plain(found: list[Sample]) -> list[object]:
    return [(sample.at, sample.values) for sample in found]


@given(samples(), st.sampled_from([(1.0, 10.0), (10.0, 60.0), (1.0, 60.0), (60.0, 600.0)]))
def test_thinning_what_was_thinned_is_thinning_at_once(drawn: list[Sample], steps: tuple[float, float]) -> None:
    fine, coarse = steps
    assert plain(thinned(thinned(drawn, fine), coarse)) == nearly(thinned(drawn, coarse))


@given(samples(), st.sampled_from([1.0, 10.0, 60.0]))
def test_nothing_that_is_counted_is_lost_and_the_last_level_stays(drawn: list[Sample], step: float) -> None:
    found = thinned(drawn, step)
    for place, column in enumerate(COLUMNS):
        before = [value for sample in drawn if (value := sample.values[place]) is not None]
        after = [value for sample in found if (value := sample.values[place]) is not None]
        if column.kind is Kind.COUNT:
            assert sum(after) == pytest.approx(sum(before))
        else:
            assert after[-1:] == before[-1:]
    assert [sample.at for sample in found[-1:]] == [sample.at for sample in drawn[-1:]]


@given(samples(), st.sampled_from([1.0, 10.0, 60.0]))
def test_there_is_one_for_each_step_that_had_any(drawn: list[Sample], step: float) -> None:
    numbers = [bucket(sample.at, step) for sample in thinned(drawn, step)]
    assert numbers == sorted({bucket(sample.at, step) for sample in drawn})


def test_a_step_ends_with_its_end() -> None:
    assert [bucket(at, 10.0) for at in (0.0, 0.001, 9.999, 10.0, 10.001)] == [0, 1, 1, 1, 2]


def test_what_was_not_measured_is_not_zero() -> None:
    found = merged([Sample.of(1, errors=None, requests=3), Sample.of(2, requests=None, in_flight=4)])
    assert (found["requests"], found["errors"], found["in_flight"], found["restarts"]) == (3, None, 4, None)


def test_a_name_that_is_no_column_is_refused() -> None:
    with pytest.raises(KeyError):
        Sample.of(1, request=3)


def test_numbers_in_files_are_never_given_twice() -> None:
    numbers = [column.number for column in COLUMNS]
    assert len(set(numbers)) == len(numbers) == len(PLACE)
    assert all(0 < number < 256 for number in numbers)


def test_numbers_in_files_never_change() -> None:
    """They stand in the files of users: a new column gets a new number, these stay."""
    known = {column.name: column.number for column in COLUMNS}
    first = ("seconds", "requests", "errors", "in_flight", "checks", "checks_passed", "restarts", "connection_errors",
             "aborted", "retries", *STATUSES)  # fmt: skip
    assert [known[name] for name in first] == list(range(1, 16))
    assert [known[name] for name in LATENCY] == list(range(20, 42))
