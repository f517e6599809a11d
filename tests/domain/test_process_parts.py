"""The parts of the process runtime that decide by values alone."""

from __future__ import annotations

import string
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bluegreen.domain.errors import UsageError
from bluegreen.domain.model import Color, Resources, Workload, WorkloadState
from bluegreen.runtimes.process.gpus import gpu_environment
from bluegreen.runtimes.process.listening import parse_listeners, parse_socket_link
from bluegreen.runtimes.process.logs import fair_shares
from bluegreen.runtimes.process.machine import base_environment, choose_port_range
from bluegreen.runtimes.process.observation import combined_state
from bluegreen.runtimes.process.placeholders import fill
from bluegreen.runtimes.process.records import WorkloadRecord, valid_workload_id

VALUES = {"tag": "v2.0", "color": "green"}


def test_placeholders_are_filled_once() -> None:
    assert fill("app-{tag}/{color}", VALUES, where="workdir") == "app-v2.0/green"
    assert fill("{tag}", {"tag": "{color}", "color": "green"}, where="workdir") == "{color}"


def test_doubled_braces_are_literal() -> None:
    assert fill('{{"tag": "{tag}"}}', VALUES, where="command[1]") == '{"tag": "v2.0"}'


@pytest.mark.parametrize("text", ["{tagg}", "{}", "{tag", "tag}", "{ tag }", "{0}", "{tag!r}"])
def test_what_is_no_placeholder_is_refused_with_its_place(text: str) -> None:
    with pytest.raises(UsageError, match=r"command\[3\]") as caught:
        fill(text, VALUES, where="command[3]")
    assert "{tag} {color}" in caught.value.hint


def test_nul_is_refused_because_it_marks_the_port() -> None:
    with pytest.raises(UsageError, match="NUL"):
        fill("a\0b", VALUES, where="env.A")


@given(st.text(alphabet=string.printable))
def test_escaped_text_comes_back_as_it_was(text: str) -> None:
    assert fill(text.replace("{", "{{").replace("}", "}}"), VALUES, where="command[0]") == text


TABLE = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:4E20 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 111 1 0 100 0 0 10 0
   1: 00000000:4E21 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 222 1 0 100 0 0 10 0
   2: 0500000A:4E22 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 333 1 0 100 0 0 10 0
   3: 0100007F:4E20 0100007F:C001 01 00000000:00000000 00:00000000 00000000     0        0 444 1 0 100 0 0 10 0
   4: 0100007F:4E23 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 555 1 0 100 0 0 10 0
"""
TABLE6 = """\
  sl  local_address                         remote_address                        st tx rx tr tm retr uid to inode
   0: 00000000000000000000000000000000:4E20 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 666 1
   1: 00000000000000000000000001000000:4E21 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 777 1
   2: 0000000000000000FFFF00000100007F:4E22 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 888 1
"""


def test_listeners_that_get_local_connections() -> None:
    """Not the one on another address, and nothing after the first connection."""
    assert list(parse_listeners(TABLE.splitlines())) == [(20000, 111), (20001, 222)]
    assert list(parse_listeners(TABLE6.splitlines())) == [(20000, 666), (20002, 888)]


def test_socket_links() -> None:
    assert parse_socket_link("socket:[4711]") == 4711
    assert parse_socket_link("pipe:[4711]") is None
    assert parse_socket_link("/dev/null") is None


def test_a_replica_sees_its_gpus_and_without_any_nothing_is_set() -> None:
    assert gpu_environment((2, 3))["CUDA_VISIBLE_DEVICES"] == "2,3"
    assert gpu_environment(()) == {}


@pytest.mark.parametrize(
    ("ephemeral", "expected"),
    [
        ((32768, 60999), (20000, 29999)),
        ((10000, 19999), (20000, 29999)),
        ((15000, 65535), (5000, 14999)),
        ((1024, 50000), (55536, 65535)),
        ((1024, 65535), (20000, 29999)),
    ],
)
def test_ports_are_chosen_beside_those_of_outgoing_connections(
    ephemeral: tuple[int, int], expected: tuple[int, int]
) -> None:
    assert choose_port_range(ephemeral) == expected


def test_replicas_do_not_get_the_controllers_secrets() -> None:
    assert base_environment({"PATH": "/bin", "API_TOKEN": "secret"}) == {"PATH": "/bin"}


@given(st.lists(st.integers(0, 50), max_size=6), st.integers(0, 100))
def test_log_lines_are_shared_fairly(available: list[int], limit: int) -> None:
    shares = fair_shares(available, limit)
    assert sum(shares) == min(limit, sum(available))
    assert all(share <= count for share, count in zip(shares, available, strict=True))
    unsatisfied = [share for share, count in zip(shares, available, strict=True) if share < count]
    assert not unsatisfied or max(shares) - min(unsatisfied) <= 1


def test_a_workload_is_as_well_as_its_worst_replica() -> None:
    running, pending, failed = WorkloadState.RUNNING, WorkloadState.PENDING, WorkloadState.FAILED
    assert combined_state([running, running]) is running
    assert combined_state([running, pending]) is pending
    assert combined_state([running, failed, pending]) is failed
    assert combined_state([]) is pending


@pytest.mark.parametrize("text", ["", ".", "..", "a/b", "../a", "-a", "a b", "a\n", "ä", "a" * 201])
def test_ids_that_could_lead_elsewhere_are_refused(text: str) -> None:
    assert not valid_workload_id(text)


def test_records_come_back_as_they_were() -> None:
    workload = Workload(
        "model-blue-1", "model", Color.BLUE, "r/model:v1", "v1", 2, Resources(1, 0.5, 100), {"env": "production"}
    )
    record = WorkloadRecord(workload, 1700000000.5, "token", 10.0, ((0,), (1,)))
    assert WorkloadRecord.from_json(record.to_json()) == record
    before_sharing = {key: value for key, value in record.to_json().items() if key != "gpu_sharing"}
    assert WorkloadRecord.from_json(before_sharing) == record
    shared = replace(record, gpu_sharing=True)
    assert WorkloadRecord.from_json(shared.to_json()) == shared
    with pytest.raises(ValueError, match="format 99"):
        WorkloadRecord.from_json(record.to_json() | {"format": 99})
