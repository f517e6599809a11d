"""Samples as bytes and back, and what files of other versions and damaged ones say."""

from __future__ import annotations

import contextlib
import struct

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bluegreen.domain.sample import Sample, thinned
from bluegreen.stores.sample_blocks import decode, encode
from tests.domain.samples import samples


@given(samples())
def test_what_is_read_is_what_was_written(drawn: list[Sample]) -> None:
    assume(drawn)
    assert decode(encode(drawn)) == drawn


@given(samples(), st.sampled_from([1.0, 10.0, 60.0]))
def test_thinning_what_was_stored_is_the_same_as_storing_what_was_thinned(drawn: list[Sample], step: float) -> None:
    assume(drawn)
    assert decode(encode(thinned(decode(encode(drawn)), step))) == decode(encode(thinned(drawn, step)))


@given(samples())
def test_columns_that_were_not_asked_for_may_be_missing_the_others_are_there(drawn: list[Sample]) -> None:
    assume(drawn)
    found = decode(encode(drawn), {"requests", "in_flight"})
    assert [(s.at, s["requests"], s["in_flight"]) for s in found] == [
        (s.at, s["requests"], s["in_flight"]) for s in drawn
    ]


def test_a_column_of_a_newer_version_is_passed_over() -> None:
    data = encode([Sample.of(1.0, requests=3)])
    newer = data + struct.pack("<BcQ", 250, b"Q", 7)
    assert decode(newer) == [Sample.of(1.0, requests=3)]


def test_a_column_that_an_older_version_did_not_have_was_not_measured() -> None:
    (found,) = decode(encode([Sample.of(1.0, requests=3)]))
    assert (found["requests"], found["retries"]) == (3, None)


@given(samples(), st.integers(0, 10_000), st.binary(min_size=1, max_size=4))
def test_damage_is_noticed_or_harmless_and_never_another_error(drawn: list[Sample], place: int, bad: bytes) -> None:
    assume(drawn)
    data = bytearray(encode(drawn))
    data[place % len(data) : place % len(data) + len(bad)] = bad
    with contextlib.suppress(ValueError):
        decode(bytes(data))


@pytest.mark.parametrize("data", [b"", b"\x01", b"\x02" * 40, encode([Sample.of(1.0, requests=1)])[:-1]])
def test_what_is_no_block_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="block of samples"):
        decode(data)
