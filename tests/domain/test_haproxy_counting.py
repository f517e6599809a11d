"""What HAProxy's counters mean, and how readings of them become counts that only grow."""

from __future__ import annotations

import re
from dataclasses import astuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bluegreen.domain.latency import EDGES_MILLISECONDS
from bluegreen.domain.model import SlotTraffic
from bluegreen.routers.haproxy import counting
from bluegreen.routers.haproxy.counter_reader import CounterRows, parse_sides
from bluegreen.routers.haproxy.counters import SideCounters, TrafficCounters, grown
from bluegreen.routers.haproxy.counting import BUCKETS, COUNTERS_PER_WORKLOAD, Reading, SideReading, traffic_of


def reading(requests: int = 0, errors: int = 0, in_flight: int = 0) -> Reading:
    """All of them fast."""
    counts = [0] * COUNTERS_PER_WORKLOAD
    counts[0], counts[counting.FAILED] = requests, errors
    return Reading(tuple(counts), in_flight)


def seen(counters: TrafficCounters, workload_id: str = "w") -> tuple[int, int, int]:
    traffic = counters.of(workload_id)
    return traffic.requests, traffic.errors, traffic.in_flight


# --- the rules ---------------------------------------------------------------------------------------------------


def bucket_by_rules(microseconds: int) -> int:
    """Goes through the rules of the frontend as HAProxy does; a clock that is not doubted."""
    took = re.compile(r"if \{ var\(txn\.took\) -m int (?:le (\d+)|ge (\d+)|(\d+):(\d+)) \}")
    found: list[int] = []
    for rule in counting.latency_rules():
        condition = took.search(rule)
        if condition:
            low, high = condition[2] or condition[3] or "-inf", condition[1] or condition[4] or "inf"
            if not float(low) <= microseconds <= float(high):
                continue
        else:
            continue
        if rule.startswith("http-after-response allow"):
            break
        if increment := re.match(r"http-after-response sc-inc-gpc\((\d+),0\)", rule):
            found.append(int(increment[1]))
    (bucket,) = found
    return bucket


@given(
    st.integers(-(10**12), 10**12) | st.sampled_from([int(e * 1000) + d for e in EDGES_MILLISECONDS for d in (0, 1)])
)
def test_every_request_is_counted_in_exactly_one_bucket(microseconds: int) -> None:
    expected = sum(microseconds > edge * 1000 for edge in EDGES_MILLISECONDS)
    assert bucket_by_rules(microseconds) == expected


# --- what the counters mean --------------------------------------------------------------------------------------


def test_counters_become_traffic() -> None:
    counts = [0] * COUNTERS_PER_WORKLOAD
    counts[2], counts[9], counts[BUCKETS - 1] = 10, 4, 1
    counts[BUCKETS:] = [1, 2, 3, 4, 5, 2, 6]
    traffic = traffic_of(tuple(counts), 7, SideReading(8, 9, 1))
    assert traffic == SlotTraffic(15, 10, 7, tuple(counts[:BUCKETS]), (1, 5, 2, 3, 4), 2, 8, 9, 1)


def test_streams_that_were_reset_before_their_head_are_requests() -> None:
    assert traffic_of((), 1, SideReading(truncated=4)) == SlotTraffic(4, 4, 1, truncated=4)
    assert traffic_of(reading(3, 0).counts, 0, SideReading(truncated=4)).requests == 4


def test_a_request_that_is_just_being_counted_takes_nothing_back() -> None:
    whole = traffic_of(reading(5, 1).counts, 0, SideReading())
    assert whole.statuses == (0, 4, 0, 0, 1)
    # The status of the next answer is counted, its latency not yet.
    half = traffic_of(reading(5, 2).counts, 0, SideReading(), whole)
    assert half.statuses == (0, 4, 0, 0, 2)
    assert traffic_of(reading(1, 2).counts, 0, SideReading()).errors == 1


# --- counts that only grow ---------------------------------------------------------------------------------------


def test_counters_survive_processes() -> None:
    counters = TrafficCounters()
    counters.update({1: {"w": reading(10, 1, 2)}}, {"w"})
    counters.update({1: {"w": reading(12, 1, 1)}, 2: {"w": reading(3, 0, 4)}}, {"w"})
    assert seen(counters) == (15, 1, 5)
    counters.update({2: {"w": reading(5, 2, 0)}}, {"w"})
    assert seen(counters) == (17, 3, 0)
    counters.update({2: {"w": reading(1, 0, 0)}}, {"w"})
    assert seen(counters) == (18, 3, 0)


def test_a_question_about_others_changes_nothing() -> None:
    counters = TrafficCounters()
    counters.update({1: {"a": reading(10, 1, 2)}}, {"a"})
    counters.update({1: {"b": reading(1, 0, 0)}}, {"b"})
    assert seen(counters, "a") == (10, 1, 2)
    counters.forget_all_but({"b"})
    assert (counters.of("a"), seen(counters, "b")) == (SlotTraffic(), (1, 0, 0))


def test_the_last_words_of_a_process_add_to_what_was_read_of_it_and_touch_no_other() -> None:
    counters = TrafficCounters()
    counters.update({1: {"w": reading(10, 1, 2)}, 2: {"w": reading(1)}}, {"w"})
    counters.update_one(1, {"w": reading(13, 1, 0), "never asked for": reading(2)})
    assert (seen(counters), seen(counters, "never asked for")) == ((14, 1, 0), (2, 0, 0))
    counters.update({2: {"w": reading(2)}}, {"w"})
    assert seen(counters) == (15, 1, 0)


def test_a_row_that_vanished_counts_from_zero() -> None:
    counters = TrafficCounters()
    counters.update({1: {"w": reading(10, 1, 2)}}, {"w"})
    counters.update({1: {}}, {"w"})
    assert seen(counters) == (10, 1, 0)
    counters.update({1: {"w": reading(4)}}, {"w"})
    assert seen(counters) == (14, 1, 0)


def test_a_counter_that_ran_over_is_no_reset() -> None:
    before, now = reading((1 << 32) - 5, 7).counts, reading(20, 8).counts
    assert grown(before, now) == reading(25, 1).counts
    # Nor is a reset taken for an overflow: what fell was far from its end.
    assert grown(reading(1000, 7).counts, now) == now


READINGS = st.dictionaries(
    st.integers(1, 3),
    st.fixed_dictionaries({"w": st.builds(reading, st.integers(0, 9), st.integers(0, 9), st.integers(0, 3))}),
    max_size=3,
)


@given(st.lists(READINGS, max_size=8))
def test_counters_only_grow(steps: list[dict[int, dict[str, Reading]]]) -> None:
    counters = TrafficCounters()
    before = counters.of("w")
    for step in steps:
        counters.update(step, {"w"})
        after = counters.of("w")
        assert (after.requests >= before.requests, after.errors >= before.errors) == (True, True)
        if before.statuses:
            assert all(new >= old for old, new in zip(before.statuses, after.statuses, strict=True))
        assert sum(after.latency) == after.requests
        assert after.errors <= after.requests
        before = after


@given(st.lists(st.integers(0, 50), min_size=1, max_size=12), st.sets(st.integers(0, 11)))
def test_readings_that_were_missed_lose_nothing(steps: list[int], missed: set[int]) -> None:
    """A poller that stalled reads later what it did not read in time."""
    every, few = TrafficCounters(), TrafficCounters()
    total = 0
    for number, step in enumerate(steps):
        total += step
        every.update({1: {"w": reading(total)}}, {"w"})
        if number not in missed or number == len(steps) - 1:
            few.update({1: {"w": reading(total)}}, {"w"})
    assert astuple(every.of("w")) == astuple(few.of("w"))


# --- what is counted by backend ----------------------------------------------------------------------------------


def test_a_workload_that_moves_in_does_not_inherit_what_its_backend_counted() -> None:
    sides = SideCounters()
    sides.update({1: {"app.green": SideReading(5, 2)}}, {"app.green": "w1"})
    assert sides.of("w1") == SideReading(), "what came before the first reading may be of anybody"
    sides.update({1: {"app.green": SideReading(7, 2)}}, {"app.green": "w1"})
    sides.update({1: {"app.green": SideReading(7, 2)}}, {"app.green": ""})
    sides.update({1: {"app.green": SideReading(8, 4)}}, {"app.green": "w2"})
    assert (sides.of("w1"), sides.of("w2")) == (SideReading(2, 0), SideReading(1, 2))


def test_a_process_that_was_seen_to_begin_counts_from_zero() -> None:
    sides = SideCounters()
    where = {"app.blue": "w"}
    sides.update({1: {"app.blue": SideReading(5, 0)}}, where)
    sides.update({1: {"app.blue": SideReading(6, 0)}, 2: {"app.blue": SideReading(2, 1)}}, where)
    assert sides.of("w") == SideReading(3, 1)
    sides.update({3: {"app.blue": SideReading(1, 0)}}, where)
    assert sides.of("w") == SideReading(4, 1)
    sides.update({3: {"app.blue": SideReading(0, 1)}}, where)
    assert sides.of("w") == SideReading(4, 2)


# --- answers of HAProxy ------------------------------------------------------------------------------------------


def row(key: str, in_flight: int, counts: list[int]) -> str:
    counters = " ".join(f"gpc{position}={count}" for position, count in enumerate(counts))
    return f"0x7f1: key={key} use=0 exp=0 shard=0 conn_cur={in_flight} {counters}\n"


def test_tables_are_read_and_what_is_unchanged_is_the_same_object() -> None:
    rows = CounterRows()
    counts = list(range(COUNTERS_PER_WORKLOAD))
    head = "Name: HAProxy\nPid: 5\n\n# table: counters, type: string, size:10240, used:2\n"
    first = rows.parse(head + row("w-1.2", 3, counts) + row("v", 0, counts) + "\n")
    assert first == {"w-1.2": Reading(tuple(counts), 3), "v": Reading(tuple(counts), 0)}
    second = rows.parse(head + row("w-1.2", 4, counts) + row("v", 0, counts))
    assert second["w-1.2"].in_flight == 4
    assert second["v"] is first["v"]


def test_rows_of_an_older_configuration_tell_what_is_in_flight() -> None:
    assert CounterRows().parse(row("w", 3, [1002, 7])) == {"w": Reading((), 3)}


@pytest.mark.parametrize("answer", ["", "garbage", "No such table\n", "0x1: key=w use=0", "Can't find proxy\n"])
def test_what_is_no_answer_tells_nothing(answer: str) -> None:
    assert (CounterRows().parse(answer), parse_sides(answer)) == ({}, {})


def test_statistics_are_read_by_the_names_of_their_columns() -> None:
    answer = (
        "# pxname,svname,wretr,srv_abrt,cli_abrt,wredis,end,\napp.blue,BACKEND,1,9,7,2,0,\n\n"
        "# pxname,svname,wretr,srv_abrt,cli_abrt,wredis,end,\napp.green,BACKEND,,,,3,0,\nweb,FRONTEND,,,,,,\n"
    )
    assert parse_sides(answer) == {"app.blue": SideReading(7, 3, 9), "app.green": SideReading(0, 3)}
